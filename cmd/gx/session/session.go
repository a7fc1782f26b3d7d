// Package session is one run of an app as the command line conducts it: it
// listens to the user's Python over the control socket, has the images built
// and the app started on a host, hands Python its connection, and shows what
// the host tells until the app has ended. `gx run` and `gx session` are its two
// users. It does not know how Python was started, nor where the host is.
package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"github.com/gx-dev/gx/api"
	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/build"
	"github.com/gx-dev/gx/cmd/gx/exit"
	"github.com/gx-dev/gx/cmd/gx/explain"
	"github.com/gx-dev/gx/cmd/gx/filehash"
	"github.com/gx-dev/gx/cmd/gx/ui"
	"github.com/gx-dev/gx/sdk"
)

// Control is the socket to the user's Python.
type Control interface {
	Recv(ctx context.Context) (sdk.FromPython, error)
	Send(m sdk.ToPython, fds ...*os.File) error
}

// Host is what a session needs of a host.
type Host interface {
	Status(ctx context.Context) (api.Status, error)
	// Check tells what functions name and the host does not have.
	Check(ctx context.Context, req api.CheckRequest) error
	// Upload sends contents that the host lacks. Its error has client.ErrChanged
	// in its chain where a file is no longer what its hash says.
	Upload(ctx context.Context, files []app.File, open func(app.File) (io.ReadCloser, error), progress func(done, total int64)) error
	Build(ctx context.Context, req api.BuildRequest, events func(build.Event)) (id string, notes []string, err error)
	StartSession(ctx context.Context, req api.SessionRequest) (App, error)
	Deployer
	// Connection returns a descriptor that speaks frames, for a program that has
	// no app of its own, and what to call when the session ends.
	Connection(ctx context.Context) (*os.File, func(), error)
}

// App is a running app.
type App interface {
	Started() api.Started
	Events() <-chan api.SessionMessage
	Stop(ctx context.Context, now bool) error
	Attach(ctx context.Context) (*os.File, error)
	Close() error
}

// Options is what a session is made of.
type Options struct {
	UI      *ui.UI
	Control Control
	// Connect returns the host; it may wait until it is started. It is called
	// when Python asks for an app, so that both are waited for at once.
	Connect func(ctx context.Context) (Host, error)
	Hashes  *filehash.Cache
	// Signals are the interrupts that gx received.
	Signals <-chan os.Signal
	// Python receives the signals that gx has to pass on; nil = nobody to tell.
	Python func(os.Signal)
	// Terminal says that gx and Python are in the foreground of a terminal,
	// which gives Ctrl-C to both of them by itself.
	Terminal bool

	Detach     bool     // the app goes on when the session ends
	Resume     bool     // results of maps that an earlier run has made are taken over
	Estimate   bool     // what is computed on emulated GPUs is counted, and estimated for real ones
	Faults     []string // that the host is to have happen; see package fault of the engine
	FaultSeed  uint64
	Timestamps bool
	// HoldBill keeps what the app cost until Python has ended.
	HoldBill bool
	// ShowExceptions is for a Python that leaves it to gx to print them.
	ShowExceptions bool
	LogFile        string // of the host, for messages
}

// Outcome is how a session ended.
type Outcome struct {
	// Code is gx's own verdict, 0 where it has none and Python's counts.
	Code int
	// Exit is the last that Python said; nil if it ended without a word.
	Exit *sdk.Exit
	// Exception is the code that the last exception asks for, 0 if none came.
	Exception int
}

const (
	// patience is how long Python has to react to Ctrl-C by itself.
	patience = 5 * time.Second
	// lastWait is how long a host has to end an app at once.
	lastWait = 10 * time.Second
)

// Run conducts a session until Python has closed the control socket, or has
// said its last line, and the app has ended. Whatever happens, nothing of it
// is left running when it returns, unless the app is detached.
func Run(ctx context.Context, o Options) Outcome {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s := &session{Options: o}
	received := make(chan sdk.FromPython)
	listening := make(chan struct{})
	go func() {
		defer close(listening)
		defer close(received)
		s.listen(ctx, received)
	}()
	s.loop(ctx, received)
	for _, hangUp := range s.connections {
		hangUp()
	}
	cancel()
	<-listening
	s.showBill()
	o.UI.Flush()
	return s.outcome
}

// session is the state of Run, owned by its goroutine.
type session struct {
	Options
	outcome Outcome

	starting   <-chan started // set while an app, or a connection, is being started
	abandon    context.CancelFunc
	app        App
	events     <-chan api.SessionMessage
	show       *Shown
	detached   bool   // the app goes on without the session
	stopping   bool   // the host was asked to end the app
	pythonEnds bool   // Python closed its socket or said its last line
	answerStop bool   // Python waits for {"stopped"}
	sync       uint64 // Python waits until this line is printed; 0 = it does not
	signals    int
	timer      <-chan time.Time
	bill       *api.Stopped
	// connections are those without an app; they last as long as the session.
	connections []func()
	lost        bool // the host went away
}

