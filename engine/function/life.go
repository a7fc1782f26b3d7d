package function

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/gx-dev/gx/engine/ask"
	"github.com/gx-dev/gx/engine/call"
	"github.com/gx-dev/gx/engine/clock"
	"github.com/gx-dev/gx/engine/container"
	"github.com/gx-dev/gx/engine/runner"
	"github.com/gx-dev/gx/wire"
)

// How long a container that is ending is waited for.
const (
	exitPatience = 2 * time.Second // from its Bye to its process' end
	lostPatience = 2 * time.Second // from the end of its connection to that of its process
	pipePatience = time.Second     // from the end of its processes to that of their output
	// runnerPatience is how long answers wait for a runner that does not read
	// what its calls are answered with: two that wait for each other must not
	// wait for ever.
	runnerPatience = time.Second
)

// live is a container's life: it ends when nothing of the container is left.
func (m *member) live() {
	why := m.start()
	if why == nil {
		m.serve()
	}
	m.end(why)
}

// start starts the container and returns nil once it is ready.
func (m *member) start() *failure {
	f := m.f
	select {
	case f.host.Starts <- struct{}{}:
	case <-m.quit:
		return &failure{stopped: true}
	}
	giveBack := sync.OnceFunc(func() { <-f.host.Starts })
	defer giveBack()

	limit := seconds(m.version().Spec.StartupTimeout, DefaultStartupTimeout)
	expired := make(chan struct{})
	timer := f.host.Clock.AfterFunc(limit, func() { close(expired) })
	defer timer.Stop()
	began := f.host.Clock.Now()
	m.mark("turn")
	m.set().Meter.Started(m.id, began)
	m.shown = true
	m.tellState("starting", 0, "")

	if !m.delayed() {
		return &failure{stopped: true}
	}
	token, arrival, forget := f.host.Hub.Expect()
	defer forget()
	var mark [8]byte
	_, _ = rand.Read(mark[:]) // never fails
	c, err := m.launch(token, mark)
	if err != nil {
		select {
		case <-m.quit:
			return &failure{stopped: true}
		default:
		}
		f.log.Error("a container cannot be started", "container", m.id, "error", err)
		return &failure{message: fmt.Sprintf("a container for %s cannot be started: %v", f.Name(), err), final: ask.Kind(err) != ask.KindInternal}
	}
	m.container.Store(&c)
	m.observe(c)
	var conn *runner.Conn
	select {
	case conn = <-arrival:
	case <-c.Done():
		return m.diedStarting(c)
	case <-expired:
		return m.slowStart(limit)
	case <-m.quit:
		return &failure{stopped: true}
	}
	giveBack()
	f.mu.Lock()
	m.conn = conn
	m.trace.Mark("python", f.host.Clock.Now())
	f.mu.Unlock()
	m.caller = call.NewCaller(call.Config{Registry: f.host.Registry, Sender: conn.Writer(), Host: f.host.Calls, From: ask.From{App: f.cfg.App.ID, Container: m.id}, Origin: m.origin, Patience: runnerPatience})
	watched := make(chan struct{})
	// Ends with the container, at the latest.
	f.serving.Go(func() { m.watch(c, conn, expired, watched) })
	why := m.greet(mark)
	close(watched)
	if why == nil {
		m.isReady(f.host.Clock.Now().Sub(began))
		return nil
	}
	if why.stopped || why.body != nil {
		return why
	}
	select {
	case <-expired:
		return m.slowStart(limit)
	case <-m.quit:
		return &failure{stopped: true}
	default:
	}
	m.hangUp()
	m.bury(c, lostPatience)
	return m.diedStarting(c)
}

// watch makes reading end in time: soon after the container's end, even if one
// of its processes got away with the connection, and when the time for the
// start is over.
func (m *member) watch(c container.Container, conn *runner.Conn, expired, watched <-chan struct{}) {
	select {
	case <-watched:
	case <-expired:
		conn.Expire(time.Now())
	case <-m.quit:
		conn.Expire(time.Now())
	case <-c.Done():
	}
	<-c.Done()
	conn.Expire(time.Now().Add(pipePatience))
}

