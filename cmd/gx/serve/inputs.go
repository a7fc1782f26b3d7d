package serve

import (
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gx-dev/gx/app"
	"github.com/gx-dev/gx/sdk"
	"github.com/gx-dev/gx/watch"
)

// inputs are what a file's apps were made of.
type inputs struct {
	root  string // the folder that modules are imported from
	files map[string]struct{}
	trees map[string]struct{}
}

// of is the inputs of what was collected. What an earlier collection has read
// counts as well if this one failed: it may not have come that far.
func (in inputs) of(c sdk.Collected) inputs {
	next := inputs{root: in.root, files: map[string]struct{}{}, trees: map[string]struct{}{}}
	if c.Exception != nil {
		for path := range in.files {
			next.files[path] = struct{}{}
		}
		for path := range in.trees {
			next.trees[path] = struct{}{}
		}
	}
	for _, path := range c.Files {
		next.files[path] = struct{}{}
	}
	for _, path := range c.Trees {
		next.trees[path] = struct{}{}
	}
	for _, a := range c.Apps {
		for _, m := range a.Manifest.Mounts {
			next.add(m.Files)
		}
		for _, image := range a.Manifest.Images {
			for _, step := range image.Steps {
				next.add(step.Files)
			}
		}
	}
	return next
}

// add adds files of a manifest, but for the SDK's own.
func (in inputs) add(files []app.File) {
	for _, f := range files {
		if f.Local != "" && filepath.IsAbs(f.Local) {
			in.files[filepath.Clean(f.Local)] = struct{}{}
		}
	}
}

// set is what to watch; since is when it was begun to be read.
func (in inputs) set(since time.Time) watch.Set {
	set := watch.Set{Since: since, Ignore: ignored, Locks: gitLocks(in.root)}
	for path := range in.files {
		set.Files = append(set.Files, path)
	}
	for path := range in.trees {
		set.Trees = append(set.Trees, path)
	}
	return set
}

// ignored are entries of folders that come and go, and that nobody means.
func ignored(path string) bool {
	name := filepath.Base(path)
	return name == "__pycache__" || name == ".git" || name == "node_modules" || name == "4913" ||
		strings.HasSuffix(name, "~") || strings.HasSuffix(name, ".pyc") || strings.HasSuffix(name, ".swp") || strings.HasPrefix(name, ".#")
}

// gitLocks is what git holds while it changes the files of the repository that a
// folder is part of.
func gitLocks(folder string) []string {
	for {
		git := filepath.Join(folder, ".git")
		if info, err := os.Stat(git); err == nil {
			if info.IsDir() {
				return []string{filepath.Join(git, "index.lock")}
			}
			if data, err := os.ReadFile(git); err == nil { // of a worktree
				if dir, ok := strings.CutPrefix(strings.TrimSpace(string(data)), "gitdir: "); ok && filepath.IsAbs(dir) {
					return []string{filepath.Join(dir, "index.lock")}
				}
			}
			return nil
		}
		up := filepath.Dir(folder)
		if up == folder {
			return nil
		}
		folder = up
	}
}

// since is when the latest of the changed files was written, if that was just
// now: a reload's time counts from the save. Else it counts from now.
func since(changes []watch.Change, now time.Time) time.Time {
	began := time.Time{}
	for _, c := range changes {
		if info, err := os.Stat(c.Path); err == nil && info.ModTime().After(began) {
			began = info.ModTime()
		}
	}
	if age := now.Sub(began); age < 0 || age > 2*time.Second {
		return now
	}
	return began
}

// cut takes FILE[::APP] apart.
func cut(reference string) (file, name string, ok bool) { return strings.Cut(reference, "::") }
