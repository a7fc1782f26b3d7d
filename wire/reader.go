package wire

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"
)

const (
	chunkSize = 64 << 10 // bytes that Reader asks the kernel for at a time
	chunkTail = 4 << 10  // a chunk with less room than this is not read into any more
	maxFiles  = 64       // descriptors that may have come before the frames that claim them
)

// Reader reads frames from a connection: many with one system call, bodies
// without copying. It is used by one goroutine at a time.
//
// The Body of a frame is the caller's: Reader never writes to it again. Small
// bodies are slices of a chunk of 64 KiB that they share, so keeping one small
// body for long keeps its chunk; a large body is a buffer of its own. A frame's
// File is the caller's too, and must be closed.
type Reader struct {
	conn  io.Reader
	unix  messages // nil if the connection cannot pass descriptors
	buf   []byte   // the chunk; bodies before start belong to callers
	start int      // first byte that is not yet part of a frame
	end   int      // first byte that is not yet read
	oob   []byte
	files []*os.File // came, and not yet claimed by a frame
	err   error      // sticky
}

// Conn is a connection for a Reader and a Writer, whose reading can be ended.
type Conn interface {
	io.ReadWriteCloser
	SetReadDeadline(t time.Time) error
}

// messages is what receives descriptors: a *net.UnixConn, or one made Direct.
type messages interface {
	ReadMsgUnix(b, oob []byte) (n, oobn, flags int, addr *net.UnixAddr, err error)
}

// NewReader makes a Reader of a connection. If that is a unix socket, the
// Reader receives descriptors.
func NewReader(conn io.Reader) *Reader {
	r := &Reader{conn: conn}
	if u, ok := conn.(messages); ok && canPass {
		r.unix = u
		r.oob = make([]byte, oobSize)
	}
	return r
}

// Read returns the next frame. At the end of the stream it returns io.EOF, or
// io.ErrUnexpectedEOF if that is within a frame; errors that have ErrProtocol
// in their chain say what the other side did wrong. After an error it returns
// that error again.
func (r *Reader) Read() (Frame, error) {
	if r.err != nil {
		return Frame{}, r.err
	}
	f, err := r.read()
	if err != nil {
		r.err = err
		f.closeFile()
		return Frame{}, err
	}
	return f, nil
}

// More reports whether Read would return a frame without asking the kernel. A
// receiver can answer in batches by it.
func (r *Reader) More() bool {
	if r.err != nil || r.end-r.start < HeaderSize {
		return false
	}
	h, err := ParseHeader(r.buf[r.start:])
	return err != nil || r.end-r.start >= HeaderSize+int(h.Size)
}

// Close closes the descriptors that came and were never claimed. It leaves the
// connection open. Read must not be running.
func (r *Reader) Close() {
	for _, f := range r.files {
		_ = f.Close()
	}
	r.files = nil
	if r.err == nil {
		r.err = net.ErrClosed
	}
}

func (r *Reader) read() (Frame, error) {
	if err := r.have(HeaderSize); err != nil {
		return Frame{}, err
	}
	h, err := ParseHeader(r.buf[r.start:])
	if err != nil {
		return Frame{}, err
	}
	f := Frame{Header: h}
	body, err := r.body(int(h.Size))
	if err != nil {
		return f, err
	}
	if err := f.split(body); err != nil {
		return f, err
	}
	if h.Flags&FlagFD != 0 {
		return f, r.claim(&f)
	}
	return f, nil
}

// body consumes the header, whose frame has a body of size bytes, and the body.
func (r *Reader) body(size int) ([]byte, error) {
	if size > chunkSize/2 && r.end-r.start < HeaderSize+size {
		// The announced size is trusted up to MaxBody; the kernel gives pages only
		// when bytes come.
		body := make([]byte, size)
		n := copy(body, r.buf[r.start+HeaderSize:r.end])
		r.start = r.end
		for n < size {
			m, err := r.fill(body[n:])
			if err != nil {
				return nil, within(err)
			}
			n += m
		}
		return body, nil
	}
	if err := r.have(HeaderSize + size); err != nil {
		return nil, within(err)
	}
	from, to := r.start+HeaderSize, r.start+HeaderSize+size
	r.start = to
	return r.buf[from:to:to], nil
}

// have reads until n bytes from start on are in the chunk. n is at most
// HeaderSize + chunkSize/2.
func (r *Reader) have(n int) error {
	for r.end-r.start < n {
		if len(r.buf)-r.start < n || len(r.buf)-r.end < chunkTail {
			// The bodies in this chunk belong to callers: begin another.
			next := make([]byte, chunkSize)
			r.end = copy(next, r.buf[r.start:r.end])
			r.start, r.buf = 0, next
		}
		m, err := r.fill(r.buf[r.end:])
		if err != nil {
			if r.end > r.start {
				err = within(err)
			}
			return err
		}
		r.end += m
	}
	return nil
}

// within turns the end of the stream into the error for an end within a frame.
func within(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// fill reads at least one byte, and the descriptors that come with it.
func (r *Reader) fill(p []byte) (int, error) {
	if r.unix == nil {
		for range 100 { // as bufio: a Reader that gives nothing 100 times is broken
			n, err := r.conn.Read(p)
			if n > 0 {
				return n, nil // an error comes again
			}
			if err != nil {
				return 0, err
			}
		}
		return 0, io.ErrNoProgress
	}
	n, oobn, flags, _, err := r.unix.ReadMsgUnix(p, r.oob)
	if oobn > 0 {
		files, perr := parseFiles(r.oob[:oobn])
		r.files = append(r.files, files...)
		if perr != nil {
			return 0, fmt.Errorf("%w: %w", ErrProtocol, perr)
		}
		if len(r.files) > maxFiles {
			return 0, fmt.Errorf("%w: %d descriptors came that no frame announces", ErrProtocol, len(r.files))
		}
	}
	switch {
	case err != nil:
		return 0, err
	case truncated(flags):
		return 0, errors.New("a descriptor was lost on its way: this process has too many open files (see ulimit -n)")
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}

// claim gives f the descriptor that belongs to it.
func (r *Reader) claim(f *Frame) error {
	if len(r.files) == 0 {
		return fmt.Errorf("%w: %v frame announces a descriptor that did not come", ErrProtocol, f.Type)
	}
	f.File = r.files[0]
	r.files = append(r.files[:0], r.files[1:]...)
	info, err := f.File.Stat()
	if err != nil {
		return fmt.Errorf("looking at a payload's descriptor: %w", err)
	}
	if f.Type == WebConn {
		if info.Mode()&os.ModeSocket == 0 {
			return fmt.Errorf("%w: %v frame comes with a descriptor that is %v, not a socket", ErrProtocol, f.Type, info.Mode())
		}
		return nil
	}
	if !info.Mode().IsRegular() || info.Size() < f.FileSize {
		return fmt.Errorf("%w: %v frame announces a payload of %d bytes, its descriptor is %v of %d bytes",
			ErrProtocol, f.Type, f.FileSize, info.Mode(), info.Size())
	}
	return nil
}

func (f *Frame) closeFile() {
	if f.File != nil {
		_ = f.File.Close()
	}
}