// greet tells the runner what to run and waits until it is ready.
func (m *member) greet(mark [8]byte) *failure {
	start, err := m.f.startFrame(m.version(), m.secrets, m.id, mark)
	if err != nil {
		return &failure{message: err.Error(), final: true}
	}
	m.conn.Queue(start)
	m.conn.Flush()
	for {
		fr, err := m.conn.Read()
		if err != nil {
			m.noteBroken(err)
			return &failure{}
		}
		whole, ok, err := m.joiner.Add(fr)
		switch {
		case err != nil:
			m.noteBroken(err)
			return &failure{}
		case !ok:
			continue
		}
		switch fr = whole; {
		case fr.Mine() || fr.Type == wire.Request || fr.Type == wire.Within: // the user's module makes calls while it is imported
			if err := m.caller.Handle(fr); err != nil {
				m.noteBroken(err)
				return &failure{}
			}
			if !m.conn.More() {
				m.caller.Settle()
			}
		case fr.Type == wire.Ready:
			if err := fr.Decode(&m.took); err != nil {
				m.noteBroken(err)
				return &failure{}
			}
			return nil
		case fr.Type == wire.Bye:
			m.saysBye(fr)
			return &failure{stopped: true}
		case fr.Type == wire.Failed:
			body, err := fr.ReadPayload(wire.MaxBody)
			if err != nil {
				return &failure{message: fmt.Sprintf("importing %s failed, and the error is too large: %v", m.f.Name(), err), final: true}
			}
			return &failure{body: m.secrets.maskError(body)}
		default:
			m.noteBroken(fmt.Errorf("%w: a runner that is starting sent a %v frame", wire.ErrProtocol, fr.Type))
			return &failure{}
		}
	}
}

// isReady gives the container its first inputs.
func (m *member) isReady(took time.Duration) {
	f := m.f
	f.mu.Lock()
	now := f.host.Clock.Now()
	m.trace.Ready(seconds(m.took.Import, 0), seconds(m.took.Enter, 0), now)
	if !m.tried(nil) {
		f.startup.Add(1, took)
		f.health.hold, f.health.broken = time.Time{}, nil
	}
	if !m.asked {
		m.state = ready
	}
	m.idle = now
	touched := f.fill(now)
	f.mu.Unlock()
	m.tellState("ready", took, "")
	for _, t := range touched {
		t.conn.Flush()
	}
	f.kick()
}

func (m *member) diedStarting(c container.Container) *failure {
	<-c.Done()
	m.finishOutput()
	m.f.mu.Lock()
	defer m.f.mu.Unlock()
	text := fmt.Sprintf("a container for %s ended before it was ready: %s", m.f.Name(), exitText(c.Exit(), m.version().Limits.Memory))
	if m.broke != nil {
		text = fmt.Sprintf("a container for %s did not become ready: %v", m.f.Name(), m.broke)
	}
	return &failure{message: m.withTail(text)}
}

func (m *member) slowStart(limit time.Duration) *failure {
	m.f.mu.Lock()
	defer m.f.mu.Unlock()
	what := "importing its module and running enter hooks"
	if webOf(&m.version().Spec) != nil {
		what = "importing its module, running enter hooks and starting its web application, lifespan included"
	}
	return &failure{final: true, message: m.withTail(fmt.Sprintf(
		"a container for %s was not ready within its startup_timeout of %v (%s)", m.f.Name(), limit, what))}
}

// launch starts the container's process.
func (m *member) launch(token string, mark [8]byte) (_ container.Container, err error) {
	f := m.f
	if m.secrets, err = f.secrets(m.version()); err != nil {
		return nil, err
	}
	spec, err := f.spec(m.version(), m.secrets, m.id, token)
	if err != nil {
		return nil, err
	}
	m.mark("image")
	if err := m.attach(&spec); err != nil {
		return nil, err
	}
	if err := m.equip(&spec); err != nil {
		return nil, err
	}
	m.made.Store(m.secrets.given(spec))
	pipes, err := newPipes(&spec)
	if err != nil {
		return nil, err
	}
	defer pipes.close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	stopped := make(chan struct{})
	defer close(stopped)
	f.serving.Go(func() {
		select {
		case <-m.quit:
			cancel()
		case <-stopped:
		}
	})
	c, phase, err := m.make(ctx, spec)
	if err != nil {
		return nil, err
	}
	m.mark(phase)
	if m.volumes != nil {
		m.volumes.Running(c)
	}
	m.capture, err = pipes.capture(mark, f.host.Clock, m.secrets.mask, m.lines)
	if err != nil {
		err = errors.Join(err, c.Kill())
		<-c.Done()
		return nil, err
	}
	return c, nil
}

