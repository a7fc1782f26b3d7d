package trace

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/gx-dev/gx/api"
)

// History keeps on disk what is known of functions that have ended, so that it
// outlives the host: one JSON object per line, an api.Why each, appended and
// never changed. Two files of maxFile bytes are the most there is; the older
// one goes when the newer one is full. It is safe for concurrent use.
type History struct {
	dir  string
	most int64 // bytes of a file
	mu   sync.Mutex
}

const (
	maxFile  = 16 << 20 // bytes
	maxLines = 100      // calls, failures and containers of one function, each
	maxRead  = 4 << 20  // bytes of one line
)

// OpenHistory makes a History in a directory, which is made if it is missing.
func OpenHistory(dir string) (*History, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the directory for what ended calls were like: %w", err)
	}
	return &History{dir: dir, most: maxFile}, nil
}

func (h *History) current() string { return filepath.Join(h.dir, "why.jsonl") }
func (h *History) older() string   { return filepath.Join(h.dir, "why.old.jsonl") }

// Keep writes the records of functions that have ended.
func (h *History) Keep(functions []*Function, now time.Time) error {
	var b bytes.Buffer
	out := json.NewEncoder(&b)
	for _, f := range functions {
		for _, w := range f.whys(now) {
			if err := out.Encode(w); err != nil {
				return fmt.Errorf("writing what is known of %s: %w", w.Ref, err)
			}
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if err := h.append(b.Bytes()); err != nil {
		return fmt.Errorf("keeping what is known of calls that have ended: %w", err)
	}
	return nil
}

// append writes lines at once. mu is held.
func (h *History) append(lines []byte) (err error) {
	f, err := os.OpenFile(h.current(), os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if size := info.Size(); size > 0 {
		// A host that was killed may have left half a line.
		var last [1]byte
		if _, err := f.ReadAt(last[:], size-1); err != nil {
			return err
		}
		if last[0] != '\n' {
			lines = append([]byte{'\n'}, lines...)
		}
	}
	if _, err := f.Write(lines); err != nil {
		return err
	}
	if info.Size()+int64(len(lines)) < h.most {
		return nil
	}
	return os.Rename(h.current(), h.older())
}

// Find returns the newest that matches; text is in the line of all that do.
func (h *History) Find(text string, match func(*api.Why) bool) (api.Why, bool, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, path := range []string{h.current(), h.older()} {
		w, found, err := find(path, []byte(text), match)
		if found || err != nil {
			return w, found, err
		}
	}
	return api.Why{}, false, nil
}

func find(path string, text []byte, match func(*api.Why) bool) (last api.Why, found bool, err error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return last, false, nil
	}
	if err != nil {
		return last, false, fmt.Errorf("reading what is known of calls that have ended: %w", err)
	}
	defer f.Close()
	r := bufio.NewReaderSize(f, maxRead)
	for {
		line, err := r.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) { // none of ours
			continue
		}
		if bytes.Contains(line, text) {
			var w api.Why
			if json.Unmarshal(line, &w) == nil && match(&w) { // half a line is nobody's
				last, found = w, true
			}
		}
		if errors.Is(err, io.EOF) {
			return last, found, nil
		}
		if err != nil {
			return last, found, fmt.Errorf("reading what is known of calls that have ended: %w", err)
		}
	}
}

// whys is what is known of a function that has ended, of its calls and of its
// containers.
func (f *Function) whys(now time.Time) []api.Why {
	t := f.Describe(maxLines, now)
	t.Ended = true
	list := []api.Why{{Ref: f.ID, Kind: "function", Answer: AnswerFunction(t), Functions: []api.FunctionTrace{t}}}
	for _, c := range t.Containers {
		list = append(list, api.Why{Ref: c.ID, Kind: "container", Answer: AnswerContainer(c), Container: &c})
	}
	told := map[*Call]bool{}
	call := func(c *Call) bool {
		if !told[c] {
			told[c] = true
			d := c.Describe(now, f.Container)
			list = append(list, api.Why{Ref: c.ID, Kind: "call", Answer: AnswerCall(d, nil), Call: &d})
		}
		return len(told) < 2*maxLines
	}
	f.troubled.latest(func(c *Call) bool { return call(c) && len(told) < maxLines })
	f.calls.latest(call)
	return list
}
