//go:build linux

package buildkit

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/moby/buildkit/client"
	gatewaypb "github.com/moby/buildkit/frontend/gateway/pb"
	"github.com/opencontainers/go-digest"

	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/build"
	"github.com/gx-dev/gx/redact"
)

// logKeep is how much of a step's output an error carries.
const logKeep = 64 << 10

// vertexName carries the recipe's step through BuildKit: an operation's name
// is all that comes back with its progress. last marks the operation that ends
// the step.
func vertexName(step int, last bool) string {
	if last {
		return fmt.Sprintf("gx %d end", step)
	}
	return fmt.Sprintf("gx %d", step)
}

// vertexStep is the inverse of vertexName.
func vertexStep(name string) (step int, last, ok bool) {
	rest, ok := strings.CutPrefix(name, "gx ")
	if !ok {
		return 0, false, false
	}
	number, end, _ := strings.Cut(rest, " ")
	step, err := strconv.Atoi(number)
	return step, end == "end", err == nil
}

// tracker turns BuildKit's progress into events of the recipe's steps.
type tracker struct {
	recipe  *recipe
	reasons []string // why each step is not cached, if it is not
	events  func(build.Event)

	mu       sync.Mutex
	steps    []progress
	vertices map[digest.Digest]vertex
	inside   int // the Dockerfile step that is being solved, or -1
}

// progress is how far a step is.
type progress struct {
	started time.Time
	begun   bool // EventStart was sent
	done    bool
	partial string // unfinished line
	log     []byte // the end of what it printed, secrets hidden
	mask    *redact.Mask
}

type vertex struct {
	step int
	last bool
}

func newTracker(r *recipe, reasons []string, events func(build.Event)) *tracker {
	t := &tracker{
		recipe: r, reasons: reasons, events: events, inside: -1,
		steps:    make([]progress, len(r.steps)),
		vertices: make(map[digest.Digest]vertex),
	}
	for i, step := range r.steps {
		t.steps[i].mask = redact.New(app.Variables(step.Secrets))
	}
	return t
}

func (t *tracker) event(kind build.EventKind, step int) build.Event {
	return build.Event{Kind: kind, Image: t.recipe.id, Step: step}
}

// enter and leave bracket the solving of a Dockerfile, whose operations have
// names of their own.
func (t *tracker) enter(step int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.inside = step
}

func (t *tracker) leave(step int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.inside = -1
	t.end(step, !t.steps[step].begun)
}

// preparing tells of work on the base that is not BuildKit's.
func (t *tracker) preparing(text string, current, size int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.begin(0, time.Now())
	if size > 0 {
		e := t.event(build.EventProgress, 0)
		e.Name, e.Current, e.Size = text, current, size
		t.events(e)
	}
}

// say adds a line to a step's log.
func (t *tracker) say(step int, line string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.print(step, line+"\n")
}

// begin tells that a step is being carried out, once.
func (t *tracker) begin(step int, at time.Time) {
	p := &t.steps[step]
	if p.begun || p.done || !works(t.recipe.steps[step]) {
		return
	}
	p.begun, p.started = true, at
	e := t.event(build.EventStart, step)
	e.Reason = t.reasons[step]
	t.events(e)
}

// end tells that a step is finished, once.
func (t *tracker) end(step int, cached bool) {
	p := &t.steps[step]
	if p.done || !works(t.recipe.steps[step]) {
		return
	}
	t.flush(step)
	p.done = true
	e := t.event(build.EventDone, step)
	e.Cached = cached
	if p.begun {
		e.Took = time.Since(p.started)
	}
	t.events(e)
}

func (t *tracker) update(s *client.SolveStatus) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, v := range s.Vertexes {
		t.vertex(v)
	}
	for _, status := range s.Statuses {
		if v, ok := t.vertices[status.Vertex]; ok && status.Total > 0 && status.Completed == nil {
			t.begin(v.step, time.Now())
			e := t.event(build.EventProgress, v.step)
			e.Current, e.Size = status.Current, status.Total
			t.events(e)
		}
	}
	for _, log := range s.Logs {
		if v, ok := t.vertices[log.Vertex]; ok {
			t.begin(v.step, time.Now())
			t.print(v.step, string(log.Data))
		}
	}
}

