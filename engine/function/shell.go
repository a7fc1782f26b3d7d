package function

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/gx-dev/gx/engine/container"
	"github.com/gx-dev/gx/engine/pool"
)

// holdProgram waits for ever, as the first process of a container does: it
// takes the ends of processes that have lost their parent.
const holdProgram = `import os, signal
def reap(*_):
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass
signal.signal(signal.SIGCHLD, reap)
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
while True:
    signal.pause()
`

// Shell is a container of a function that runs nothing but the commands of
// somebody who looks around in it: the function's image, files, volumes,
// secrets, cards and limits.
type Shell struct {
	f *Function
	m *member
}

// Shell starts a Shell. When the host has no room for it, waiting is told what
// is short, and it waits for that. Close it.
func (f *Function) Shell(ctx context.Context, waiting func(short string)) (_ *Shell, err error) {
	v := f.version()
	m := newMember(f, v, 0, f.host.Clock.Now())
	owner := pool.Owner{App: f.cfg.App.ID, Pool: m.id}
	choice, err := f.reserve(ctx, owner, v, waiting)
	if err != nil {
		m.pins.Release()
		return nil, err
	}
	m.choice = choice
	f.mu.Lock()
	if f.closing {
		err = errors.New("the app is ending")
	} else {
		f.serving.Add(1)
		f.shells = append(f.shells, m)
	}
	f.mu.Unlock()
	if err != nil {
		f.host.Ledger.Release(owner, m.set().Need)
		m.pins.Release()
		return nil, err
	}
	s := &Shell{f, m}
	if err := s.start(ctx); err != nil {
		s.end()
		return nil, err
	}
	go s.watch()
	return s, nil
}

// reserve waits until the host has room for the container.
func (f *Function) reserve(ctx context.Context, o pool.Owner, v *Version, waiting func(string)) (int, error) {
	freed := make(chan struct{}, 1)
	wake := func() {
		select {
		case freed <- struct{}{}:
		default:
		}
	}
	for {
		choice, short, ok := f.host.Ledger.Reserve(o, wake, v.needs()...)
		if ok {
			return choice, nil
		}
		waiting(short)
		select {
		case <-freed:
		case <-f.ctx.Done():
			f.host.Ledger.Forget(o)
			return 0, errors.New("the app is ending")
		case <-ctx.Done():
			f.host.Ledger.Forget(o)
			return 0, ctx.Err()
		}
	}
}

// start starts the container.
func (s *Shell) start(ctx context.Context) error {
	f, m := s.f, s.m
	var err error
	if m.secrets, err = f.secrets(m.version()); err != nil {
		return err
	}
	spec, err := f.spec(m.version(), m.secrets, m.id, "")
	if err != nil {
		return err
	}
	spec.Args = []string{m.version().Image.Config().Python, "-S", "-c", holdProgram}
	if err := m.attach(&spec); err != nil {
		return err
	}
	if err := m.equip(&spec); err != nil {
		return err
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	spec.Stdout, spec.Stderr = null, null
	m.made.Store(m.secrets.given(spec))
	c, err := f.host.Runtime.Start(ctx, spec)
	if err != nil {
		return fmt.Errorf("a container for %s cannot be started: %w", f.Name(), err)
	}
	m.container.Store(&c)
	m.set().Meter.Started(m.id, m.began)
	m.shown = true
	if m.volumes != nil {
		m.volumes.Running(c)
	}
	m.observe(c)
	return nil
}

// watch ends what is left when the container has ended, whoever has ended it.
func (s *Shell) watch() {
	c := *s.m.container.Load()
	select {
	case <-c.Done():
	case <-s.m.quit: // the app ends, or somebody has asked for its end
		s.kill()
		<-c.Done()
	}
	s.end()
}

// end gives back what the container had. What was changed in its volumes stays:
// somebody did it by hand.
func (s *Shell) end() {
	f, m := s.f, s.m
	m.bye = m.shown
	m.detach(nil)
	f.mu.Lock()
	f.shells = slices.DeleteFunc(f.shells, func(other *member) bool { return other == m })
	f.mu.Unlock()
	m.giveBack()
	f.host.Ledger.Release(pool.Owner{App: f.cfg.App.ID, Pool: m.id}, m.set().Need)
	if m.shown {
		m.set().Meter.Ended(m.id, f.host.Clock.Now())
	}
	m.pins.Release()
	close(m.gone)
	f.serving.Done()
}

// ID is the container's id.
func (s *Shell) ID() string { return s.m.id }

// Close ends the container and waits until nothing is left of it.
func (s *Shell) Close() {
	s.kill()
	<-s.m.gone
}

func (s *Shell) kill() {
	if err := (*s.m.container.Load()).Kill(); err != nil {
		s.f.log.Error("a container cannot be killed", "container", s.m.id, "error", err)
	}
}

// Exec is Function.Exec in the shell's container.
func (s *Shell) Exec(ctx context.Context, spec container.ExecSpec) (*Visit, error) {
	return s.f.Exec(ctx, s.m.id, spec)
}
