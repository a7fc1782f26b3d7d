package runc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gx-dev/gx/engine/container"
	"github.com/gx-dev/gx/engine/container/cgroup"
	"github.com/gx-dev/gx/engine/container/network"
)

// Fork implements container.Template.
func (t *template) Fork(ctx context.Context, spec container.Spec) (container.Container, error) {
	c, err := t.fork(ctx, spec)
	if err != nil {
		return nil, fmt.Errorf("fork container %s: %w", spec.ID, err)
	}
	return c, nil
}

func (t *template) fork(ctx context.Context, spec container.Spec) (_ *running, err error) {
	if err := spec.Validate(); err != nil {
		return nil, err
	}
	if len(spec.Root.Lower) == 0 {
		return nil, errors.New("it has no file system")
	}
	if err := t.enter(); err != nil {
		return nil, err
	}
	r := t.runtime
	if err := r.reserve(spec.ID); err != nil {
		t.leave()
		return nil, err
	}
	c := r.newRunning(t.cell, spec)
	c.orphaned, c.orphan = t.gone, errTemplateGone
	c.ending = t.leave
	err = t.make(ctx, c, spec)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		_ = c.kill("")
		err = errors.Join(err, c.clear(context.WithoutCancel(ctx)))
		r.settle(spec.ID, nil)
		t.leave()
		return nil, err
	}
	r.settle(spec.ID, c)
	go c.wait(context.WithoutCancel(ctx))
	return c, nil
}

// make makes everything that the container has, then the container.
func (t *template) make(ctx context.Context, c *running, spec container.Spec) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := os.Mkdir(c.bundle, 0o700); err != nil {
		return fmt.Errorf("make a container's directory: %w", err)
	}
	grouped := make(chan error, 1)
	go func() { grouped <- c.group.Create(limits(spec)) }()
	net, err := t.plug(ctx, c, spec)
	if err := errors.Join(err, <-grouped); err != nil {
		net.close()
		return err
	}
	defer net.close()
	var whole int
	err = t.cell.do(func() error {
		err := c.layers.mount(spec.Root.Lower, func(upper string) error {
			return writeEtc(upper, spec, net.address, net.resolv)
		})
		if err != nil {
			return err
		}
		if whole, err = plant(c, spec, net.sys); err != nil {
			return err
		}
		// The copy is what counts from here on. A tmpfs below the layers stays.
		return unmount(c.layers.target)
	})
	if err != nil {
		return err
	}
	files, err := c.group.Entrances()
	tree := os.NewFile(uintptr(whole), "tree")
	defer tree.Close()
	if err != nil {
		return err
	}
	defer func() {
		for _, f := range files {
			f.Close()
		}
	}()
	report, child, err := os.Pipe()
	if err != nil {
		return err
	}
	defer report.Close()
	first := []*os.File{spec.Stdout, spec.Stderr, child, tree}
	if net.namespace != nil {
		first = append(first, net.namespace)
	}
	env := spec.Env
	if spec.ExtraEnv != nil {
		env = append(env[:len(env):len(env)], spec.ExtraEnv()...)
	}
	status := make(chan unix.WaitStatus, 1)
	c.status = status
	a, err := t.ask(ctx, request{Fork: &forkRequest{
		Args: spec.Args, Env: env, Dir: workDir(spec), Hostname: hostnameOf(spec), Namespace: net.namespace != nil,
	}}, status, append(first, files...)...)
	child.Close()
	if err != nil {
		return err
	}
	if c.init, err = unix.FcntlInt(a.file.Fd(), unix.F_DUPFD_CLOEXEC, 0); err != nil {
		c.init = -1
	}
	a.file.Close()
	return begun(ctx, report)
}

// begun waits until the new process goes on.
func begun(ctx context.Context, report *os.File) error {
	stop := context.AfterFunc(ctx, func() { _ = report.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	_ = report.SetReadDeadline(time.Now().Add(startLimit))
	text, err := io.ReadAll(io.LimitReader(report, 64<<10))
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return fmt.Errorf("wait for the new process: %w", err)
	case len(text) == 0:
		return errors.New("the new process ended before it was ready")
	case len(text) > 1 || text[0] != 'R':
		if text[0] == 'R' {
			text = text[1:]
		}
		return errors.New(string(text))
	}
	return nil
}

// plugged is a forked container's network.
type plugged struct {
	namespace *os.File // nil = the host's; an endpoint's is the endpoint's to close
	sys       int      // a detached sysfs, -1 = none
	address   string
	resolv    []byte
	owned     bool
}

func (p *plugged) close() {
	if p.sys >= 0 {
		unix.Close(p.sys)
	}
	if p.owned {
		p.namespace.Close()
	}
}

// plug makes the container's network namespace.
func (t *template) plug(ctx context.Context, c *running, spec container.Spec) (*plugged, error) {
	p := &plugged{sys: -1}
	if spec.Network == container.NetworkHost {
		p.resolv, _ = os.ReadFile("/etc/resolv.conf")
		return p, nil
	}
	namespace, err := t.namespace(ctx)
	if err != nil {
		return p, err
	}
	if spec.Network == container.NetworkNone {
		p.namespace, p.owned = namespace, true
		p.sys, err = sysfs(namespace, network.Loopback)
		return p, err
	}
	net, err := t.runtime.outbound(ctx)
	if err != nil {
		return p, errors.Join(err, namespace.Close())
	}
	if c.endpoint, err = net.AttachTo(ctx, namespace); err != nil {
		return p, errors.Join(err, namespace.Close())
	}
	p.namespace, p.resolv, p.address = namespace, net.ResolvConf(), c.endpoint.Address().String()
	p.sys, err = sysfs(namespace, func() error { return nil })
	return p, err
}

func limits(spec container.Spec) cgroup.Limits {
	l := cgroup.Limits{CPU: spec.CPU, Memory: spec.Memory, Pids: spec.Pids}
	if l.Pids == 0 {
		l.Pids = defaultPids
	}
	return l
}
