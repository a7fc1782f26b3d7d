package volume

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/gx-dev/gx/engine/ask"
	"github.com/gx-dev/gx/engine/blob"
	"github.com/gx-dev/gx/engine/clock"
)

const (
	// stageAge is how long an upload is kept that is in no volume yet.
	stageAge = 24 * time.Hour
	// usedAge is how long one is kept that is in a volume: somebody else may be
	// about to put the same.
	usedAge = time.Hour
	// knownAge is how long it is known of an upload what its beginning hashes to.
	// It is read again after that.
	knownAge = 10 * time.Minute
)

// stage is where contents lie between their upload, in pieces, and the edit
// that puts them into a volume. They are named by their hash, so an upload that
// was interrupted goes on where it was, whoever began it.
//
// The first who puts a content takes the file itself, as a further name of it;
// who puts it again has a copy, because a file has one mode and one time.
type stage struct {
	dir   string
	clock clock.Clock
	takes [64]sync.Mutex // by a content's hash: one takes it at a time

	mu    sync.Mutex
	parts map[string]*part
	used  map[string]time.Time // contents that are in a volume, since when
}

// part is an upload that is not whole yet. A host that was started meanwhile has
// none: it reads what is there.
type part struct {
	// users are those who have it now, and last is when there was one. The
	// stage's mu is for both.
	users int
	last  time.Time

	mu   sync.Mutex
	hash hash.Hash // of the first size bytes; nil = not known
	size int64
}

func openStage(dir string, c clock.Clock) (*stage, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the folder of uploads: %w", err)
	}
	return &stage{dir: dir, clock: c, parts: map[string]*part{}, used: map[string]time.Time{}}, nil
}

func (s *stage) whole(sum string) string   { return filepath.Join(s.dir, sum) }
func (s *stage) partial(sum string) string { return filepath.Join(s.dir, sum+".part") }

// part is what is known of an upload, for whoever adds to it until release.
func (s *stage) part(sum string) *part {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.parts[sum]
	if p == nil {
		p = &part{}
		s.parts[sum] = p
	}
	p.users++
	return p
}

// release gives a part back, and forgets it if nothing is known of it.
func (s *stage) release(sum string, p *part) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p.users--
	p.last = s.clock.Now()
	if p.users == 0 && p.hash == nil && s.parts[sum] == p { // nobody else can have p
		delete(s.parts, sum)
	}
}

// have tells which contents are not here, and how much there is of those that
// are here in part.
func (s *stage) have(sums []string) (missing []string, partial map[string]int64, err error) {
	missing, partial = []string{}, map[string]int64{}
	for _, sum := range sums {
		if !blob.Valid(sum) {
			return nil, nil, ask.Refused("%.80q: %v", sum, blob.ErrName)
		}
		if info, err := os.Lstat(s.whole(sum)); err == nil {
			if !taken(info) {
				s.touch(s.whole(sum))
			}
			s.use(sum, false)
			continue
		}
		missing = append(missing, sum)
		if st, err := os.Lstat(s.partial(sum)); err == nil && st.Size() > 0 {
			partial[sum] = st.Size()
		}
	}
	return missing, partial, nil
}

// taken says whether a volume has the file: nothing of it may be changed.
func taken(info fs.FileInfo) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && st.Nlink > 1
}

// touch has an upload stay for as long again.
func (s *stage) touch(path string) { _ = os.Chtimes(path, time.Time{}, s.clock.Now()) }

// upload adds a piece, if it is the next one, and tells how much there is then.
func (s *stage) upload(ctx context.Context, sum string, size, offset int64, data []byte) (received int64, err error) {
	switch {
	case !blob.Valid(sum):
		return 0, ask.Refused("%.80q: %v", sum, blob.ErrName)
	case size < 0 || offset < 0 || offset+int64(len(data)) > size:
		return 0, ask.Refused("a piece of %d bytes at %d does not fit into a content of %d bytes", len(data), offset, size)
	}
	p := s.part(sum)
	defer s.release(sum, p)
	p.mu.Lock()
	defer p.mu.Unlock()
	if st, err := os.Lstat(s.whole(sum)); err == nil {
		return st.Size(), nil
	}
	f, err := os.OpenFile(s.partial(sum), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return 0, fmt.Errorf("storing an upload: %w", err)
	}
	defer f.Close()
	if err := p.resume(ctx, f); err != nil {
		return 0, fmt.Errorf("reading the beginning of an upload: %w", err)
	}
	if offset != p.size {
		return p.size, nil // the client goes on from there
	}
	if err := write(f, data, offset); err != nil {
		p.hash = nil
		return 0, fmt.Errorf("storing an upload: %w", errors.Join(err, f.Truncate(offset)))
	}
	s.touch(f.Name())
	p.hash.Write(data)
	p.size += int64(len(data))
	if p.size < size {
		return p.size, nil
	}
	return size, s.finish(p, sum)
}

