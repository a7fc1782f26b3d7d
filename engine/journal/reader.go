package journal

import (
	"fmt"
	"io"
)

// reader reads a file in large pieces, and knows where it is.
type reader struct {
	file io.ReaderAt
	buf  []byte
	have []byte // of buf, not yet read
	at   int64  // in the file, of have
}

func newReader(file io.ReaderAt) *reader { return &reader{file: file, buf: make([]byte, 256<<10)} }

// read fills p.
func (r *reader) read(p []byte) error {
	n := 0
	return r.skip(int64(len(p)), func(b []byte) { n += copy(p[n:], b) })
}

// skip goes on by so many bytes, and shows them.
func (r *reader) skip(n int64, show func([]byte)) error {
	for n > 0 {
		if len(r.have) == 0 {
			got, err := r.file.ReadAt(r.buf, r.at)
			if got == 0 {
				return fmt.Errorf("reading a journal: %w", err)
			}
			r.have = r.buf[:got]
		}
		piece := r.have[:min(n, int64(len(r.have)))]
		show(piece)
		r.have = r.have[len(piece):]
		r.at += int64(len(piece))
		n -= int64(len(piece))
	}
	return nil
}
