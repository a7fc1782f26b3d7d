// Package filehash hashes many files in parallel and remembers the hashes, so
// that an unchanged project costs one stat for each file. It knows nothing of
// what the files are for.
package filehash

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	header = "gx file hashes 1"
	// settle is how old a file's last change must be for its hash to be
	// remembered: within a clock tick a file can change again and keep its
	// size and times.
	settle = 2 * time.Second
	// keep bounds the cache; when it is passed, what this run did not use goes.
	keep = 200_000
	// longest line of the cache file that is believed.
	longest = 16 << 10
)

// Cache remembers hashes by path, size, times and inode. It is safe for
// concurrent use.
type Cache struct {
	file string

	mu      sync.Mutex
	entries map[string]entry
	changed bool
}

type entry struct {
	stamp stamp
	sum   string
	used  bool
}

// stamp is what tells that a file is the one that was hashed.
type stamp struct {
	size         int64
	mtime, ctime int64 // nanoseconds
	inode        uint64
}

// Sum is a file's content hash with what was found out on the way.
type Sum struct {
	SHA256 string // hex
	Size   int64
	Mode   os.FileMode // permission bits
}

// Open reads a cache. One that is missing or damaged is an empty cache.
func Open(file string) *Cache {
	c := &Cache{file: file, entries: map[string]entry{}}
	if f, err := os.Open(file); err == nil {
		defer f.Close()
		c.entries = read(f)
	}
	return c
}

func read(r io.Reader) map[string]entry {
	entries := map[string]entry{}
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 4096), longest)
	if !lines.Scan() || lines.Text() != header {
		return entries
	}
	for lines.Scan() && len(entries) < 2*keep {
		if path, e, ok := parse(lines.Text()); ok {
			entries[path] = e
		}
	}
	return entries
}

// parse reads "SHA256 SIZE MTIME CTIME INODE QUOTED-PATH".
func parse(line string) (string, entry, bool) {
	parts := strings.SplitN(line, " ", 6)
	if len(parts) != 6 || len(parts[0]) != 2*sha256.Size {
		return "", entry{}, false
	}
	if _, err := hex.DecodeString(parts[0]); err != nil {
		return "", entry{}, false
	}
	e := entry{sum: parts[0]}
	var errs [4]error
	e.stamp.size, errs[0] = strconv.ParseInt(parts[1], 10, 64)
	e.stamp.mtime, errs[1] = strconv.ParseInt(parts[2], 10, 64)
	e.stamp.ctime, errs[2] = strconv.ParseInt(parts[3], 10, 64)
	e.stamp.inode, errs[3] = strconv.ParseUint(parts[4], 10, 64)
	path, err := strconv.Unquote(parts[5])
	return path, e, errors.Join(errs[:]...) == nil && err == nil
}

// Sums hashes files, in the order of paths.
func (c *Cache) Sums(ctx context.Context, paths []string) ([]Sum, error) {
	sums := make([]Sum, len(paths))
	group, ctx := errgroup.WithContext(ctx)
	workers := min(len(paths), max(4, 2*runtime.GOMAXPROCS(0)))
	for w := range workers {
		group.Go(func() error {
			for i := w; i < len(paths); i += workers {
				if err := ctx.Err(); err != nil {
					return err
				}
				var err error
				if sums[i], err = c.sum(paths[i]); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return sums, group.Wait()
}

func (c *Cache) sum(path string) (Sum, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return Sum{}, err
	}
	info, err := os.Stat(abs)
	if err != nil {
		return Sum{}, err
	}
	if !info.Mode().IsRegular() {
		return Sum{}, fmt.Errorf("%s is not a regular file (%s)", path, info.Mode().Type())
	}
	found := Sum{Size: info.Size(), Mode: info.Mode().Perm()}
	now := stampOf(info)

	c.mu.Lock()
	e, ok := c.entries[abs]
	if ok && e.stamp == now {
		e.used = true
		c.entries[abs] = e
		c.mu.Unlock()
		found.SHA256 = e.sum
		return found, nil
	}
	c.mu.Unlock()

	begun := time.Now()
	if found.SHA256, found.Size, err = hash(abs); err != nil {
		return Sum{}, err
	}
	after, err := os.Stat(abs)
	if err != nil {
		return Sum{}, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if stampOf(after) == now && begun.Sub(time.Unix(0, max(now.mtime, now.ctime))) > settle {
		c.entries[abs] = entry{stamp: now, sum: found.SHA256, used: true}
		c.changed = true
	} else if ok {
		delete(c.entries, abs)
		c.changed = true
	}
	return found, nil
}

func hash(path string) (sum string, size int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", 0, err
	}
	defer f.Close()
	h := sha256.New()
	if size, err = io.Copy(h, f); err != nil {
		return "", 0, fmt.Errorf("reading %s: %w", path, err)
	}
	return hex.EncodeToString(h.Sum(nil)), size, nil
}

// Save writes the cache if it has changed. Of two that save at once, one's
// news is lost and found again later.
func (c *Cache) Save() (err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.changed {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(c.file), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(c.file), filepath.Base(c.file)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	w := bufio.NewWriter(f)
	fmt.Fprintln(w, header)
	for path, e := range c.entries {
		if len(c.entries) > keep && !e.used {
			continue
		}
		s := e.stamp
		fmt.Fprintf(w, "%s %d %d %d %d %q\n", e.sum, s.size, s.mtime, s.ctime, s.inode, path)
	}
	if err := errors.Join(w.Flush(), f.Close()); err != nil {
		return err
	}
	c.changed = false
	return os.Rename(f.Name(), c.file)
}