// make forks the container from the function's template, or starts it, and says
// which.
func (m *member) make(ctx context.Context, spec container.Spec) (_ container.Container, phase string, err error) {
	if from := m.f.forkable(m); from != nil {
		m.mark("template")
		c, err := from.Fork(ctx, spec)
		if err == nil {
			return c, "fork", nil
		}
		if ctx.Err() != nil {
			return nil, "", err
		}
		m.f.log.Info("a container cannot be forked, and is started by itself", "container", m.id, "error", err)
	}
	c, err := m.f.host.Runtime.Start(ctx, spec)
	return c, "start", err
}

// bury waits for the end of the container, and kills it if that takes longer
// than patience.
func (m *member) bury(c container.Container, patience time.Duration) {
	late := make(chan struct{})
	timer := m.f.host.Clock.AfterFunc(patience, func() { close(late) })
	defer timer.Stop()
	select {
	case <-c.Done():
		return
	case <-late:
	}
	m.f.mu.Lock()
	m.killed = true
	m.f.mu.Unlock()
	if err := c.Kill(); err != nil {
		m.f.log.Error("a container cannot be killed", "container", m.id, "error", err)
	}
	<-c.Done()
}

// hangUp ends the connection, before the container's end is waited for: the
// kernel does not remove a network namespace to which a socket belongs, and
// this end of the connection belongs to that of the other.
func (m *member) hangUp() {
	if m.conn == nil || m.hungUp {
		return
	}
	m.hungUp = true
	m.conn.Close()
	m.conn.Release()
	m.caller.Close()
	m.joiner.Close()
}

// finishOutput takes the last that the container's processes, which have ended,
// printed.
func (m *member) finishOutput() {
	if m.capture != nil {
		m.capture.Close(pipePatience)
	}
}

// end clears up after a container, and sees to what it left undone.
func (m *member) end(why *failure) {
	f := m.f
	var exit container.Exit
	m.hangUp()
	c := m.container.Load()
	if c != nil {
		patience := lostPatience
		switch {
		case m.bye || why != nil && why.body != nil:
			patience = exitPatience
		case why != nil || m.broke != nil:
			patience = 0
		}
		if patience == 0 {
			_ = (*c).Kill() // told by Done
		}
		m.bury(*c, patience)
		exit = (*c).Exit()
	}
	m.finishOutput()
	m.detach(why)

	var out []call.Answer
	var retries []retry
	f.mu.Lock()
	now := f.host.Clock.Now()
	for i, other := range f.members {
		if other == m {
			f.members = append(f.members[:i:i], f.members[i+1:]...)
			break
		}
	}
	f.restTemplate()
	wanted := m.asked
	reason := ""
	switch {
	case m.tried(why):
		if m.trial.err != nil {
			reason = m.trial.err.Error()
		}
	case why != nil && !why.stopped && !wanted:
		out = f.startFailed(m, *why, now)
		reason = why.message
		if why.body != nil {
			reason = "importing the module failed, or an enter hook did"
		} else if f.queue.Len() > 0 || f.scaling.Min > 0 {
			reason += f.health.next(now)
		}
	case why == nil && !wanted && !m.bye:
		cause := m.causeOf(exit, m.version().Limits.Memory)
		reason = exitText(exit, m.version().Limits.Memory)
		if !m.served && m.running.Len() == 0 && now.Sub(m.began) < settled {
			f.health.fail(m.began, now) // it dies as soon as it is up
			reason += f.health.next(now)
		}
		if n := len(m.inputs); n > 1 {
			reason += fmt.Sprintf("; it had %d inputs, so each of them is tried again by itself", n)
		}
		out, retries = m.orphans(cause, false)
	default:
		if m.killed && why == nil { // one that was not ready yet leaves nothing to be told
			reason = m.reason
		}
		out, retries = m.orphans(cause{kind: wire.FailLost, message: "the container was ended: " + m.reason}, true)
	}
	f.traceEnd(m, why, exit, reason, now)
	for _, t := range []clock.Timer{m.limit, m.stall, m.killer, m.preempt} {
		if t != nil {
			t.Stop()
		}
	}
	f.mu.Unlock()

	m.giveBack()
	f.host.Ledger.Release(f.Owner(), m.set().Need)
	m.set().Meter.Ended(m.id, now)
	if m.shown {
		m.tellState("ended", 0, reason)
	}
	for _, r := range retries {
		f.sayRetry(m, r)
	}
	f.deliver(out)
	m.pins.Release()
	close(m.gone)
	f.kick()
}
