//go:build linux

package buildkit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/platforms"
	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/solver/pb"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/gx-dev/gx/app"
)

// dockerfile has BuildKit's own Dockerfile frontend build a base, or go on from
// what there is so far.
func (s *solve) dockerfile(ctx context.Context, gw gateway.Client, i int, step app.Step) error {
	inputs := map[string]*pb.Definition{}
	options := map[string]string{"filename": "Dockerfile"}
	text := step.Dockerfile
	if step.Op == app.OpDockerfileCommands {
		// Commands that begin with another FROM are an image of their own.
		text = "FROM gx-before\n" + text
		def, err := s.state.Marshal(ctx, llb.Platform(platforms.DefaultSpec()))
		if err != nil {
			return err
		}
		inputs["gx-before"] = def.ToPB()
		options["context:gx-before"] = "input:gx-before"
		config, err := json.Marshal(ocispecs.Image{Config: ocispecs.ImageConfig{Env: environ(s.env), WorkingDir: s.workdir()}})
		if err != nil {
			return err
		}
		options["input-metadata:gx-before"] = string(mustMetadata(config))
	} else if err := s.offlineBases(ctx, gw, text, options, inputs); err != nil {
		return err
	}
	text = withVariables(text, sortedKeys(step.Env), s.secretMounts(i))
	for name, value := range step.Env {
		options["build-arg:"+name] = value
	}
	file := llb.Scratch().File(llb.Mkfile("/Dockerfile", 0o644, []byte(text)), llb.WithCustomName(vertexName(i, false)))
	def, err := file.Marshal(ctx)
	if err != nil {
		return err
	}
	inputs["dockerfile"] = def.ToPB()
	files := llb.Scratch()
	if len(step.Files) > 0 {
		files = s.context(i)
	} else {
		files = files.File(llb.Mkdir("/empty", 0o755), llb.WithCustomName(vertexName(i, false)))
	}
	if def, err = files.Marshal(ctx); err != nil {
		return err
	}
	inputs["context"] = def.ToPB()
	for key, value := range step.BuildArgs {
		options["build-arg:"+key] = value
	}
	if s.forced(i) {
		options["no-cache"] = ""
	}
	s.track.enter(i)
	result, err := gw.Solve(ctx, gateway.SolveRequest{Frontend: "dockerfile.v0", FrontendOpt: options, FrontendInputs: inputs, Evaluate: true})
	if err != nil {
		return err // it is left where it failed
	}
	s.track.leave(i)
	ref, err := result.SingleRef()
	if err != nil {
		return err
	}
	if ref == nil {
		return errors.New("the Dockerfile makes an image without files")
	}
	if s.state, err = ref.ToState(); err != nil {
		return err
	}
	return s.adopt(result.Metadata["containerimage.config"])
}

// withVariables gives every command of a Dockerfile variables that the image
// does not keep: build arguments, declared in each stage, and mounts of secrets.
// A text that is no Dockerfile stays as it is: BuildKit says what is wrong.
func withVariables(text string, args, mounts []string) string {
	file, err := parser.Parse(strings.NewReader(text))
	if err != nil {
		return text
	}
	lines := strings.Split(text, "\n")
	for _, node := range slices.Backward(file.AST.Children) {
		switch strings.ToUpper(node.Value) {
		case "FROM":
			if len(args) > 0 {
				lines = slices.Insert(lines, node.EndLine, "ARG "+strings.Join(args, " "))
			}
		case "RUN":
			first := &lines[node.StartLine-1]
			if at := strings.Index(strings.ToUpper(*first), "RUN") + len("RUN"); len(mounts) > 0 && at >= len("RUN") {
				*first = (*first)[:at] + " " + strings.Join(mounts, " ") + (*first)[at:]
			}
		}
	}
	return strings.Join(lines, "\n")
}

// adopt takes over what an image's own config says of its processes.
func (s *solve) adopt(config []byte) error {
	if len(config) == 0 {
		return nil
	}
	var image ocispecs.Image
	if err := json.Unmarshal(config, &image); err != nil {
		return fmt.Errorf("reading the image's config: %w", err)
	}
	for _, kv := range image.Config.Env {
		key, value, _ := strings.Cut(kv, "=")
		s.env[key] = value
	}
	if image.Config.WorkingDir != "" && image.Config.WorkingDir != "/" {
		s.config.Workdir = image.Config.WorkingDir
	}
	if len(image.Config.Entrypoint) > 0 {
		s.config.Entrypoint = image.Config.Entrypoint
	}
	return nil
}

// mustMetadata is how the Dockerfile frontend wants an input's image config.
func mustMetadata(config []byte) []byte {
	data, err := json.Marshal(map[string][]byte{"containerimage.config": config})
	if err != nil {
		panic(err) // a map of bytes can always be encoded
	}
	return data
}
