package runc

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gx-dev/gx/engine/container"
	"github.com/gx-dev/gx/engine/container/containertest"
)

// serveForks is a template's program that goes on, in each container, as the
// command that the container was asked for.
const serveForks = `import sys
sys.path.insert(0, "/__gx/sdk")
import os
from gx._runner import fork
server = fork.Server(int(os.environ["GX_FORK_FD"]))
server.step_down()
instance = server.serve(server.policy())
instance.execute()`

// templateSpec is a template whose containers run their Spec.Args.
func templateSpec(t testing.TB) container.Spec {
	t.Helper()
	spec := hostImage(t)
	packages, err := filepath.Abs("../../../sdk/python")
	require.NoError(t, err)
	spec.ID, spec.Args = "template", []string{"python3", "-S", "-B", "-c", serveForks}
	spec.Mounts = append(spec.Mounts, container.Mount{Source: packages, Target: "/__gx/sdk", ReadOnly: true})
	return spec
}

// forked is a Runtime whose containers are all forked from templates: one for
// each file system and kind of network.
type forked struct {
	*Runtime
	t         *testing.T
	mu        sync.Mutex
	templates map[container.Network]container.Template
}

func (f *forked) Start(ctx context.Context, spec container.Spec) (container.Container, error) {
	if err := spec.Validate(); err != nil {
		return nil, err
	}
	base, err := f.template(spec.Network)
	if err != nil {
		return nil, err
	}
	return base.Fork(ctx, spec)
}

func (f *forked) template(network container.Network) (container.Template, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	base, ok := f.templates[network]
	if !ok {
		s := templateSpec(f.t)
		s.ID += string(network)
		s.Stdout, s.Stderr, s.Network = os.Stderr, os.Stderr, network
		var err error
		if base, err = f.Template(f.t.Context(), s); err != nil {
			return nil, err
		}
		f.templates[network] = base
	}
	return base, nil
}

// TestConformanceOfForks holds containers that are forked to what holds for
// those that are started.
func TestConformanceOfForks(t *testing.T) {
	needRoot(t)
	containertest.Run(t, containertest.Suite{
		New: func(t *testing.T) container.Runtime {
			return &forked{Runtime: newRuntime(t), t: t, templates: map[container.Network]container.Template{}}
		},
		Base: func(t *testing.T) container.Spec { return hostImage(t) },
		Left: func(t *testing.T, r container.Runtime) []string { return left(t, r.(*forked).Runtime) },
	})
}
