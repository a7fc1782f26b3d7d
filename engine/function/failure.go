package function

import (
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/gx-dev/gx/engine/call"
	"github.com/gx-dev/gx/engine/container"
	"github.com/gx-dev/gx/engine/pool"
	"github.com/gx-dev/gx/engine/trace"
	"github.com/gx-dev/gx/wire"
)

// How often the host tries by itself.
const (
	maxLost   = 3 // containers that may die under one input
	maxStarts = 3 // starts in a row that may fail before those who wait are told
	killGrace = 2 * time.Second
	// cancelGrace is what code that was cancelled has for clearing up, as exit
	// hooks have.
	cancelGrace = 30 * time.Second
	// settled is how long after its start a container that ends has not failed
	// to start.
	settled = 30 * time.Second
)

// health is how a function's containers have been starting. f.mu guards it.
type health struct {
	failures int         // starts in a row that failed, without those that were under way together
	last     time.Time   // when the last of them failed
	hold     time.Time   // nothing is started before
	broken   *wire.Frame // the Error of an import that failed, for inputs until then
}

// fail notes the failed start of a container that was begun at some time: the
// next ones are held back for longer each time. Of several that were under way
// together only the first to fail says something new.
func (h *health) fail(began, now time.Time) {
	if began.Before(h.last) {
		return
	}
	h.failures++
	h.last = now
	h.hold = now.Add(min(250*time.Millisecond<<min(h.failures-1, 10), 30*time.Second))
}

// next tells a user when the next start will be.
func (h *health) next(now time.Time) string {
	if h.failures == 0 || !h.hold.After(now) {
		return ""
	}
	return fmt.Sprintf("; the next is started in %v (failures in a row: %d)", h.hold.Sub(now).Round(10*time.Millisecond), h.failures)
}

// failure is why a container did not come up.
type failure struct {
	message string
	body    []byte // of a Failed frame: what the user's code raised
	stopped bool   // it was told not to
	final   bool   // it is of no use to try again at once
}

// startFailed tells those who wait that a container did not come up, if trying
// again is of no use. mu is held.
func (f *Function) startFailed(m *member, why failure, now time.Time) []call.Answer {
	f.health.fail(m.began, now)
	for _, other := range f.members {
		if other != m && other.state == ready && !other.leaves() {
			return nil // it can do the work
		}
	}
	if why.body != nil {
		f.health.broken = &wire.Frame{Header: wire.Header{Type: wire.Error}, Body: why.body}
	} else if !why.final && f.health.failures < maxStarts {
		return nil
	}
	if f.health.failures > 1 && why.body == nil {
		why.message = fmt.Sprintf("%d containers in a row did not come up; the last: %s", f.health.failures, why.message)
	}
	var out []call.Answer
	for f.queue.Len() > 0 {
		in := f.queue.Front()
		in.Remove()
		if why.body != nil {
			out = append(out, f.broken(in))
			continue
		}
		out = append(out, f.give(in, wire.FailBody{Kind: wire.FailStart, Message: why.message}))
	}
	return out
}

// broken answers an input with what importing the user's code raised. mu is held.
func (f *Function) broken(in *call.Input) call.Answer {
	in.Done = true
	fr := *f.health.broken
	f.failed(in, trace.Import, func() string { return raised(fr) })
	fr.Call, fr.Index, fr.Attempt = in.Call.Number, in.Index, in.Attempt
	return call.Answer{Input: in, Frame: fr}
}

// cause is why a container ended that was not asked to.
type cause struct {
	kind    string // of the failure that an input gets
	message string
	user    bool // the user's code did it: it is an attempt that failed
}

