package function

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/engine/container"
	"github.com/gx-dev/gx/redact"
	"github.com/gx-dev/gx/wire"
)

// Secrets finds the values of secrets, as they are now.
type Secrets interface {
	// Resolve is the list with the values. in is the environment of those that
	// name none. An error that the user can do something about is of package ask.
	Resolve(ctx context.Context, in string, secrets []app.Secret) ([]app.Secret, error)
}

// secrets are the secrets of one container. Their values come to the user's code
// over the runner's connection, and not with the process: so they are in no
// configuration of a container, and in no list of the machine's processes.
type secrets struct {
	late  map[string]string // what the runner sets before it loads the user's code
	early []string          // KEY=VALUE that has to be there when Python starts
	mask  *redact.Mask      // of what the container prints, and raises
}

// secrets finds out the function's secrets.
func (f *Function) secrets(v *Version) (s secrets, err error) {
	if len(v.Spec.Secrets) == 0 {
		return s, nil
	}
	found, err := f.host.Secrets.Resolve(f.ctx, f.cfg.App.Environment, v.Spec.Secrets)
	if err != nil {
		return s, err
	}
	values := app.Variables(found)
	s.mask = redact.New(values)
	f.mask.Store(s.mask)
	own := f.own(v, "")
	s.late = map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		_, plain := v.Spec.Env[name]
		_, ours := own[name]
		switch {
		case plain || ours || isInner(name):
		case isEarly(name):
			s.early = append(s.early, name+"="+values[name])
		default:
			s.late[name] = values[name]
		}
	}
	return s, nil
}

// Mask hides the values of the secrets that the newest container has; nil = there
// is nothing to hide.
func (f *Function) Mask() *redact.Mask { return f.mask.Load() }

// isEarly reports whether a variable counts before the first line of the
// runner: for the dynamic linker, the C library or Python itself.
func isEarly(name string) bool {
	switch name {
	case "PATH", "HOME", "LANG", "LANGUAGE", "TZ", "GLIBC_TUNABLES":
		return true
	}
	rest, python := strings.CutPrefix(name, "PYTHON")
	return python && !strings.HasPrefix(rest, "_") || strings.HasPrefix(name, "LD_") || strings.HasPrefix(name, "LC_") || strings.HasPrefix(name, "MALLOC_")
}

// given is a container's Spec for programs that are started in it later: they
// have the secrets from the start.
func (s secrets) given(spec container.Spec) *container.Spec {
	spec.Env = slices.Clone(spec.Env)
	for name, value := range s.late {
		spec.Env = append(spec.Env, name+"="+value)
	}
	spec.Env = append(spec.Env, s.early...)
	return &spec
}

// equal reports whether two containers' secrets have the same values.
func (s secrets) equal(other secrets) bool {
	return maps.Equal(s.late, other.late) && slices.Equal(s.early, other.early)
}

// maskErrorFrame is an Error without the values. The exception itself, pickled,
// was seen to by the runner.
func (s secrets) maskErrorFrame(f wire.Frame) wire.Frame {
	if f.File != nil {
		return f // none is this large: see errors.body in the runner
	}
	f.Body = s.maskError(f.Body)
	return f
}

// maskError is the body of an Error or a Failed without the values.
func (s secrets) maskError(body []byte) []byte {
	if s.mask == nil {
		return body
	}
	head, pickled, err := wire.DecodeError(body)
	if err != nil {
		return body
	}
	message, traceback := s.mask.Text(head.Message), s.mask.Text(head.Traceback)
	if message == head.Message && traceback == head.Traceback {
		return body
	}
	head.Message, head.Traceback = message, traceback
	masked, err := wire.EncodeError(head, pickled)
	if err != nil {
		return body
	}
	return masked
}
