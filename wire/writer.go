package wire

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
)

const (
	copyMax   = 8 << 10   // a body up to this size is copied behind its header, a larger one is referred to
	bufferMax = 64 << 10  // a buffer of small frames is not appended to beyond this
	keepMax   = 256 << 10 // a buffer larger than this is not kept for reuse
	vectorMax = 64        // pieces for one system call
	roundsMax = 64        // how often one Write takes over what others appended meanwhile
)

// Writer writes frames to a connection. Any number of goroutines may use it.
//
// Writes combine: the goroutine that finds the connection free writes, with
// one system call for as much as there is, and the others append to what is
// written next and return at once. On a socket Write never waits for the other
// side either: what the socket does not take is written by a goroutine that
// lives as long as there is a backlog. So a backlog can grow without end: who
// writes to a side that may not be reading must look at Buffered, or call
// Flush, which waits. On a connection that is not a socket Write may wait.
type Writer struct {
	conn  io.Writer
	raw   syscall.RawConn // nil if conn is not a socket
	files bool            // the connection passes descriptors

	mu     sync.Mutex
	idle   sync.Cond // busy became false
	busy   bool      // a goroutine is writing; it alone uses out
	queue  []piece   // appended by Write
	queued int       // bytes in queue and out
	spare  []byte    // an empty buffer for small frames
	err    error     // sticky

	out  []piece // being written, from out[done] on
	done int
	send sendState
}

// piece is a part of the stream: a buffer of small frames, or one large body.
type piece struct {
	data []byte
	fd   int  // goes with the first byte; -1 = none
	own  bool // data is the Writer's own buffer, and may be appended to
}

// sendState is what one system call needs, kept so that it costs no allocation.
type sendState struct {
	once func(fd uintptr) bool // tries once
	wait func(fd uintptr) bool // asks to be called again when the socket takes more
	data [][]byte
	oob  []byte
	n    int
	err  error
}

// NewWriter makes a Writer of a connection. If that is a unix socket, the
// Writer passes descriptors.
func NewWriter(conn io.Writer) *Writer {
	w := &Writer{conn: conn}
	w.idle.L = &w.mu
	direct, isDirect := conn.(interface{ waitWritable(fd uintptr) })
	if sc, ok := conn.(syscall.Conn); ok && canPass {
		if _, socket := conn.(net.Conn); socket || isDirect {
			if raw, err := sc.SyscallConn(); err == nil {
				w.raw = raw
			}
		}
	}
	if _, ok := conn.(messages); ok && w.raw != nil {
		w.files = true
	}
	s := &w.send
	s.once = func(fd uintptr) bool {
		s.n, s.err = sendmsg(fd, s.data, s.oob)
		return true
	}
	s.wait = func(fd uintptr) bool {
		for {
			s.n, s.err = sendmsg(fd, s.data, s.oob)
			if !wouldBlock(s.err) || !isDirect {
				return !wouldBlock(s.err)
			}
			direct.waitWritable(fd)
		}
	}
	return w
}

// Descriptors reports whether frames with a File can be written. Where they
// cannot, Pieces makes frames of a File that can.
func (w *Writer) Descriptors() bool { return w.files }

// Write writes frames, one after the other with nothing between them: all, or
// none if one of them is invalid. It returns when they are written or behind
// what is being written; an error of the connection is told by this or a later
// call, and by every call after that.
//
// Bodies must not be changed after Write. Files may be closed.
func (w *Writer) Write(frames ...Frame) error {
	w.mu.Lock()
	if w.err != nil {
		defer w.mu.Unlock()
		return w.err
	}
	for i := range frames {
		if _, err := frames[i].prepare(); err != nil {
			w.mu.Unlock()
			return err
		}
		if frames[i].File != nil && !w.files {
			w.mu.Unlock()
			return fmt.Errorf("a %v frame has a descriptor, but the connection cannot pass any", frames[i].Type)
		}
	}
	for i := range frames {
		if err := w.append(&frames[i]); err != nil {
			w.fail(err) // a frame may be half in the queue
			break
		}
	}
	if w.busy {
		defer w.mu.Unlock()
		return w.err
	}
	w.busy = true
	waits := w.run(false)
	err := w.err
	w.mu.Unlock()
	if waits {
		go func() { // ends when the backlog is written or the connection fails; Flush waits for it
			w.mu.Lock()
			defer w.mu.Unlock()
			w.run(true)
		}()
	}
	return err
}

