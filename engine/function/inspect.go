package function

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/gx-dev/gx/engine/container"
	"github.com/gx-dev/gx/redact"
)

// memberOf is the function's container of an id, or nil.
func (f *Function) memberOf(id string) *member {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, list := range [][]*member{f.members, f.shells} {
		for _, m := range list {
			if m.id == id {
				return m
			}
		}
	}
	return nil
}

// App is the id of the function's app.
func (f *Function) App() string { return f.cfg.App.ID }

// Has reports whether a container is one of the function's.
func (f *Function) Has(id string) bool { return f.memberOf(id) != nil }

// End ends one container: within its grace period, or now. It does not wait;
// the channel is closed when the container is gone, nil = there is none.
func (f *Function) End(id, reason string, now bool) <-chan struct{} {
	m := f.memberOf(id)
	if m == nil {
		return nil
	}
	if now {
		m.kill(reason)
	} else {
		m.stop(reason, f.grace())
	}
	return m.gone
}

// ErrNoExec means that the runtime can't run commands in its containers.
var ErrNoExec = errors.New("this host's containers can't run further commands")

// Visit is a command in a container.
type Visit struct {
	Process container.Process
	Mask    *redact.Mask // hides the values of the secrets that the container has
	Leave   func()       // to be called when it is over: the container does not count as idle until then
}

// Exec runs a command in one of the function's containers, with the
// environment of its code and what spec.Env adds to it, and where nothing else
// is said in its working directory.
func (f *Function) Exec(ctx context.Context, id string, spec container.ExecSpec) (*Visit, error) {
	m := f.memberOf(id)
	if m == nil {
		return nil, container.ErrEnded
	}
	made, running := m.made.Load(), m.container.Load()
	if made == nil || running == nil {
		return nil, fmt.Errorf("the container %s is being started", id)
	}
	execer, ok := (*running).(container.Execer)
	if !ok {
		return nil, ErrNoExec
	}
	spec.Env = slices.Concat(made.Environ(), spec.Env)
	if made.ExtraEnv != nil {
		spec.ExtraEnv = func() []string { // not what the runner shows to the host
			return slices.DeleteFunc(made.ExtraEnv(), func(e string) bool { return strings.HasPrefix(e, "GX_TOKEN=") })
		}
	}
	if spec.Dir == "" {
		spec.Dir = made.Dir
	}
	f.mu.Lock()
	m.visitors++
	f.mu.Unlock()
	v := &Visit{Mask: m.secrets.mask, Leave: func() {
		f.mu.Lock()
		m.visitors--
		m.idle = f.host.Clock.Now()
		f.mu.Unlock()
		f.kick()
	}}
	var err error
	if v.Process, err = execer.Exec(ctx, spec); err != nil {
		v.Leave()
		return nil, err
	}
	return v, nil
}
