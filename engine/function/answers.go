package function

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/engine/call"
	"github.com/gx-dev/gx/engine/logs"
	"github.com/gx-dev/gx/engine/output"
	"github.com/gx-dev/gx/engine/trace"
	"github.com/gx-dev/gx/gpu"
	"github.com/gx-dev/gx/wire"
)

// maxBatch is how many frames are handled together: more would only make
// callers wait.
const maxBatch = 256

// serve reads the runner's frames until the connection ends.
func (m *member) serve() {
	for m.broke == nil {
		f, err := m.conn.Read()
		if err != nil {
			m.noteBroken(err)
			return
		}
		m.batch = append(m.batch[:0], f)
		for len(m.batch) < maxBatch && m.conn.More() {
			if f, err = m.conn.Read(); err != nil {
				break // it comes again
			}
			m.batch = append(m.batch, f)
		}
		m.handle(m.batch)
		clear(m.batch)
	}
}

// noteBroken remembers an error that is more than the end of a connection.
func (m *member) noteBroken(err error) {
	if errors.Is(err, wire.ErrProtocol) && m.broke == nil {
		m.broke = err
	}
}

// handle takes frames of a runner that is ready.
func (m *member) handle(frames []wire.Frame) {
	m.answers = m.answers[:0]
	for _, f := range frames {
		if f.Mine() || f.Type == wire.Request || f.Type == wire.Within {
			if err := m.caller.Handle(f); err != nil {
				m.noteBroken(err)
				break
			}
			continue
		}
		switch f.Type {
		case wire.Result, wire.Error, wire.Item:
			whole, ok, err := m.joiner.Add(f)
			if err != nil {
				m.noteBroken(err)
			} else if ok {
				if whole.Type == wire.Error && m.secrets.mask != nil {
					whole = m.secrets.maskErrorFrame(whole)
				}
				m.answers = append(m.answers, whole)
			}
		case wire.WebResponse, wire.WebData, wire.WebEnd, wire.WebMessage, wire.WebCredit, wire.WebConn:
			m.answers = append(m.answers, f)
		case wire.Staged:
			if err := m.stagedBy(f); err != nil {
				m.noteBroken(err)
			}
		case wire.Bye:
			m.saysBye(f)
		default:
			m.noteBroken(fmt.Errorf("%w: a runner sent a %v frame", wire.ErrProtocol, f.Type))
		}
	}
	m.caller.Settle()
	if len(m.answers) > 0 {
		m.answered(m.answers)
		clear(m.answers)
	}
}

// saysBye notes that the runner ends, and what it says of its work.
func (m *member) saysBye(bye wire.Frame) {
	m.bye = true
	if len(bye.Body) == 0 {
		return
	}
	var body wire.ByeBody
	var work gpu.Work
	err := bye.Decode(&body)
	if err == nil && body.Work != nil {
		err = json.Unmarshal(body.Work, &work)
	}
	if err != nil {
		m.f.log.Warn("what a container says of its work on GPUs can't be read", "container", m.id, "error", err)
		return
	}
	m.set().Meter.Worked(work)
}