// causeOf says why a container that was ready ended.
func (m *member) causeOf(exit container.Exit, limit int64) cause {
	where := fmt.Sprintf("while container %s ran this input", m.id)
	switch {
	case exit.OOMKilled:
		return cause{wire.FailOOM, fmt.Sprintf("out of memory %s: %s", where, memoryText(exit, limit)), true}
	case exit.Orphaned:
		return cause{wire.FailLost, fmt.Sprintf("the container ended %s: %s", where, exit.Reason), false}
	case exit.Reason != "":
		return cause{wire.FailLost, fmt.Sprintf("the container was ended %s: %s", where, exit.Reason), true}
	case m.broke != nil:
		return cause{wire.FailLost, fmt.Sprintf("the runner's connection broke %s: %v", where, m.broke), false}
	case exit.Signal == 0 && !m.closedItself(exit):
		return cause{wire.FailLost, fmt.Sprintf("the process ended itself with exit status %d %s (os._exit, or a library that exits)", exit.Code, where), true}
	case crashed(exit.Signal):
		return cause{wire.FailLost, fmt.Sprintf("the process crashed %s: %s (a fault in native code, or its abort(), of an extension module for instance)", where, signalText(exit.Signal)), true}
	case m.closedItself(exit):
		return cause{wire.FailLost, fmt.Sprintf("the runner lost its connection to the host %s", where), false}
	}
	text := fmt.Sprintf("the container was killed %s by %s", where, signalText(exit.Signal))
	if exit.Signal == syscall.SIGKILL && limit > 0 && exit.Peak > limit/10*9 {
		text += fmt.Sprintf("; it had used %s of %s of memory", pool.Bytes(exit.Peak), pool.Bytes(limit))
	}
	return cause{wire.FailLost, text, false}
}

// closedItself reports whether the runner's connection ended before its
// process did: the host killed it then, or it gave up by itself.
func (m *member) closedItself(exit container.Exit) bool {
	return m.killed && exit.Signal == syscall.SIGKILL || exit.Code == lostHost
}

// lostHost is the exit status of a runner that has lost its host.
const lostHost = 70

func crashed(s syscall.Signal) bool {
	switch s {
	case syscall.SIGSEGV, syscall.SIGBUS, syscall.SIGILL, syscall.SIGFPE, syscall.SIGABRT, syscall.SIGSYS, syscall.SIGTRAP:
		return true
	}
	return false
}

func signalText(s syscall.Signal) string {
	names := map[syscall.Signal]string{
		syscall.SIGKILL: "SIGKILL", syscall.SIGTERM: "SIGTERM", syscall.SIGINT: "SIGINT", syscall.SIGHUP: "SIGHUP",
		syscall.SIGSEGV: "SIGSEGV", syscall.SIGBUS: "SIGBUS", syscall.SIGILL: "SIGILL", syscall.SIGFPE: "SIGFPE",
		syscall.SIGABRT: "SIGABRT", syscall.SIGSYS: "SIGSYS", syscall.SIGTRAP: "SIGTRAP",
	}
	if name, ok := names[s]; ok {
		return fmt.Sprintf("signal %d (%s)", int(s), name)
	}
	return fmt.Sprintf("signal %d", int(s))
}

func memoryText(exit container.Exit, limit int64) string {
	text := "the container's memory limit"
	if limit > 0 {
		text += " is " + pool.Bytes(limit)
	}
	if exit.Peak > 0 {
		text += ", and it had used " + pool.Bytes(exit.Peak)
	}
	return text + "; give the function more with memory="
}

// exitText says how a container ended that was starting.
func exitText(exit container.Exit, limit int64) string {
	switch {
	case exit.OOMKilled:
		return "it was out of memory: " + memoryText(exit, limit)
	case exit.Reason != "":
		return exit.Reason
	case exit.Signal != 0:
		return "it was killed by " + signalText(exit.Signal)
	}
	if exit.Code == lostHost {
		return "its runner lost the connection to the host"
	}
	return fmt.Sprintf("it ended with exit status %d", exit.Code)
}

// withTail adds the last lines that a container printed to a message. f.mu is
// held.
func (m *member) withTail(message string) string {
	if len(m.tail) == 0 {
		return message + "; it printed nothing"
	}
	return message + "; the last that it printed:\n  " + strings.Join(m.tail, "\n  ")
}

