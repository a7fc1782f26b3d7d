package remote

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"

	"github.com/gorilla/websocket"

	"github.com/gx-dev/gx/api"
)

// maxExecMessage is the most bytes that a client may send in one message while
// a command runs.
const maxExecMessage = 2 * api.MaxExecBytes

// exec runs a command in a container.
func (s *Server) exec(w http.ResponseWriter, r *http.Request) {
	id, ok := appID(w, r)
	if !ok {
		return
	}
	s.command(w, r, func(ctx context.Context, req api.ExecRequest, _ func(string)) (Command, error) {
		return s.backend.Exec(ctx, id, req)
	})
}

// shell runs a command in a container of its own.
func (s *Server) shell(w http.ResponseWriter, r *http.Request) {
	id, ok := appID(w, r)
	if !ok {
		return
	}
	function := r.URL.Query().Get("function")
	if len(function) > maxIdent {
		refuse(w, &api.Error{Code: "invalid", Message: fmt.Sprintf("a function's name has at most %d bytes, this has %d", maxIdent, len(function))})
		return
	}
	s.command(w, r, func(ctx context.Context, req api.ExecRequest, waiting func(string)) (Command, error) {
		return s.backend.Shell(ctx, id, function, req, waiting)
	})
}

func (s *Server) endContainer(w http.ResponseWriter, r *http.Request) {
	id, ok := appID(w, r)
	if !ok {
		return
	}
	if err := s.backend.EndContainer(r.Context(), id, r.URL.Query().Get("now") == "1"); err != nil {
		refuse(w, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// command runs what start starts for as long as the connection lasts.
func (s *Server) command(w http.ResponseWriter, r *http.Request, start func(context.Context, api.ExecRequest, func(string)) (Command, error)) {
	st := s.open(w, r)
	if st == nil {
		return
	}
	st.ws.SetReadLimit(maxExecMessage)
	var req api.ExecRequest
	if err := st.receive(&req); err != nil {
		_ = st.send(api.ExecMessage{Error: describe(err)})
		st.close()
		return
	}
	in := newExecInput(st)
	wait := st.listenAll(in.message)
	defer wait()
	defer st.close()
	c, err := start(st.ctx, req, func(short string) { _ = st.send(api.ExecMessage{Waiting: short}) })
	if err != nil {
		if st.ctx.Err() == nil {
			_ = st.send(api.ExecMessage{Error: describe(err)})
		}
		return
	}
	defer c.Close()
	started := c.Started()
	if st.send(api.ExecMessage{Started: &started}) != nil {
		return
	}
	var feeding, copying sync.WaitGroup
	feeding.Go(func() { in.feed(st.ctx, c) })
	defer feeding.Wait()
	defer c.Close() // which ends feeding
	for i := range c.Outputs() {
		copying.Go(func() {
			_ = c.Copy(i, func(data []byte) error { return st.sendBytes(byte(i+1), data) })
		})
	}
	// When the client goes, or the host ends, the command does.
	stop := context.AfterFunc(st.ctx, c.Close)
	defer stop()
	copying.Wait()
	<-c.Done()
	if st.ctx.Err() != nil {
		return
	}
	exit := c.Exit()
	_ = st.send(api.ExecMessage{Exit: &exit})
}

// execInput is what a client says while its command runs, as far as it has not
// been passed on. The window bounds it.
type execInput struct {
	stream *stream
	more   chan struct{} // room for one

	mu   sync.Mutex
	list []execItem
	size int // bytes of input in list
}

// execItem is input, or a command.
type execItem struct {
	data    []byte
	command *api.ExecCommand
}

func newExecInput(st *stream) *execInput { return &execInput{stream: st, more: make(chan struct{}, 1)} }

// maxExecItems bounds what a client may say ahead.
const maxExecItems = 10_000

// message takes what the client sends. It never waits, so that the client's end
// is noticed at once.
func (in *execInput) message(kind int, data []byte) {
	item := execItem{data: data}
	if kind == websocket.TextMessage {
		item = execItem{command: &api.ExecCommand{}}
		if json.Unmarshal(data, item.command) != nil {
			in.stream.cancel()
			return
		}
	}
	in.mu.Lock()
	in.size += len(item.data)
	broken := in.size > api.ExecWindow || len(in.list) >= maxExecItems
	in.list = append(in.list, item)
	in.mu.Unlock()
	if broken { // a client that keeps to the window never does
		in.stream.cancel()
		return
	}
	select {
	case in.more <- struct{}{}:
	default:
	}
}

// feed passes on what the client says until the command or ctx ends. Signals and
// sizes do not wait for a command that does not read.
func (in *execInput) feed(ctx context.Context, c Command) {
	var writing sync.WaitGroup
	defer writing.Wait()
	input := make(chan execItem, maxExecItems)
	defer close(input)
	writing.Go(func() {
		for item := range input {
			if item.command != nil {
				_ = c.EndInput()
				continue
			}
			if c.Write(item.data) != nil {
				continue
			}
			in.mu.Lock()
			in.size -= len(item.data)
			in.mu.Unlock()
			_ = in.stream.send(api.ExecMessage{Taken: len(item.data)})
		}
	})
	for {
		select {
		case <-in.more:
		case <-c.Done():
			return
		case <-ctx.Done():
			return
		}
		in.mu.Lock()
		list := in.list
		in.list = nil
		in.mu.Unlock()
		for _, item := range list {
			switch {
			case item.command == nil, item.command.EOF:
				select {
				case input <- item:
				case <-c.Done():
					return
				}
			case item.command.Resize != nil:
				_ = c.Resize(*item.command.Resize)
			case item.command.Signal != "":
				_ = c.Signal(item.command.Signal)
			}
		}
	}
}
