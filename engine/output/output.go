// Package output reads what a container prints: two pipes, with markers in
// them that say which input the following bytes belong to. It makes lines of
// that, and knows nothing of where lines go or what an input is.
//
// The runner in the container writes a marker in front of text of another
// input than the last on that descriptor, within one write:
//
//	00 'g' 'x'  8 bytes of the container's secret  call (u32)  index (u32)
//
// little-endian, with call 0xffffffff for "no input" when an input that had
// written has ended.
package output

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gx-dev/gx/engine/clock"
	"github.com/gx-dev/gx/redact"
)

const (
	chunk = 64 << 10 // bytes of one read: what a pipe holds by default
	// drainMax is how many chunks Drain takes from one pipe at most: a pipe's
	// largest size. A process that never stops printing holds nobody up.
	drainMax = (1 << 20) / chunk
	// patience is how long a line without an end is kept back.
	patience = time.Second
)

// Capture reads the two pipes of one container until they end.
type Capture struct {
	sink  func([]Line)
	clock clock.Clock
	done  sync.WaitGroup

	mu      sync.Mutex
	streams [2]stream
	buf     []byte
	lines   []Line
	timer   clock.Timer // runs while a line is kept back
	closed  bool
}

type stream struct {
	file   *os.File
	raw    syscall.RawConn
	parser parser
	ended  bool
}

// Start reads stdout and stderr, the reading ends of pipes, and closes them at
// the end. sink is called with lines in their order, never twice at once; it
// may block, which makes the writers of the pipes wait in their turn. What the
// mask hides is in no line; it may be nil.
func Start(marker [8]byte, stdout, stderr *os.File, c clock.Clock, mask *redact.Mask, sink func([]Line)) (*Capture, error) {
	cap := &Capture{sink: sink, clock: c, buf: make([]byte, chunk)}
	for i, f := range []*os.File{stdout, stderr} {
		raw, err := f.SyscallConn()
		if err != nil {
			return nil, fmt.Errorf("reading a container's output: %w", err)
		}
		s := &cap.streams[i]
		s.file, s.raw = f, raw
		s.parser = parser{mark: append([]byte{0, 'g', 'x'}, marker[:]...), stderr: i == 1, mask: mask}
	}
	for i := range cap.streams {
		cap.done.Go(func() { cap.follow(&cap.streams[i]) })
	}
	return cap, nil
}

// follow reads one pipe until its end.
func (c *Capture) follow(s *stream) {
	defer func() { _ = s.file.Close() }()
	for {
		var err error
		// The runtime waits for the pipe between two calls of the function.
		werr := s.raw.Read(func(fd uintptr) bool {
			c.mu.Lock()
			defer c.mu.Unlock()
			_, err = c.take(s, fd)
			c.deliver()
			return !errors.Is(err, unix.EAGAIN)
		})
		if werr != nil { // its time is over, of which the runtime tells before it looks: what is there was printed in time
			c.mu.Lock()
			c.drain(s)
			c.deliver()
			c.mu.Unlock()
		}
		if err != nil || werr != nil {
			return
		}
	}
}

// take reads one chunk of a pipe into lines. mu is held.
func (c *Capture) take(s *stream, fd uintptr) (int, error) {
	for {
		n, err := unix.Read(int(fd), c.buf)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return 0, err
		case n == 0:
			s.ended = true
			return 0, io.EOF
		}
		s.parser.feed(c.buf[:n], c.add)
		return n, nil
	}
}

func (c *Capture) add(l Line) { c.lines = append(c.lines, l) }

// deliver gives the lines that were made to the sink, and keeps time for a
// line that is kept back. mu is held.
func (c *Capture) deliver() {
	if len(c.lines) > 0 {
		c.sink(c.lines)
		clear(c.lines)
		c.lines = c.lines[:0]
	}
	if c.timer == nil && !c.closed && (len(c.streams[0].parser.line) > 0 || len(c.streams[1].parser.line) > 0) {
		c.timer = c.clock.AfterFunc(patience, c.impatient)
	}
}

// impatient emits the parts of lines that were kept back for long enough.
func (c *Capture) impatient() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.timer = nil
	for i := range c.streams {
		c.streams[i].parser.end(true, c.add)
	}
	c.deliver()
}

// Drain takes what is in the pipes now: what was printed before the call has
// been given to the sink when it returns. With whole set, lines without an end
// are not waited for any more.
func (c *Capture) Drain(whole bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.streams {
		c.drain(&c.streams[i])
		if whole {
			c.streams[i].parser.end(false, c.add)
		}
	}
	c.deliver()
}

// drain takes what is in a pipe now. mu is held.
func (c *Capture) drain(s *stream) {
	// Control, and not Read: that waits for the goroutine in follow.
	_ = s.raw.Control(func(fd uintptr) {
		for range drainMax {
			if n, err := c.take(s, fd); err != nil || n < chunk {
				return
			}
		}
	})
}

// Close waits for the end of both pipes, but not beyond limit: a process that
// left its container behind may hold them open. Then it gives the last lines
// to the sink. No goroutine is left.
func (c *Capture) Close(limit time.Duration) {
	for i := range c.streams {
		_ = c.streams[i].file.SetReadDeadline(time.Now().Add(limit))
	}
	c.done.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	if c.timer != nil {
		c.timer.Stop()
		c.timer = nil
	}
	for i := range c.streams {
		c.streams[i].parser.close(c.add)
	}
	c.deliver()
}
