package watch

import (
	"os"
	"path/filepath"
	"strings"
)

// maxLinks is how many symbolic links one path may lead through.
const maxLinks = 40

// places are the folders whose events matter for a set: real paths, without
// symbolic links.
type places struct {
	// names are the entries of each folder that matter.
	names map[string]map[string]struct{}
	// holds are the folders that hold what is watched.
	holds map[string]struct{}
	// trees are folders of which every entry matters: the paths by which they
	// were reached.
	trees map[string][]string
	// files are the watched files, by their real path.
	files map[string][]string
}

func newPlaces() *places {
	return &places{names: map[string]map[string]struct{}{}, holds: map[string]struct{}{}, trees: map[string][]string{}, files: map[string][]string{}}
}

// file adds a watched file.
func (p *places) file(path string) {
	real, _ := p.follow(path)
	p.files[real] = append(p.files[real], path)
}

// follow adds the folders whose entries decide what a path is: those of every
// link on the way, and the one of its end, or the nearest that there is. It
// returns the real path.
func (p *places) follow(path string) (real string, there bool) {
	rest := strings.Split(strings.TrimPrefix(filepath.Clean(path), "/"), "/")
	real, links := "/", 0
	for len(rest) > 0 {
		name := rest[0]
		rest = rest[1:]
		if name == "" || name == "." {
			continue
		}
		if name == ".." {
			real = filepath.Dir(real)
			continue
		}
		next := filepath.Join(real, name)
		info, err := os.Lstat(next)
		if err != nil {
			p.name(real, name)
			return filepath.Join(append([]string{next}, rest...)...), false
		}
		if info.Mode()&os.ModeSymlink != 0 && links < maxLinks {
			links++
			p.name(real, name)
			if target, err := os.Readlink(next); err == nil {
				if filepath.IsAbs(target) {
					real = "/"
				}
				rest = append(strings.Split(filepath.Clean(target), "/"), rest...)
				continue
			}
		}
		if len(rest) == 0 {
			p.name(real, name)
		}
		real = next
	}
	return real, true
}

// name says that an entry of a folder matters.
func (p *places) name(folder, name string) {
	names := p.names[folder]
	if names == nil {
		names = map[string]struct{}{}
		p.names[folder] = names
	}
	names[name] = struct{}{}
	p.holds[folder] = struct{}{}
}

// above adds the folders above those that hold something, as far as others that
// do, and one more: a folder that is renamed or deleted is an event in the one
// above it.
func (p *places) above() {
	for folder := range p.trees {
		p.holds[folder] = struct{}{}
	}
	for held := range p.holds {
		for folder := held; folder != "/"; folder = filepath.Dir(folder) {
			up := filepath.Dir(folder)
			if up == "/" {
				break
			}
			names := p.names[up]
			if names == nil {
				names = map[string]struct{}{}
				p.names[up] = names
			}
			names[filepath.Base(folder)] = struct{}{}
			if !p.holdsAbove(up) {
				break
			}
		}
	}
}

// holdsAbove tells whether a folder, or one above it, holds something.
func (p *places) holdsAbove(folder string) bool {
	for ; folder != "/"; folder = filepath.Dir(folder) {
		if _, ok := p.holds[folder]; ok {
			return true
		}
	}
	return false
}

// folders lists all that are to be watched.
func (p *places) folders() map[string]struct{} {
	all := make(map[string]struct{}, len(p.names)+len(p.trees))
	for folder := range p.names {
		all[folder] = struct{}{}
	}
	for folder := range p.trees {
		all[folder] = struct{}{}
	}
	return all
}