// listen hands over what Python says until it ends.
func (s *session) listen(ctx context.Context, received chan<- sdk.FromPython) {
	for {
		m, err := s.Control.Recv(ctx)
		if err != nil {
			if ctx.Err() == nil && !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
				s.UI.Warn(fmt.Sprintf("the connection to Python broke: %v", err))
			}
			return
		}
		select {
		case received <- m:
		case <-ctx.Done():
			return
		}
	}
}

func (s *session) loop(ctx context.Context, received <-chan sdk.FromPython) {
	ctxDone := ctx.Done()
	for !s.pythonEnds || s.app != nil || s.starting != nil {
		select {
		case m, ok := <-received:
			if !ok {
				received = nil
				s.python(ctx, sdk.FromPython{Stop: &struct{}{}})
				s.pythonEnds = true
				continue
			}
			s.python(ctx, m)
		case st := <-s.starting:
			s.started(ctx, st)
		case m, ok := <-s.events:
			s.happened(m, ok)
		case sig := <-s.Signals:
			s.signal(ctx, sig)
		case <-s.timer:
			s.overdue(ctx)
		case <-ctxDone:
			ctxDone = nil
			s.signal(ctx, syscall.SIGTERM)
		}
	}
}

// python acts on a line from Python.
func (s *session) python(ctx context.Context, m sdk.FromPython) {
	switch {
	case m.Start != nil:
		s.start(ctx, func(ctx context.Context) started { return s.prepare(ctx, *m.Start) })
	case m.Connect != nil:
		s.start(ctx, s.connection)
	case m.Deploy != nil:
		s.start(ctx, func(ctx context.Context) started { return s.deploy(ctx, *m.Deploy) })
	case m.Sync != 0:
		s.sync = m.Sync
		s.answerSync()
	case m.Exception != nil:
		s.exception(*m.Exception)
	case m.Warning != "":
		s.UI.Warn(m.Warning)
	case m.Stop != nil:
		s.answerStop = true
		s.stopApp(ctx, false)
	case m.Exit != nil:
		s.outcome.Exit = m.Exit
		s.stopApp(ctx, false)
		s.pythonEnds = true
	}
}

func (s *session) exception(e sdk.Exception) {
	s.outcome.Exception = explain.ExceptionCode(e)
	// What follows from Ctrl-C or from the host's end was said already.
	if s.lost || s.signals > 0 || !s.ShowExceptions {
		return
	}
	s.UI.Problem(explain.Exception(e))
}

// start begins to start an app, or a connection. The loop goes on meanwhile.
func (s *session) start(ctx context.Context, prepare func(context.Context) started) {
	if s.app != nil || s.starting != nil {
		s.send(sdk.ToPython{Failed: &sdk.Failure{Kind: "InvalidError", Exit: exit.Usage,
			Message: "an app is running in this program already"}})
		return
	}
	if s.signals > 0 {
		s.send(sdk.ToPython{Failed: &sdk.Failure{Kind: "InternalError", Message: "interrupted", Shown: true, Exit: exit.Interrupted}})
		return
	}
	ctx, s.abandon = context.WithCancel(ctx)
	result := make(chan started, 1)
	s.starting = result
	go func() { result <- prepare(ctx) }()
}

// started tells Python how its start went.
func (s *session) started(ctx context.Context, st started) {
	s.starting = nil
	s.abandon()
	if st.failure != nil {
		if s.signals > 0 {
			st.failure.Exit, st.failure.Shown = exit.Interrupted, true
		}
		s.fail(st.failure.Exit)
		s.answerStop = false
		s.send(sdk.ToPython{Failed: st.failure})
		return
	}
	if st.deployed != nil {
		s.send(sdk.ToPython{Deployed: st.deployed})
		s.answerStopped()
		return
	}
	if st.app == nil {
		s.connections = append(s.connections, st.hangUp)
		s.send(sdk.ToPython{Started: &sdk.Started{Functions: map[string]string{}}}, st.frames)
		_ = st.frames.Close()
		s.answerStopped()
		return
	}
	s.app, s.events, s.stopping, s.lost = st.app, st.app.Events(), false, false
	s.show = NewShown(s.UI, st.output, ui.LogStyle{Timestamps: s.Timestamps})
	s.detached = s.Detach || st.detach
	ids := st.app.Started()
	s.show.Began(ids.App, st.name)
	s.show.Endpoints(ids.Web)
	err := s.Control.Send(sdk.ToPython{Started: &sdk.Started{App: ids.App, Functions: ids.Functions}}, st.frames)
	_ = st.frames.Close()
	if err != nil || s.pythonEnds || s.signals > 0 {
		s.stopApp(ctx, s.signals > 1)
	}
}

