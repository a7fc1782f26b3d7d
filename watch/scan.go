package watch

import (
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// file is what is known of a watched file.
type file struct {
	stamp stamp
	sum   string
}

// stamp is what a file's stat says; its zero value is a file that is not there.
type stamp struct {
	there    bool
	size     int64
	modified time.Time
	mode     fs.FileMode
}

func stampOf(path string) stamp {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() {
		return stamp{}
	}
	return stamp{there: true, size: info.Size(), modified: info.ModTime(), mode: info.Mode().Perm()}
}

func sizeOf(path string) int64 {
	if s := stampOf(path); s.there {
		return s.size
	}
	return -1
}

// read is what a file is now; settled is false if it changed meanwhile. One
// that cannot be read has the reason for a sum, so that it differs once it can.
func read(path string, sum func(string) (string, error)) (f file, settled bool) {
	before := stampOf(path)
	if !before.there {
		return file{}, true
	}
	text, err := sum(path)
	if err != nil {
		text = err.Error()
	}
	return file{stamp: before, sum: text}, stampOf(path) == before
}

// difference is what happened to a file, "" if nothing did.
func difference(before, now file) Kind {
	switch {
	case before.stamp.there && !now.stamp.there:
		return Removed
	case !before.stamp.there && now.stamp.there:
		return Created
	case before.sum != now.sum || before.stamp.mode != now.stamp.mode:
		return Written
	default:
		return ""
	}
}

// readAll reads files, several at once.
func readAll(paths []string, sum func(string) (string, error)) map[string]file {
	files := make(map[string]file, len(paths))
	var mu sync.Mutex
	var group errgroup.Group
	group.SetLimit(max(2, runtime.GOMAXPROCS(0)))
	for _, path := range paths {
		group.Go(func() error {
			f, _ := read(path, sum)
			mu.Lock()
			defer mu.Unlock()
			files[path] = f
			return nil
		})
	}
	_ = group.Wait() // never fails
	return files
}

// maxDepth is how deep a tree is followed.
const maxDepth = 64

// tree lists the files below a folder, whose events are watched before it is
// read, so that none falls between.
type tree struct {
	places *places
	ignore func(path string) bool
	watch  func(folder string)
	files  []string
}

func (t *tree) walk(folder string, above []string) {
	real, there := t.places.follow(folder)
	if !there || slices.Contains(above, real) || len(above) > maxDepth {
		return
	}
	t.places.trees[real] = append(t.places.trees[real], folder)
	t.watch(real)
	entries, err := os.ReadDir(real)
	if err != nil {
		return // it has just gone, which is an event
	}
	above = append(above, real)
	for _, e := range entries {
		path := filepath.Join(folder, e.Name())
		if t.ignore(path) {
			continue
		}
		mode := e.Type()
		if mode&fs.ModeSymlink != 0 {
			info, err := os.Stat(path)
			if err != nil {
				t.places.follow(path) // to nowhere, yet
				continue
			}
			mode = info.Mode().Type()
		}
		switch {
		case mode.IsDir():
			t.walk(path, above)
		case mode.IsRegular():
			t.files = append(t.files, path)
			t.places.file(path)
		}
	}
}