// answered delivers answers, and gives the container more to do.
func (m *member) answered(frames []wire.Frame) {
	f := m.f
	// What the inputs printed comes before their answers.
	if spec := &m.version().Spec; spec.Web == nil || spec.Concurrency == 1 { // clients of the web see no log
		m.capture.Drain(spec.Concurrency == 1)
	}
	out := make([]call.Answer, 0, len(frames))
	var done, failed, measured int
	var ran time.Duration
	var retries []retry
	returned := false
	f.mu.Lock()
	now := f.host.Clock.Now()
	var others []*member
	var kept []keeping
	for _, fr := range frames {
		in := m.inputs[key{fr.Call, fr.Index}]
		part := fr.Type == wire.Item || fr.Type.Web()
		if in == nil || in.Attempt != fr.Attempt || part && in.Done || fr.Type.Web() && in.Call.Kind != call.KindWeb {
			closeFile(fr)
			continue
		}
		if in.Logged > 0 {
			fr.Flags |= wire.FlagLogged
			fr.Logged = in.Logged
		}
		if part {
			in.Items = true
			out = append(out, call.Answer{Input: in, Frame: fr})
			continue
		}
		began := in.Since
		m.release(in, now)
		if in.Recalled && fr.Type == wire.Error && recalled(fr) {
			closeFile(fr)
			in.Attempt--
			if in.Done {
				in.Drop()
			} else {
				f.queue.PushFront(in)
				returned = true
			}
			continue
		}
		measured++
		if !began.IsZero() {
			ran += now.Sub(began)
		}
		if in.Done { // cancelled, or overdue: it was answered before
			closeFile(fr)
			in.Drop()
			continue
		}
		if fr.Type == wire.Error {
			if delay, ok := f.retryDelay(in); ok {
				r := f.retryLater(in, delay, fr)
				f.again(in, trace.Raised, r.cause, delay)
				retries = append(retries, r)
				continue
			}
			failed++
			f.failed(in, trace.Raised, func() string { return raised(fr) })
		} else {
			in.Call.Trace.Answered(in.Index, in.Attempt, m.id, in.Came, began, now)
		}
		done++
		in.Done = true
		if in.Call.Memory != nil && fr.Type == wire.Result && !in.Items {
			kept = append(kept, keeping{in, fr, now.Sub(began)})
		}
		out = append(out, call.Answer{Input: in, Frame: fr})
	}
	if measured > 0 {
		m.stuck = false
		m.measure(measured, ran, now)
	}
	if done > 0 {
		m.served = true
		f.health = health{}
	}
	m.refill(now)
	if f.version().Spec.Batch != nil {
		others = f.batches(now)
	}
	most := m.version().Spec.MaxInputs
	spent := most > 0 && m.taken >= most && len(m.inputs) == 0
	if len(m.inputs) == 0 {
		m.idle = now
	}
	// Nobody else would see that a container too many stays idle, or give what came
	// back to others.
	idles := len(m.inputs) == 0 && f.timer == nil && (len(f.members) > f.scaling.Min || f.closing)
	look := idles || returned
	leavesFor := m.leavesFor()
	yields, outdated := m.yields && len(m.inputs) == 0, m.outdated && len(m.inputs) == 0
	f.mu.Unlock()

	m.conn.Flush()
	for _, other := range others {
		other.conn.Flush()
	}
	if done > 0 {
		m.set().Meter.Inputs(done, failed)
	}
	for _, k := range kept {
		k.in.Call.Memory.Keep(k.in, k.result, k.took)
	}
	call.Deliver(out)
	for i := range out {
		if out[i].Input.Done {
			out[i].Input.Drop()
		}
	}
	for _, r := range retries {
		f.sayRetry(m, r)
	}
	if spent {
		m.stop("it has taken all the inputs that it may take", f.grace())
	}
	if yields {
		m.stop(yielded, f.grace())
	}
	if outdated {
		m.stop(leavesFor, f.grace())
	}
	if look || spent {
		f.kick()
	}
}

// keeping is a result that may be kept for later runs.
type keeping struct {
	in     *call.Input
	result wire.Frame
	took   time.Duration
}

func closeFile(f wire.Frame) {
	if f.File != nil {
		_ = f.File.Close()
	}
}

// release takes an input off the container, which begins the next. f.mu is held.
func (m *member) release(in *call.Input, now time.Time) {
	delete(m.inputs, key{in.Call.Number, in.Index})
	in.Remove()
	m.leaveBatch(in)
	if in.Overdue {
		m.late--
	}
	if len(m.inputs) == 0 {
		m.alone = false
		if m.f.isolating == m {
			m.f.isolating = nil
		}
	}
	for m.waiting.Len() > 0 && m.running.Len() < m.version().Spec.Concurrency {
		next := m.waiting.Front()
		next.Remove()
		m.begin(next, now)
	}
}

// recalled reports whether an Error says that an input was given back before it
// began: the runner answers so when it is asked to cancel one.
func recalled(f wire.Frame) bool {
	e, _, err := wire.DecodeError(f.Body)
	return err == nil && (e.Type == "InputCancellation" || e.Type == "gx.exception.InputCancellation")
}

// stallAfter is how long a container may be silent before the inputs that it
// has ahead are given to others.
const stallAfter = 50 * time.Millisecond

// stalled looks after inputs that a container has ahead: they were given to it
// because inputs took microseconds, but the one it is at takes long.
func (m *member) stalled() {
	f := m.f
	f.mu.Lock()
	m.stall = nil
	if m.waiting.Len() == 0 {
		f.mu.Unlock()
		return
	}
	now := f.host.Clock.Now()
	if silent := now.Sub(m.busy); silent < stallAfter {
		m.stall = f.host.Clock.AfterFunc(stallAfter-silent, m.stalled)
		f.mu.Unlock()
		return
	}
	for in := m.waiting.Front(); in != nil; in = in.Next() {
		if !in.Recalled && !in.Done {
			in.Recalled = true
			m.conn.Queue(cancelFrame(in, "recalled"))
		}
	}
	m.stuck = true
	f.mu.Unlock()
	m.conn.Flush()
	f.kick()
}

