// Package journal keeps results on disk, by what made them and from what, so
// that work that was cut off need not be done again. It knows digests, bytes
// and files; what is called, and whose results these are, it does not.
//
// # Files
//
// A journal is a folder of segments, DIR/CODE/NUMBER; each Open that writes
// begins a new one, so that what an earlier writer left torn is never written
// behind. A segment is a sequence of records:
//
//	offset  size  field
//	0       4     CRC-32C of all that follows in the record, little-endian
//	4       4     size of the result in bytes
//	8       16    key
//	24      size  result
//
// Reading ends at the first record that is not whole.
package journal

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"
)

// Limits of what is kept.
const (
	headSize   = 24
	maxResult  = 64 << 20 // bytes; a larger one is made again
	maxPending = 64 << 20 // bytes that wait to be written; what comes beyond is made again
	syncEvery  = time.Second
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Key names what a result was made from.
type Key [16]byte

// Payload is bytes in memory, or in a file from its beginning.
type Payload struct {
	Body []byte
	File *os.File // nil = Body
	Size int64    // of File
}

func (p Payload) size() int64 {
	if p.File != nil {
		return p.Size
	}
	return int64(len(p.Body))
}

// reader reads the payload, without moving the file.
func (p Payload) writeTo(w io.Writer) error {
	if p.File == nil {
		_, err := w.Write(p.Body)
		return err
	}
	_, err := io.Copy(w, io.NewSectionReader(p.File, 0, p.Size))
	return err
}

// KeyOf is the key of an input, of what is told apart by label.
func KeyOf(label string, input Payload) (k Key, err error) {
	h := sha256.New()
	_ = binary.Write(h, binary.LittleEndian, uint64(len(label))) // never fails
	_, _ = io.WriteString(h, label)
	if err := input.writeTo(h); err != nil {
		return k, fmt.Errorf("reading an input for the journal: %w", err)
	}
	copy(k[:], h.Sum(nil))
	return k, nil
}

// Journal is the results of one piece of code. It is safe for concurrent use.
type Journal struct {
	dir  string
	done sync.WaitGroup // the writer

	mu      sync.Mutex
	pending []entry
	held    int64 // bytes in pending
	skipped int64
	closed  bool
	wake    chan struct{} // room for one
	index   map[Key]place // nil = not loaded
	readers []*os.File    // segments, as index refers to them
	failed  error
}

type entry struct {
	label         string
	input, result Payload
}

type place struct {
	segment int32
	size    uint32
	offset  int64 // of the result
}

func open(dir string) *Journal {
	j := &Journal{dir: dir, wake: make(chan struct{}, 1)}
	j.done.Go(j.write)
	return j
}

// Keep keeps a result. It never waits: what can't be written in time is left
// out. Bodies must not change any more; files are duplicated.
func (j *Journal) Keep(label string, input, result Payload) {
	size := input.size() + result.size()
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed || j.failed != nil || result.size() > maxResult || j.held+size > maxPending {
		j.skipped++
		return
	}
	e := entry{label, input, result}
	if e.input.duplicate() != nil || e.result.duplicate() != nil {
		e.close()
		j.skipped++
		return
	}
	j.pending = append(j.pending, e)
	j.held += size
	select {
	case j.wake <- struct{}{}:
	default:
	}
}

func (p *Payload) duplicate() error {
	if p.File == nil {
		return nil
	}
	file := p.File
	p.File = nil
	copied, err := duplicate(file)
	if err != nil {
		return err
	}
	p.File = copied
	return nil
}

func (e *entry) close() {
	for _, p := range []Payload{e.input, e.result} {
		if p.File != nil {
			_ = p.File.Close()
		}
	}
}

// write writes what is kept until the journal is closed.
func (j *Journal) write() {
	var file *os.File
	dirty := false
	ticker := time.NewTicker(syncEvery)
	defer ticker.Stop()
	for {
		select {
		case <-j.wake:
		case <-ticker.C:
			if dirty {
				dirty = file.Sync() != nil
			}
			continue
		}
		j.mu.Lock()
		batch, closed := j.pending, j.closed
		j.pending, j.held = nil, 0
		j.mu.Unlock()
		err := error(nil)
		if file == nil && len(batch) > 0 {
			file, err = j.segment()
		}
		if err == nil && len(batch) > 0 {
			err = appendAll(file, batch)
			dirty = true
		}
		for i := range batch {
			batch[i].close()
		}
		if file != nil && (closed || err != nil) {
			err = errors.Join(err, file.Sync(), file.Close())
			file, dirty = nil, false
		}
		if err != nil {
			j.mu.Lock()
			j.failed = err
			j.mu.Unlock()
		}
		if closed {
			return
		}
	}
}

// segment begins a new one.
func (j *Journal) segment() (*os.File, error) {
	if err := os.MkdirAll(j.dir, 0o700); err != nil {
		return nil, fmt.Errorf("making a journal: %w", err)
	}
	for n := len(segments(j.dir)); ; n++ {
		file, err := os.OpenFile(filepath.Join(j.dir, strconv.Itoa(n)), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if errors.Is(err, os.ErrExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("making a journal: %w", err)
		}
		return file, nil
	}
}

// segments are the names of a journal's segments, the oldest first.
func segments(dir string) []string {
	entries, _ := os.ReadDir(dir) // one that is not there has none
	var numbers []int
	for _, e := range entries {
		if n, err := strconv.Atoi(e.Name()); err == nil && n >= 0 {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	names := make([]string, len(numbers))
	for i, n := range numbers {
		names[i] = filepath.Join(dir, strconv.Itoa(n))
	}
	return names
}

// appendAll appends records with as few writes as their size allows.
func appendAll(file *os.File, batch []entry) error {
	const large = 1 << 20
	var buf []byte
	for i := range batch {
		e := &batch[i]
		key, err := KeyOf(e.label, e.input)
		if err != nil {
			return err
		}
		at := len(buf)
		buf = append(buf, make([]byte, 4)...)
		buf = binary.LittleEndian.AppendUint32(buf, uint32(e.result.size()))
		buf = append(buf, key[:]...)
		w := sliceWriter{buf}
		if err := e.result.writeTo(&w); err != nil {
			return fmt.Errorf("reading a result for the journal: %w", err)
		}
		buf = w.b
		if int64(len(buf)-at-headSize) != e.result.size() {
			return errors.New("a result for the journal was not as long as announced")
		}
		binary.LittleEndian.PutUint32(buf[at:], crc32.Checksum(buf[at+4:], castagnoli))
		if len(buf) >= large || i == len(batch)-1 {
			if _, err := file.Write(buf); err != nil {
				return fmt.Errorf("writing a journal: %w", err)
			}
			buf = buf[:0]
		}
	}
	return nil
}

type sliceWriter struct{ b []byte }

func (w *sliceWriter) Write(p []byte) (int, error) {
	w.b = append(w.b, p...)
	return len(p), nil
}

// Load reads what the journal has, so that Find finds it. A second time it does
// nothing.
func (j *Journal) Load() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.index != nil {
		return nil
	}
	j.index = map[Key]place{}
	for _, name := range segments(j.dir) {
		file, err := os.Open(name)
		if err != nil {
			return fmt.Errorf("reading a journal: %w", err)
		}
		n := int32(len(j.readers))
		j.readers = append(j.readers, file)
		scan(file, func(k Key, offset int64, size uint32) { j.index[k] = place{n, size, offset} })
	}
	return nil
}

// scan calls found for each record of a segment that is whole, up to the first
// that is not.
func scan(file io.ReaderAt, found func(k Key, offset int64, size uint32)) {
	r := newReader(file)
	var head [headSize]byte
	for {
		if r.read(head[:]) != nil {
			return
		}
		size := binary.LittleEndian.Uint32(head[4:])
		if size > maxResult {
			return
		}
		sum := crc32.Checksum(head[4:], castagnoli)
		at := r.at
		if r.skip(int64(size), func(p []byte) { sum = crc32.Update(sum, castagnoli, p) }) != nil {
			return
		}
		if sum != binary.LittleEndian.Uint32(head[:]) {
			return
		}
		found(Key(head[8:headSize]), at, size)
	}
}

// Len is how many results were loaded.
func (j *Journal) Len() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.index)
}

// Find returns the result for an input, if Load has found one.
func (j *Journal) Find(label string, input Payload) ([]byte, bool, error) {
	key, err := KeyOf(label, input)
	if err != nil {
		return nil, false, err
	}
	j.mu.Lock()
	p, ok := j.index[key]
	var file *os.File
	if ok {
		file = j.readers[p.segment]
	}
	j.mu.Unlock()
	if !ok {
		return nil, false, nil
	}
	result := make([]byte, p.size)
	if _, err := file.ReadAt(result, p.offset); err != nil {
		return nil, false, fmt.Errorf("reading a journal: %w", err)
	}
	return result, true, nil
}

// close writes what is pending.
func (j *Journal) close() error {
	j.mu.Lock()
	j.closed = true
	j.mu.Unlock()
	select {
	case j.wake <- struct{}{}:
	default:
	}
	j.done.Wait()
	for _, f := range j.readers {
		_ = f.Close()
	}
	return j.failed
}
