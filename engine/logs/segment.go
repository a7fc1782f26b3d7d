package logs

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// segment is one file of a log. Of its records every blockSize bytes one is
// known by place, number and time, so that reading begins near what is asked
// for. When no more is written to a segment this index lies in a file beside
// it; where that is missing or does not fit, the segment is read to make it.
type segment struct {
	first  uint64  // sequence number of its first line
	next   uint64  // the one after its last line's
	size   int64   // bytes of whole records
	latest int64   // time of its last line
	blocks []block // the first one begins at 0
}

// block is a piece of a segment, some blockSize bytes of whole records.
type block struct {
	at   int64  // where it begins
	seq  uint64 // of its first line
	time int64  // of its first line
}

// blockSize is how many bytes a block has at least, unless it is the last.
const blockSize = 64 << 10

// Names of files: a segment's is the number of its first line.
const (
	segmentSuffix = ".seg"
	indexSuffix   = ".idx"
)

func segmentPath(dir string, first uint64) string {
	return filepath.Join(dir, fmt.Sprintf("%020d%s", first, segmentSuffix))
}

func indexPath(dir string, first uint64) string {
	return filepath.Join(dir, fmt.Sprintf("%020d%s", first, indexSuffix))
}

// note takes a record into the index that is written at s.size and has size
// bytes.
func (s *segment) note(seq uint64, time int64, size int) {
	if n := len(s.blocks); n == 0 || s.size-s.blocks[n-1].at >= blockSize {
		s.blocks = append(s.blocks, block{at: s.size, seq: seq, time: time})
	}
	s.size += int64(size)
	s.next, s.latest = seq+1, time
}

// blockOf is the number of the block in which line seq is, if it is in the
// segment.
func (s *segment) blockOf(seq uint64) int {
	i, _ := slices.BinarySearchFunc(s.blocks, seq, func(b block, seq uint64) int {
		if b.seq <= seq {
			return -1
		}
		return 1
	})
	return max(0, i-1)
}

// end is where block i ends.
func (s *segment) end(i int) int64 {
	if i+1 < len(s.blocks) {
		return s.blocks[i+1].at
	}
	return s.size
}

// indexHead is what comes before the blocks in an index: a mark of the format,
// the segment's size, next and latest. At its end is a CRC-32C.
const (
	indexMark = "gxlogix1"
	indexHead = len(indexMark) + 3*8
)

// saveIndex writes the segment's index. A torn one is found out by its
// checksum, and costs a reading of the segment.
func (s *segment) saveIndex(dir string) error {
	b := make([]byte, 0, indexHead+24*len(s.blocks)+4)
	b = append(b, indexMark...)
	b = binary.LittleEndian.AppendUint64(b, uint64(s.size))
	b = binary.LittleEndian.AppendUint64(b, s.next)
	b = binary.LittleEndian.AppendUint64(b, uint64(s.latest))
	for _, k := range s.blocks {
		b = binary.LittleEndian.AppendUint64(b, uint64(k.at))
		b = binary.LittleEndian.AppendUint64(b, k.seq)
		b = binary.LittleEndian.AppendUint64(b, uint64(k.time))
	}
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	return os.WriteFile(indexPath(dir, s.first), b, 0o600)
}

// loadIndex reads a segment's index, and reports whether there is one that fits
// a segment of this size.
func loadIndex(dir string, first uint64, size int64) (*segment, bool) {
	b, err := os.ReadFile(indexPath(dir, first))
	if err != nil || len(b) < indexHead+4 || string(b[:len(indexMark)]) != indexMark {
		return nil, false
	}
	body, sum := b[:len(b)-4], binary.LittleEndian.Uint32(b[len(b)-4:])
	if crc32.Checksum(body, castagnoli) != sum || (len(body)-indexHead)%24 != 0 {
		return nil, false
	}
	word := func(at int) uint64 { return binary.LittleEndian.Uint64(body[at:]) }
	m := len(indexMark)
	s := &segment{first: first, size: int64(word(m)), next: word(m + 8), latest: int64(word(m + 16))}
	for at := indexHead; at < len(body); at += 24 {
		s.blocks = append(s.blocks, block{at: int64(word(at)), seq: word(at + 8), time: int64(word(at + 16))})
	}
	return s, s.size == size && len(s.blocks) > 0
}

// openSegment finds out what a segment holds: nil = no whole record.
func openSegment(dir string, first uint64) (*segment, error) {
	f, err := os.Open(segmentPath(dir, first))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if s, ok := loadIndex(dir, first, info.Size()); ok {
		return s, nil
	}
	s := &segment{first: first, next: first}
	err = eachRecord(f, 0, info.Size(), new([]byte), func(r *record, size int) error {
		if r.seq < s.next {
			return errRecord
		}
		s.note(r.seq, r.time, size)
		return nil
	})
	if err != nil && !errors.Is(err, errRecord) {
		return nil, err
	}
	if s.size == 0 {
		return nil, nil
	}
	if s.size == info.Size() {
		_ = s.saveIndex(dir) // whoever comes next need not read it all
	}
	return s, nil
}

// readSize is how many bytes of a segment are read at once.
const readSize = 4 * blockSize

// eachRecord calls fn with the records of a file between two offsets, until one
// of them is cut off or damaged (errRecord) or fn returns an error. The record
// is valid during the call. buf is kept between calls.
func eachRecord(f io.ReaderAt, from, to int64, buf *[]byte, fn func(r *record, size int) error) error {
	for from < to {
		used, err := someRecords(f, from, to, buf, fn)
		if err != nil {
			return err
		}
		from += used
	}
	return nil
}

// someRecords is eachRecord for as many records as one reading brings; it
// returns how many bytes they have.
func someRecords(f io.ReaderAt, from, to int64, buf *[]byte, fn func(r *record, size int) error) (used int64, err error) {
	if len(*buf) < readSize {
		*buf = make([]byte, readSize)
	}
	var r record
	for {
		b := *buf
		n, err := f.ReadAt(b[:min(int64(len(b)), to-from)], from)
		if err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
		b = b[:n]
		for {
			size, err := parseRecord(b[used:], &r)
			if err != nil {
				return used, err
			}
			if size == 0 {
				break
			}
			used += int64(size)
			if err := fn(&r, size); err != nil {
				return used, err
			}
		}
		switch {
		case used > 0:
			return used, nil
		case n == len(*buf) && n < maxRecord+headSize: // one record is larger than the buffer
			*buf = make([]byte, maxRecord+headSize)
		default:
			return 0, errRecord
		}
	}
}

// removeSegment deletes a segment and its index.
func removeSegment(dir string, first uint64) error {
	err := os.Remove(segmentPath(dir, first))
	if ierr := os.Remove(indexPath(dir, first)); !errors.Is(ierr, fs.ErrNotExist) {
		err = errors.Join(err, ierr)
	}
	return err
}