// lines takes what the container printed. It is called with the capture's lock
// held, so f.mu must not be held by who calls the capture.
func (m *member) lines(printed []output.Line) {
	f := m.f
	now := f.host.Clock.Now()
	list := make([]api.LogLine, len(printed))
	owners := make([]*call.Input, len(printed))
	f.mu.Lock()
	for i, l := range printed {
		list[i] = api.LogLine{Time: now, Function: f.Name(), Container: m.id, Stream: logs.Stdout, Text: l.Text, Partial: l.Partial}
		if l.Stderr {
			list[i].Stream = logs.Stderr
		}
		var c *call.Call
		switch {
		case l.Tag.Set:
			owners[i] = m.inputs[key{l.Tag.Call, l.Tag.Index}]
			c = m.calls[l.Tag.Call]
			list[i].Input = l.Tag.Index
		case m.version().Spec.Concurrency == 1:
			if in := m.running.Front(); in != nil {
				owners[i], c = in, in.Call
				list[i].Input = in.Index
			}
		}
		if c != nil {
			list[i].Call = c.ID
		} else {
			list[i].Input = 0
		}
		m.tail = append(m.tail, l.Text)
	}
	if n := len(m.tail); n > tailSize {
		m.tail = append(m.tail[:0], m.tail[n-tailSize:]...)
	}
	f.mu.Unlock()
	last, err := f.cfg.App.Log.Append(list)
	if err != nil {
		f.log.Error("the app's log cannot be written", "error", err)
	}
	f.mu.Lock()
	for i, in := range owners {
		if in != nil {
			if err != nil {
				in.Logged = last
			} else {
				in.Logged = list[i].Seq
			}
		}
	}
	f.mu.Unlock()
}

// retry is an input that will be tried again, for telling the user.
type retry struct {
	call              string
	index             uint32
	attempt, failures int
	delay             time.Duration
	cause             string
}

// retryDelay is how long to wait before an input that failed by the user's
// doing is tried again; false = it is not. f.mu is held.
func (f *Function) retryDelay(in *call.Input) (time.Duration, bool) {
	r := f.version().Spec.Retries
	if in.Failures >= r.Max || in.Items || in.Call.Kind == call.KindWeb || f.closing {
		return 0, false
	}
	delay := r.Initial
	if r.Factor > 0 {
		delay *= math.Pow(r.Factor, float64(in.Failures))
	}
	if r.Longest > 0 {
		delay = min(delay, r.Longest)
	}
	in.Failures++
	return seconds(max(delay, 0), 0), true
}

// retryLater puts an input back into the queue after a delay. f.mu is held.
func (f *Function) retryLater(in *call.Input, delay time.Duration, cause wire.Frame) retry {
	r := retry{call: in.Call.ID, index: in.Index, attempt: int(in.Attempt), failures: in.Failures, delay: delay}
	if cause.Type == wire.Error {
		r.cause = raised(cause)
	}
	closeFile(cause)
	f.delayed[in] = f.host.Clock.AfterFunc(delay, func() { f.due(in) })
	return r
}

// raised is the last line of the traceback that an Error has.
func raised(f wire.Frame) string {
	e, _, err := wire.DecodeError(f.Body)
	if err != nil {
		return ""
	}
	return e.Type + ": " + e.Message
}

// due brings a delayed input back.
func (f *Function) due(in *call.Input) {
	f.mu.Lock()
	_, waits := f.delayed[in]
	if waits {
		delete(f.delayed, in)
		f.queue.PushBack(in)
	}
	f.mu.Unlock()
	f.kick()
}

func (f *Function) sayRetry(m *member, r retry) {
	f.say(m.id, r.call, r.index, "attempt %d of %s failed (%s); it is tried again in %v (retry %d of %d)",
		r.attempt, f.Name(), short(r.cause), r.delay, r.failures, f.version().Spec.Retries.Max)
}

// short cuts a text for one line.
func short(s string) string {
	const most = 200
	for i, c := range s {
		if c == '\n' || i >= most {
			return s[:i] + "..."
		}
	}
	return s
}