// orphans decides what becomes of the inputs of a container that has ended. mu
// is held.
func (m *member) orphans(why cause, wanted bool) (out []call.Answer, retries []retry) {
	f := m.f
	var back []*call.Input
	// Each of several may have done it, also one whose answer the runner had not
	// sent yet: they are run by themselves, which shows who it is.
	doubt := !wanted && len(m.inputs) > 1
	for in := m.running.Front(); in != nil; in = m.running.Front() {
		in.Remove()
		m.leaveBatch(in)
		in.Suspect = in.Suspect || doubt
		switch {
		case in.Done:
			in.Drop()
		case in.Items || in.Once: // the caller has a part of it already
			out = append(out, f.give(in, wire.FailBody{Kind: why.kind, Message: why.message}))
		case wanted: // it ended because the host wanted it, for no fault of the input
			f.again(in, wire.FailLost, why.message, 0)
			back = append(back, in)
		case why.user && !doubt:
			if delay, ok := f.retryDelay(in); ok {
				r := f.retryLater(in, delay, wire.Frame{})
				r.cause = why.message
				f.again(in, why.kind, r.cause, delay)
				retries = append(retries, r)
				continue
			}
			out = append(out, f.give(in, wire.FailBody{Kind: why.kind, Message: why.message}))
		default:
			if !doubt {
				in.Lost++
			}
			if in.Lost >= maxLost {
				out = append(out, f.give(in, wire.FailBody{Kind: wire.FailLost, Message: fmt.Sprintf(
					"%d containers died while they ran this input, so it is not tried again; the last time %s", maxLost, why.message)}))
				continue
			}
			f.again(in, wire.FailLost, why.message, 0)
			back = append(back, in)
		}
	}
	for in := m.waiting.Front(); in != nil; in = m.waiting.Front() {
		in.Remove()
		if in.Done {
			in.Drop()
			continue
		}
		in.Suspect = in.Suspect || doubt
		back = append(back, in)
	}
	clear(m.inputs)
	if f.isolating == m {
		f.isolating = nil
	}
	for i := len(back) - 1; i >= 0; i-- {
		if f.closing {
			out = append(out, f.handBack(back[i], f.stopping))
			continue
		}
		f.queue.PushFront(back[i])
	}
	return out, retries
}

// overdue ends attempts that have run for longer than they may.
func (m *member) overdue() {
	f := m.f
	var out []call.Answer
	var retries []retry
	var zombies []*call.Input
	hang := false
	m.capture.Drain(false) // what the inputs printed comes before their failures
	f.mu.Lock()
	m.limit = nil
	now := f.host.Clock.Now()
	limit := f.timeout()
	for in := m.running.Front(); in != nil; in = in.Next() {
		left := limit - now.Sub(in.Since)
		if in.Overdue {
			continue // see reap
		}
		if left > 0 {
			if m.limit == nil && !in.Done { // they are in the order of their beginning
				m.limit = f.host.Clock.AfterFunc(left, m.overdue)
			}
			continue
		}
		if in.Done {
			hang = true // it was cancelled long ago, and does not end
			continue
		}
		body := wire.FailBody{Kind: wire.FailTimeout, Message: fmt.Sprintf("%s ran for longer than its timeout of %v", f.Name(), limit)}
		m.interrupt(in, "timeout")
		zombies = append(zombies, in)
		if delay, ok := f.retryDelay(in); ok {
			r := f.retryLater(in.Again(), delay, wire.Frame{})
			r.cause = body.Message
			f.again(in, body.Kind, r.cause, delay)
			retries = append(retries, r)
		} else {
			out = append(out, f.give(in, body))
		}
		in.Overdue = true
		m.late++
	}
	if m.limit == nil && m.running.Len() > 0 && !hang {
		m.limit = f.host.Clock.AfterFunc(limit, m.overdue)
	}
	f.mu.Unlock()
	m.conn.Flush()
	f.deliver(out)
	for _, r := range retries {
		f.sayRetry(m, r)
	}
	if hang {
		m.kill("an input that was cancelled did not end")
	}
	if len(zombies) > 0 {
		f.host.Clock.AfterFunc(killGrace, func() { m.reap(zombies) })
	}
}

// reap kills the container if attempts that were ended are still going on.
func (m *member) reap(zombies []*call.Input) {
	m.f.mu.Lock()
	alive := m.runs(zombies)
	m.f.mu.Unlock()
	if alive {
		m.kill(fmt.Sprintf("an input did not end %v after its timeout", killGrace))
	}
}

// expectEnd kills the container if inputs that were cancelled are going on when
// they should have ended, and it is at nothing else. While it is at something
// that is waited for, only the timeout of what was cancelled ends it.
func (m *member) expectEnd(cancelled []*call.Input) {
	m.f.host.Clock.AfterFunc(cancelGrace, func() {
		m.f.mu.Lock()
		alive, needed := m.runs(cancelled), false
		for _, in := range m.inputs {
			needed = needed || !in.Done
		}
		m.f.mu.Unlock()
		switch {
		case alive && needed:
			m.expectEnd(cancelled)
		case alive:
			m.kill(fmt.Sprintf("an input did not end %v after it was cancelled", cancelGrace))
		}
	})
}

// runs reports whether the container is at one of these inputs. f.mu is held.
func (m *member) runs(inputs []*call.Input) bool {
	for _, in := range inputs {
		if in.In(&m.running) {
			return true
		}
	}
	return false
}