// stopApp ends the app, or lets go of it if it is detached.
func (s *session) stopApp(ctx context.Context, now bool) {
	switch {
	case s.starting != nil:
		s.abandon()
	case s.app == nil:
		s.answerStopped()
	case s.detached && !now:
		s.UI.Notice(fmt.Sprintf("app %s keeps running; `gx app logs %s` shows its output, `gx app stop %s` ends it",
			s.app.Started().App, s.app.Started().App, s.app.Started().App))
		s.ended()
	case !s.stopping || now:
		s.stopping = true
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWait)
		defer cancel()
		if s.app.Stop(ctx, now) != nil {
			s.disconnected() // Python may learn of the host's end before the events tell
		}
	}
}

// happened shows what the host told, and all else that is there already.
func (s *session) happened(m api.SessionMessage, ok bool) {
	for range 1000 {
		if !ok {
			s.disconnected()
			return
		}
		if m.Stopped != nil {
			s.bill = m.Stopped
			if m.Stopped.Reason != "" && !s.stopping {
				s.show.Gone(m.Stopped.Reason) // by somebody else: the user's program does not know yet
			}
			if !s.HoldBill {
				s.showBill()
			}
			s.ended()
			return
		}
		s.show.Message(m)
		select {
		case m, ok = <-s.events:
			continue
		default:
		}
		break
	}
	s.UI.Flush()
	s.answerSync()
}

// disconnected is the end of a host that did not say goodbye.
func (s *session) disconnected() {
	s.lost = true
	s.fail(exit.Host)
	p := explain.Host(errors.New("the host ended while the app was running; what was unfinished is lost"), s.LogFile)
	p.Do = "run it again: a new host is started, and clears what the old one left; with --resume maps go on where they were\n" + p.Do
	s.UI.Problem(p)
	s.ended()
}

// ended forgets the app and releases whoever waits for its end.
func (s *session) ended() {
	s.UI.Flush()
	_ = s.app.Close()
	s.app, s.events, s.timer = nil, nil, nil
	if s.sync != 0 {
		s.send(sdk.ToPython{Synced: s.sync})
		s.sync = 0
	}
	s.answerStopped()
}

func (s *session) answerStopped() {
	if s.answerStop {
		s.answerStop = false
		s.send(sdk.ToPython{Stopped: &struct{}{}})
	}
}

// answerSync lets Python go on once the lines that it waits for are printed.
func (s *session) answerSync() {
	if s.sync != 0 && (s.app == nil || s.show.Covers(s.sync)) {
		s.send(sdk.ToPython{Synced: s.sync})
		s.sync = 0
	}
}

// signal ends the app, gently at first.
func (s *session) signal(ctx context.Context, sig os.Signal) {
	s.signals++
	s.fail(exit.Interrupted)
	if s.signals > 1 {
		s.tell(syscall.SIGKILL)
		s.stopApp(ctx, true)
		s.timer = time.After(lastWait)
		return
	}
	if s.app != nil {
		s.UI.Notice("stopping; Ctrl-C again ends it at once")
	}
	if sig != os.Interrupt || !s.Terminal {
		s.tell(syscall.SIGINT)
	}
	if s.starting != nil {
		s.abandon()
	}
	s.timer = time.After(patience)
}

// overdue goes on without those who did not react to Ctrl-C.
func (s *session) overdue(ctx context.Context) {
	s.timer = nil
	switch {
	case s.signals > 1 && s.app != nil:
		s.UI.Warn("the host did not end the app in time; it will when this connection closes")
		s.ended()
	case s.signals == 1:
		s.stopApp(ctx, false)
	}
}

func (s *session) tell(sig syscall.Signal) {
	if s.Python != nil && !s.pythonEnds {
		s.Python(sig)
	}
}

// fail keeps the first verdict.
func (s *session) fail(code int) {
	if s.outcome.Code == 0 {
		s.outcome.Code = code
	}
}

// send answers Python. One that has ended needs no answer.
func (s *session) send(m sdk.ToPython, fds ...*os.File) { _ = s.Control.Send(m, fds...) }

func (s *session) showBill() {
	if s.bill != nil && s.show != nil {
		s.show.Bill(*s.bill)
		if s.bill.Kept > 0 && (s.signals > 0 || s.outcome.Exception != 0 || s.outcome.Exit == nil) {
			s.UI.Notice(fmt.Sprintf("`gx run --resume` goes on from here: %s of maps are kept, for as long as the code stays the same", ui.Count(s.bill.Kept, "result")))
		}
		if s.Estimate {
			s.showEstimates(*s.bill)
		}
		s.bill = nil
	}
}
