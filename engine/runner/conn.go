package runner

import (
	"sync"
	"time"

	"github.com/gx-dev/gx/wire"
)

// Conn is the connection of one runner. Reading is for one goroutine, the rest
// for any number.
type Conn struct {
	Hello wire.HelloBody

	conn   wire.Conn
	reader *wire.Reader
	writer *wire.Writer

	mu      sync.Mutex
	queue   []wire.Frame // in the order in which they are to be written
	spare   []wire.Frame
	writing bool
}

func newConn(conn wire.Conn) *Conn {
	return &Conn{conn: conn, reader: wire.NewReader(conn), writer: wire.NewWriter(conn)}
}

// Read returns the next frame.
func (c *Conn) Read() (wire.Frame, error) { return c.reader.Read() }

// More reports whether Read would return a frame at once.
func (c *Conn) More() bool { return c.reader.More() }

// Writer writes frames whose order does not matter.
func (c *Conn) Writer() *wire.Writer { return c.writer }

// Queue puts a frame behind those that were queued before. It only appends, so
// it may be called with locks held; Flush has to follow. Files must stay open
// until then.
func (c *Conn) Queue(f wire.Frame) {
	c.mu.Lock()
	c.queue = append(c.queue, f)
	c.mu.Unlock()
}

// Flush writes what is queued, in order: in this goroutine, unless another one
// is at it and takes this along. An error of the connection shows in Read.
func (c *Conn) Flush() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.writing {
		return
	}
	c.writing = true
	for len(c.queue) > 0 {
		frames := c.queue
		c.queue = c.spare[:0]
		c.mu.Unlock()
		if err := c.writer.Write(frames...); err != nil {
			_ = c.conn.Close() // Read ends, and what was lost is found to be unanswered
		}
		clear(frames)
		c.mu.Lock()
		c.spare = frames
	}
	c.writing = false
}

// Expire makes a Read that finds nothing end at the given time, for good.
func (c *Conn) Expire(at time.Time) { _ = c.conn.SetReadDeadline(at) }

// Close ends the connection. It waits for a goroutine that is writing.
func (c *Conn) Close() {
	_ = c.conn.Close()
	_ = c.writer.Flush()
}

// Release closes what came and was not read. Read must not be running.
func (c *Conn) Release() { c.reader.Close() }