func (t *tracker) vertex(v *client.Vertex) {
	known, ok := t.vertices[v.Digest]
	if !ok {
		step, last, named := vertexStep(v.Name)
		switch {
		case named:
			known = vertex{step, last}
		case t.inside >= 0:
			known = vertex{t.inside, false}
		default:
			return // BuildKit's own
		}
		t.vertices[v.Digest] = known
	}
	if v.Started != nil && !v.Cached && known.last {
		t.begin(known.step, *v.Started)
	}
	if v.Completed != nil && v.Error == "" && known.last {
		t.end(known.step, v.Cached)
	}
}

// print passes on whole lines and keeps the end for an error.
func (t *tracker) print(step int, data string) {
	p := &t.steps[step]
	text := p.partial + data
	cut := strings.LastIndexByte(text, '\n') + 1
	p.partial = text[cut:]
	if len(p.partial) > logKeep { // it never ends
		cut = p.mask.Cut([]byte(text))
		p.partial = text[cut:]
	}
	if cut > 0 {
		e := t.event(build.EventLog, step)
		e.Data = p.mask.Text(strings.ToValidUTF8(text[:cut], "\uFFFD"))
		t.events(e)
		p.log = append(p.log, e.Data...)
		if len(p.log) > 2*logKeep {
			p.log = append(p.log[:0], p.log[len(p.log)-logKeep:]...)
		}
	}
}

func (t *tracker) flush(step int) {
	if t.steps[step].partial != "" {
		t.print(step, "\n")
	}
}

// finish tells that all is done: what was not heard of was not needed.
func (t *tracker) finish() {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.steps {
		t.end(i, !t.steps[i].begun)
	}
}

// failure tells which step failed, and returns its error.
func (t *tracker) failure(err error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	step := t.failing()
	if step < 0 {
		return err
	}
	t.flush(step)
	p := &t.steps[step]
	e := t.event(build.EventFailed, step)
	if p.begun {
		e.Took = time.Since(p.started)
	}
	failure := &build.StepError{
		Index: step, Name: build.StepName(t.recipe.steps[step]), Step: t.recipe.steps[step],
		Log: string(p.log[max(0, len(p.log)-logKeep):]), Err: err,
	}
	if code, ok := exitCode(err); ok {
		failure.Code = code
		failure.Err = &exitError{name: failure.Name, code: failure.Code, err: err}
	}
	e.Error = failure.Error()
	t.events(e)
	return failure
}

// endedWith finds a command's exit status in an error that came through
// BuildKit's API, where only its text is left.
var endedWith = regexp.MustCompile(`did not complete successfully: exit code: (\d+)`)

func exitCode(err error) (int, bool) {
	var exit *gatewaypb.ExitError
	if errors.As(err, &exit) && exit.ExitCode != gatewaypb.UnknownExitStatus {
		return int(exit.ExitCode), true
	}
	if match := endedWith.FindStringSubmatch(err.Error()); match != nil {
		code, err := strconv.Atoi(match[1])
		return code, err == nil
	}
	return 0, false
}

// failing is the step that was being carried out.
func (t *tracker) failing() int {
	for i := range t.steps {
		if t.steps[i].begun && !t.steps[i].done {
			return i
		}
	}
	if t.inside >= 0 {
		return t.inside
	}
	for i := range t.steps {
		if !t.steps[i].done && works(t.recipe.steps[i]) {
			return i
		}
	}
	return -1
}

// exitError is a command's failure in a user's words.
type exitError struct {
	name string
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.code > 128 {
		return fmt.Sprintf("%s was killed by signal %d", e.name, e.code-128)
	}
	return fmt.Sprintf("%s failed with exit code %d", e.name, e.code)
}

func (e *exitError) Unwrap() error { return e.err }
