package source

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/gx-dev/gx/app"
)

// content is what one layer has, by path in the container.
type content struct {
	files map[string]app.File
	// dirs are directories that nothing is in, and those above files whose mode
	// is not dirMode.
	dirs map[string]fs.FileMode
}

// dirMode is the mode of directories that the image does not have.
const dirMode fs.FileMode = 0o755

func executable(f app.File) bool { return f.Mode&0o111 != 0 }

// name is the digest of the content.
func (c content) name(copied bool) string {
	h := sha256.New()
	fmt.Fprintf(h, "copied %v\n", copied)
	for _, p := range slices.Sorted(maps.Keys(c.dirs)) {
		fmt.Fprintf(h, "%s\x00%o\n", p, c.dirs[p])
	}
	var line []byte
	for _, p := range slices.Sorted(maps.Keys(c.files)) {
		f := c.files[p]
		line = append(append(append(line[:0], p...), 0), f.SHA256...)
		if executable(f) {
			line = append(line, " x"...)
		}
		h.Write(append(line, '\n'))
	}
	return hex.EncodeToString(h.Sum(nil))
}

// make makes a layer's directory: beside its place first, so that a kill in the
// middle leaves nothing that looks finished.
func (s *Store) make(ctx context.Context, name string, c content, copied bool) (err error) {
	tmp, err := os.MkdirTemp(s.dir, "making-")
	if err != nil {
		return fmt.Errorf("making a source tree: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(tmp))
		}
	}()
	put := s.blobs.Link
	if copied {
		put = s.blobs.Copy
	}
	made := directories{root: tmp, modes: c.dirs, made: map[string]bool{}}
	for p := range c.dirs {
		if err := made.make(p); err != nil {
			return fmt.Errorf("making a source tree: %w", err)
		}
	}
	i := 0
	for p, f := range c.files {
		if i++; i%100 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if err := made.make(filepath.Dir(p)); err != nil {
			return fmt.Errorf("making a source tree: %w", err)
		}
		if err := put(f.SHA256, executable(f), filepath.Join(tmp, p)); err != nil {
			return fmt.Errorf("placing %s into a source tree: %w", p, err)
		}
	}
	if err := os.Chmod(tmp, dirMode); err != nil { // it becomes a container's root directory
		return fmt.Errorf("making a source tree: %w", err)
	}
	if err := os.Rename(tmp, filepath.Join(s.dir, name)); err != nil {
		return fmt.Errorf("making a source tree: %w", err)
	}
	return nil
}

// directories makes directories below a root, each once.
type directories struct {
	root  string
	modes map[string]fs.FileMode // dirMode where it says nothing
	made  map[string]bool
}

// make makes a directory and those above it, with modes that do not depend on
// the umask.
func (d directories) make(dir string) error {
	if dir == "/" || d.made[dir] {
		return nil
	}
	if err := d.make(filepath.Dir(dir)); err != nil {
		return err
	}
	d.made[dir] = true
	mode, ok := d.modes[dir]
	if !ok {
		mode = dirMode
	}
	full := filepath.Join(d.root, dir)
	if err := os.Mkdir(full, 0o700); err != nil {
		return err
	}
	return os.Chmod(full, mode)
}