// write writes a piece at the end of a file. Nothing but zeros is a hole.
func write(f *os.File, data []byte, offset int64) error {
	if len(data) == 0 || data[0] != 0 || !bytes.Equal(data[1:], data[:len(data)-1]) {
		_, err := f.WriteAt(data, offset)
		return err
	}
	return f.Truncate(offset + int64(len(data)))
}

// resume learns what there is.
func (p *part) resume(ctx context.Context, f *os.File) error {
	st, err := f.Stat()
	if err != nil || p.hash != nil && st.Size() == p.size {
		return err
	}
	h := sha256.New()
	n, err := io.Copy(h, &bounded{ctx, f})
	if err != nil {
		return err
	}
	p.hash, p.size = h, n
	return nil
}

// bounded reads until its context ends.
type bounded struct {
	ctx context.Context
	io.Reader
}

func (b *bounded) Read(p []byte) (int, error) {
	if err := b.ctx.Err(); err != nil {
		return 0, err
	}
	return b.Reader.Read(p)
}

// finish checks a whole content and gives it its name.
func (s *stage) finish(p *part, sum string) error {
	got := hex.EncodeToString(p.hash.Sum(nil))
	p.hash, p.size = nil, 0
	if got != sum {
		return errors.Join(ask.Refused("what was uploaded has the hash %s, announced was %s: did the file change meanwhile?", got, sum), os.Remove(s.partial(sum)))
	}
	if err := os.Rename(s.partial(sum), s.whole(sum)); err != nil {
		return fmt.Errorf("storing an upload: %w", err)
	}
	return nil
}

// emptySum is the hash of nothing, which needs no upload.
const emptySum = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// take opens a whole content for f, which may give it a further name if it has
// but one.
func (s *stage) take(sum string, f func(*os.File) error) error {
	if !blob.Valid(sum) {
		return ask.Refused("%.80q: %v", sum, blob.ErrName)
	}
	number, err := strconv.ParseUint(sum[:2], 16, 8)
	if err != nil {
		return ask.Refused("%.80q: %v", sum, blob.ErrName)
	}
	turn := &s.takes[number%uint64(len(s.takes))]
	turn.Lock()
	defer turn.Unlock()
	content, err := s.open(sum)
	if err != nil {
		return err
	}
	defer content.Close()
	s.use(sum, true)
	return f(content)
}

func (s *stage) open(sum string) (*os.File, error) {
	flags := os.O_RDONLY
	if sum == emptySum {
		flags |= os.O_CREATE
	}
	f, err := os.OpenFile(s.whole(sum), flags, 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ask.NotFound("the content %s was not uploaded, or longer than %v ago", sum, stageAge)
	}
	return f, err
}

// use notes that a content goes into a volume now, or that one that has is asked
// for.
func (s *stage) use(sum string, first bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, used := s.used[sum]; used || first {
		s.used[sum] = s.clock.Now()
	}
}

// stays says whether an upload is kept. mu is held.
func (s *stage) stays(sum string, info fs.FileInfo) bool {
	now := s.clock.Now()
	if at, used := s.used[sum]; used || taken(info) {
		return now.Sub(at) < usedAge
	}
	return now.Sub(info.ModTime()) < stageAge
}

// collect removes what a volume has, and what nobody has put into one.
func (s *stage) collect() error {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return fmt.Errorf("listing uploads: %w", err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			continue
		}
		sum := strings.TrimSuffix(e.Name(), ".part")
		s.mu.Lock()
		if !s.stays(sum, info) {
			delete(s.used, sum)
			err = os.Remove(filepath.Join(s.dir, e.Name()))
		}
		s.mu.Unlock()
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("removing an old upload: %w", err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for sum, p := range s.parts {
		if p.users == 0 && s.clock.Now().Sub(p.last) > knownAge {
			delete(s.parts, sum)
		}
	}
	return nil
}
