package ui

import (
	"bytes"
	"sync"
)

// Writer passes on what a program prints on its stdout, or on its stderr, a
// line at a time: nothing that is drawn comes in between.
func (u *UI) Writer(errors bool) *Writer {
	w := &Writer{u: u, to: stdout}
	if errors {
		w.to = stderr
	}
	return w
}

// Writer is an io.Writer of lines.
type Writer struct {
	u  *UI
	to int

	mu   sync.Mutex
	rest []byte
}

// longestLine is passed on although it is not finished.
const longestLine = 64 << 10

func (w *Writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rest = append(w.rest, p...)
	for {
		end := bytes.IndexByte(w.rest, '\n')
		if end < 0 {
			if len(w.rest) >= longestLine {
				w.flush(len(w.rest))
			}
			return len(p), nil
		}
		w.u.line(w.to, string(w.rest[:end]))
		w.rest = w.rest[end+1:]
	}
}

// Flush passes on a last line that has no end.
func (w *Writer) Flush() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.rest) > 0 {
		w.flush(len(w.rest))
	}
}

func (w *Writer) flush(n int) {
	w.u.line(w.to, string(w.rest[:n]))
	w.rest = nil
}