// Buffered returns the number of bytes that were given to Write and are not
// yet taken by the connection.
func (w *Writer) Buffered() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.queued
}

// Flush waits until nothing is buffered, or the connection has failed; when it
// returns no goroutine of the Writer is left. Closing the connection ends it.
func (w *Writer) Flush() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.busy {
		w.idle.Wait()
	}
	return w.err
}

// append puts a valid frame into the queue.
func (w *Writer) append(f *Frame) error {
	h, err := f.prepare()
	if err != nil {
		return err
	}
	fd := -1
	if f.File != nil {
		if fd, err = duplicate(f.File); err != nil {
			return fmt.Errorf("duplicating a payload's descriptor: %w", err)
		}
	}
	last := len(w.queue) - 1
	if last < 0 || fd >= 0 || !w.queue[last].own || len(w.queue[last].data) >= bufferMax {
		buf := w.spare
		w.spare = nil
		w.queue = append(w.queue, piece{data: buf[:0], fd: fd, own: true})
		last++
	}
	p := &w.queue[last]
	before := len(p.data)
	p.data = f.appendHead(p.data, h)
	if f.File == nil && len(f.Body) <= copyMax {
		p.data = append(p.data, f.Body...)
	}
	w.queued += len(p.data) - before
	if f.File == nil && len(f.Body) > copyMax {
		w.queue = append(w.queue, piece{data: f.Body, fd: -1})
		w.queued += len(f.Body)
	}
	return nil
}

// run writes the queue until it is empty, and then gives the connection free.
// If wait is not set and the socket takes no more, it returns true and keeps
// it. It is called with mu held and busy set.
func (w *Writer) run(wait bool) (backlog bool) {
	for rounds := 0; w.err == nil; {
		if w.done == len(w.out) {
			if len(w.queue) == 0 {
				break
			}
			if rounds++; rounds > roundsMax && !wait {
				return true // do not keep the caller for ever with the work of others
			}
			w.out, w.done, w.queue = w.queue, 0, w.out[:0]
		}
		w.mu.Unlock()
		n, err := w.write(wait)
		w.mu.Lock()
		w.queued -= n
		w.advance(n)
		if err != nil {
			if wouldBlock(err) {
				return true
			}
			w.fail(fmt.Errorf("writing frames: %w", err))
		}
	}
	if w.err != nil {
		w.drop()
	}
	w.busy = false
	w.idle.Broadcast()
	return false
}

// write gives the beginning of out to the connection, once.
func (w *Writer) write(wait bool) (int, error) {
	if w.raw == nil {
		return w.conn.Write(w.out[w.done].data)
	}
	s := &w.send
	s.data, s.oob, s.n, s.err = s.data[:0], nil, 0, nil
	for i, p := range w.out[w.done:] {
		if i > 0 && p.fd >= 0 || i == vectorMax {
			break // a descriptor goes with the first byte of a system call
		}
		s.data = append(s.data, p.data)
	}
	if fd := w.out[w.done].fd; fd >= 0 {
		s.oob = rights(fd)
	}
	try := s.once
	if wait {
		try = s.wait
	}
	if err := w.raw.Write(try); err != nil {
		return 0, err
	}
	clear(s.data)
	return s.n, s.err
}

// advance takes the n bytes that are written off out.
func (w *Writer) advance(n int) {
	for n > 0 {
		p := &w.out[w.done]
		if p.fd >= 0 {
			closeFD(p.fd)
			p.fd = -1
		}
		if n < len(p.data) {
			p.data, p.own = p.data[n:], false
			return
		}
		n -= len(p.data)
		if p.own && cap(p.data) <= keepMax {
			w.spare = p.data[:0]
		}
		*p = piece{}
		w.done++
	}
}

// fail makes err the answer to every call from now on. mu is held.
func (w *Writer) fail(err error) {
	if w.err == nil {
		if errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) {
			err = fmt.Errorf("%w (%w)", net.ErrClosed, err)
		}
		w.err = err
	}
	if !w.busy {
		w.drop()
	}
}

// drop forgets what cannot be written any more. mu is held, nobody is writing.
func (w *Writer) drop() {
	for _, list := range [][]piece{w.out[w.done:], w.queue} {
		for _, p := range list {
			if p.fd >= 0 {
				closeFD(p.fd)
			}
		}
	}
	w.out, w.done, w.queue, w.spare, w.queued = nil, 0, nil, nil, 0
}
