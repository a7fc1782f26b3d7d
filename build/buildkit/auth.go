//go:build linux

package buildkit

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/distribution/reference"
	"github.com/moby/buildkit/session/auth"
	"google.golang.org/grpc"

	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/redact"
)

// registryAuth gives BuildKit the user and the password of one registry, for as
// long as the session of one build lasts. They are in nothing that is cached or
// kept: the solver sees the image's digest alone.
type registryAuth struct {
	auth.UnimplementedAuthServer
	host           string // that is asked for the image
	user, password string
}

// authOf is what a recipe's base gets its image by; nil = nothing.
func authOf(step app.Step) (*registryAuth, error) {
	if step.Op != app.OpRegistry || len(step.Secrets) == 0 {
		return nil, nil
	}
	a := &registryAuth{}
	v := app.Variables(step.Secrets)
	switch {
	case v["REGISTRY_USERNAME"] != "" && v["REGISTRY_PASSWORD"] != "":
		a.user, a.password = v["REGISTRY_USERNAME"], v["REGISTRY_PASSWORD"]
	case v["SERVICE_ACCOUNT_JSON"] != "": // https://cloud.google.com/artifact-registry/docs/docker/authentication#json-key
		a.user, a.password = "_json_key", v["SERVICE_ACCOUNT_JSON"]
	default:
		return nil, errors.New("the secret for the image's registry has to have REGISTRY_USERNAME and REGISTRY_PASSWORD, or for Google's SERVICE_ACCOUNT_JSON")
	}
	name, err := reference.ParseNormalizedNamed(step.Tag)
	if err != nil {
		return nil, fmt.Errorf("%q is no reference to an image: %w", step.Tag, err)
	}
	host, err := docker.DefaultHost(reference.Domain(name)) // of Docker's own registry another than its name
	if err != nil {
		return nil, fmt.Errorf("%q: %w", step.Tag, err)
	}
	a.host = host
	return a, nil
}

// Register implements session.Attachable.
func (a *registryAuth) Register(s *grpc.Server) { auth.RegisterAuthServer(s, a) }

// Credentials answers for the image's own registry alone.
func (a *registryAuth) Credentials(_ context.Context, req *auth.CredentialsRequest) (*auth.CredentialsResponse, error) {
	if req.Host != a.host {
		return &auth.CredentialsResponse{}, nil
	}
	return &auth.CredentialsResponse{Username: a.user, Secret: a.password}, nil
}

// hide takes what the registry was given out of an error: one may have it in its
// answers, of which errors are made.
func (a *registryAuth) hide(err error) error {
	mask := redact.New(map[string]string{
		"REGISTRY_PASSWORD": a.password,
		"Authorization":     base64.StdEncoding.EncodeToString([]byte(a.user + ":" + a.password)), // RFC 7617
	})
	return &hiddenError{mask.Text(err.Error()), err}
}

// hiddenError is an error without what is secret in its text.
type hiddenError struct {
	text string
	err  error
}

func (e *hiddenError) Error() string { return e.text }
func (e *hiddenError) Unwrap() error { return e.err }
