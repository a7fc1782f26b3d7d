package nvml

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"github.com/gx-dev/gx/gpu/nvml/protocol"
)

// patience is how long the helper has for an answer: a call on a card that fails
// may hang.
const patience = 10 * time.Second

// maxLine is the longest line that a helper may write, in bytes.
const maxLine = 1 << 20

// process is one running helper. It ends with its standard input.
type process struct {
	cmd    *exec.Cmd
	in     io.WriteCloser
	driver string
	ended  chan struct{} // closed when it has

	mu      sync.Mutex
	next    uint64
	waiting map[uint64]chan protocol.Message
}

// start starts a helper, and returns when it has opened the library. event is
// told of events, from one goroutine.
func start(program string, env []string, event func(protocol.Event)) (*process, error) {
	cmd := exec.Command(program) //nolint:noctx // it lives until it is closed
	cmd.Env = append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // a terminal's Ctrl-C is for gx alone
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("starting the GPU helper: %w", err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("starting the GPU helper: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting the GPU helper: %w", err)
	}
	p := &process{cmd: cmd, in: in, ended: make(chan struct{}), waiting: map[uint64]chan protocol.Message{}}
	first := make(chan protocol.Message, 1)
	p.waiting[0] = first
	go p.read(out, event)
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case m := <-first:
		if m.Error == "" {
			p.driver = m.Driver
			return p, nil
		}
		err = errors.New(m.Error)
	case <-p.ended:
		err = errors.New("the GPU helper ended at once")
	case <-timer.C:
		err = fmt.Errorf("the GPU helper did not answer within %v", patience)
	}
	p.close()
	return nil, err
}

// read takes what the helper says until it ends.
func (p *process) read(out io.Reader, event func(protocol.Event)) {
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		var m protocol.Message
		if json.Unmarshal(lines.Bytes(), &m) != nil {
			break
		}
		if m.Event != nil {
			event(*m.Event)
			continue
		}
		p.mu.Lock()
		to := p.waiting[m.ID]
		delete(p.waiting, m.ID)
		p.mu.Unlock()
		if to != nil {
			to <- m // has room
		}
	}
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
	close(p.ended)
}

// ask asks the helper.
func (p *process) ask(ctx context.Context, op string) (protocol.Message, error) {
	answer := make(chan protocol.Message, 1)
	p.mu.Lock()
	p.next++
	id := p.next
	p.waiting[id] = answer
	line, _ := json.Marshal(protocol.Request{ID: id, Op: op}) // a number and a word: it cannot fail
	_, err := p.in.Write(append(line, '\n'))
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		delete(p.waiting, id)
		p.mu.Unlock()
	}()
	if err != nil {
		return protocol.Message{}, fmt.Errorf("asking the GPU helper: %w", err)
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case m := <-answer:
		if m.Error != "" {
			return m, errors.New(m.Error)
		}
		return m, nil
	case <-p.ended:
		return protocol.Message{}, errors.New("the GPU helper has ended")
	case <-timer.C:
		_ = p.cmd.Process.Kill() // the next question starts another one
		return protocol.Message{}, fmt.Errorf("the GPU helper did not answer within %v: NVIDIA's driver may hang", patience)
	case <-ctx.Done():
		return protocol.Message{}, ctx.Err()
	}
}

// alive reports whether the helper has not ended.
func (p *process) alive() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// close ends the helper and waits for its end.
func (p *process) close() {
	_ = p.in.Close()
	timer := time.AfterFunc(2*time.Second, func() { _ = p.cmd.Process.Kill() })
	<-p.ended
	timer.Stop()
}
