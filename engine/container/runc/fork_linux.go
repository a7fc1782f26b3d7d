package runc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/gx-dev/gx/engine/container"
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
	edited := spec.Edits != nil
	if spec, err = spec.Plain(); err != nil {
		return nil, err
	}
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
	c, err := t.process(ctx, spec)
	r.settle(spec.ID, c)
	if err != nil {
		t.leave()
		return nil, err
	}
	go c.wait(context.WithoutCancel(ctx))
	if !edited { // what they mount is one container's
		t.refill(spec)
	}
	return c, nil
}

// process makes the container's first process, in a berth.
func (t *template) process(ctx context.Context, spec container.Spec) (_ *running, err error) {
	b, err := t.berth(ctx, spec)
	if err != nil {
		return nil, err
	}
	stop := b.bound(ctx)
	defer stop()
	c := b.running
	c.id, c.template, c.started, c.ending = spec.ID, t.id, time.Now(), t.leave
	defer func() {
		b.release()
		if err != nil {
			if ctx.Err() != nil { // shows in several ways
				err = ctx.Err()
			}
			_ = c.kill("")
			err = errors.Join(err, c.clear(context.WithoutCancel(ctx)))
		}
	}()
	if err := b.name(spec); err != nil {
		return nil, err
	}
	report, child, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer report.Close()
	err = send(b.channel, order{Args: spec.Args, Env: spec.Environment(), Dir: workDir(spec), Hostname: hostnameOf(spec)}, spec.Stdout, spec.Stderr, child)
	child.Close()
	if err != nil {
		return nil, err
	}
	if err := begun(ctx, report); err != nil {
		return nil, err
	}
	return c, ctx.Err()
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
	case text[0] != 'R':
		return errors.New(string(text))
	case len(text) > 1:
		return errors.New(string(text[1:]))
	}
	return nil
}
