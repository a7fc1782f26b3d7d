package cgroup

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Warm takes the wait out of the next move of a process into a group. Such a
// move takes a machine-wide lock which, when nobody used it lately, costs the
// first user a grace period of the kernel, some 10 ms; for a moment after that
// it is free. Warm moves this process to where it is already, which takes the
// lock and changes nothing. It is best called a little ahead of the move, in
// parallel with other preparation.
func (s *System) Warm() {
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return
	}
	for line := range strings.Lines(string(text)) {
		// "number:controllers:path"
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(f) != 3 {
			continue
		}
		point := s.v2
		if f[1] != "" {
			name, _, _ := strings.Cut(f[1], ",")
			point = s.v1[name]
		}
		if point == "" {
			continue
		}
		if os.WriteFile(filepath.Join(point, f[2], "cgroup.procs"), []byte(strconv.Itoa(os.Getpid())), 0) == nil {
			return
		}
	}
}
