package cgroup

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// System is the machine's control group layout. It is read once and does not
// change; its methods may be called from any goroutine.
type System struct {
	v1  map[string]string // controller, or "name=X", to mount point
	v2  string            // mount point of the version 2 tree, "" if none
	all []string          // every mount point, once
}

// Open reads the layout from the mounts that this process sees.
func Open() (*System, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("read the control group mounts: %w", err)
	}
	defer f.Close()
	return parse(f)
}

// parse reads the layout from the text of a mountinfo file.
func parse(mountinfo io.Reader) (*System, error) {
	s := &System{v1: map[string]string{}}
	seen := map[string]bool{}
	lines := bufio.NewScanner(mountinfo)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		// "id parent major:minor root MOUNTPOINT options [tags] - TYPE source OPTIONS"
		head, tail, ok := strings.Cut(lines.Text(), " - ")
		fields, rest := strings.Fields(head), strings.Fields(tail)
		if !ok || len(fields) < 6 || len(rest) < 3 {
			continue
		}
		point := fields[4]
		switch rest[0] {
		case "cgroup2":
			if s.v2 != "" {
				continue // the first is the one at the usual place
			}
			s.v2 = point
		case "cgroup":
			for _, opt := range strings.Split(rest[2], ",") {
				switch opt {
				case "rw", "ro", "xattr", "clone_children", "noprefix", "none", "favordynmods":
				default:
					if _, twice := s.v1[opt]; !twice && !strings.HasPrefix(opt, "release_agent=") {
						s.v1[opt] = point
					}
				}
			}
		default:
			continue
		}
		if !seen[point] {
			seen[point] = true
			s.all = append(s.all, point)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read the control group mounts: %w", err)
	}
	if len(s.all) == 0 {
		return nil, errors.New("no control group file system is mounted (expected one at /sys/fs/cgroup)")
	}
	return s, nil
}

// Layout is "v1", "v2" or "hybrid".
func (s *System) Layout() string {
	switch {
	case s.v2 == "":
		return "v1"
	case len(s.v1) == 0:
		return "v2"
	}
	return "hybrid"
}

// Mounts lists the mount points of all hierarchies.
func (s *System) Mounts() []string { return s.all }

// Controllers says which of the named controllers can limit something here.
func (s *System) Controllers(names ...string) (have, lack []string) {
	v2 := map[string]bool{}
	if s.v2 != "" {
		text, _ := os.ReadFile(filepath.Join(s.v2, "cgroup.controllers"))
		for _, c := range strings.Fields(string(text)) {
			v2[c] = true
		}
	}
	for _, name := range names {
		if _, ok := s.v1[name]; ok || v2[name] {
			have = append(have, name)
		} else {
			lack = append(lack, name)
		}
	}
	return have, lack
}

// CanLimitSwap says whether the kernel accounts for swap, so that a limit on
// memory plus swap is accepted.
func (s *System) CanLimitSwap() bool {
	memory, ok := s.v1["memory"]
	if !ok {
		return true // version 2 ignores what it can't limit
	}
	_, err := os.Stat(filepath.Join(memory, "memory.memsw.limit_in_bytes"))
	return err == nil
}

// Group names a group by its path below the roots of all hierarchies. It need
// not exist.
func (s *System) Group(path string) Group {
	return Group{sys: s, path: filepath.Clean("/" + path)}
}
