package cgroup

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Group is one control group, in every hierarchy where it exists.
type Group struct {
	sys  *System
	path string
}

// Path is the group's path below the root of each hierarchy.
func (g Group) Path() string { return g.path }

// Child names a group below this one.
func (g Group) Child(name string) Group { return g.sys.Group(filepath.Join(g.path, name)) }

// dirs lists the group's directory in each hierarchy that has one.
func (g Group) dirs() []string {
	var dirs []string
	for _, point := range g.sys.all {
		dir := filepath.Join(point, g.path)
		if st, err := os.Stat(dir); err == nil && st.IsDir() {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// Exists says whether any hierarchy has the group.
func (g Group) Exists() bool { return len(g.dirs()) > 0 }

// Children lists the names of the groups directly below, without repeats.
func (g Group) Children() []string {
	var names []string
	for _, dir := range g.dirs() {
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			if e.IsDir() {
				names = append(names, e.Name())
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// Pids lists the processes in the group and all below it.
func (g Group) Pids() []int {
	var pids []int
	for _, dir := range g.dirs() {
		_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.IsDir() {
				return nil //nolint:nilerr // a group may vanish while it is read
			}
			pids = append(pids, readPids(filepath.Join(path, "cgroup.procs"))...)
			return nil
		})
	}
	slices.Sort(pids)
	return slices.Compact(pids)
}

func readPids(file string) []int {
	f, err := os.Open(file)
	if err != nil {
		return nil
	}
	defer f.Close()
	var pids []int
	for lines := bufio.NewScanner(f); lines.Scan(); {
		// 0 stands for a process outside this process's pid namespace.
		if pid, err := strconv.Atoi(lines.Text()); err == nil && pid > 0 {
			pids = append(pids, pid)
		}
	}
	return pids
}

// Kill sends SIGKILL to every process that is in the group or below it now.
func (g Group) Kill() error {
	if g.path == "/" {
		return errors.New("refusing to kill the root control group")
	}
	if g.sys.v2 != "" && os.WriteFile(filepath.Join(g.sys.v2, g.path, "cgroup.kill"), []byte("1"), 0) == nil && len(g.sys.v1) == 0 {
		return nil
	}
	var failed error
	for _, pid := range g.Pids() {
		if err := unix.Kill(pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
			failed = fmt.Errorf("kill process %d: %w", pid, err)
		}
	}
	return failed
}

// Remove removes the group and all below it in every hierarchy. It kills what
// is still in there, and waits, as long as ctx allows, for the kernel to let
// go of the dead.
func (g Group) Remove(ctx context.Context) error {
	if g.path == "/" {
		return errors.New("refusing to remove the root control group")
	}
	for wait := time.Millisecond; ; wait = min(2*wait, 50*time.Millisecond) {
		busy := g.rmdirs()
		if busy == nil {
			return nil
		}
		if err := g.Kill(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("remove control group %s: %w (processes in it: %v)", g.path, busy, g.Pids())
		case <-time.After(wait):
		}
	}
}

// rmdirs removes what it can, deepest first, and returns why something stayed.
func (g Group) rmdirs() error {
	var busy error
	for _, dir := range g.dirs() {
		var tree []string
		_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				tree = append(tree, path)
			}
			return nil
		})
		for _, path := range slices.Backward(tree) {
			if err := unix.Rmdir(path); err != nil && !errors.Is(err, unix.ENOENT) {
				busy = &fs.PathError{Op: "rmdir", Path: path, Err: err}
			}
		}
	}
	return busy
}

// Usage is what a group uses and has used. What the kernel does not tell is 0.
type Usage struct {
	CPU      time.Duration // in all
	Memory   int64         // bytes now
	Peak     int64         // bytes at the highest
	Pids     int64         // processes and threads now
	OOMKills int64         // processes that the kernel killed for memory
}

// Usage reads the group's counters.
func (g Group) Usage() Usage {
	var u Usage
	if dir, ok := g.dir1("cpuacct"); ok {
		u.CPU = time.Duration(readInt(dir, "cpuacct.usage"))
	} else {
		u.CPU = time.Duration(readKey(g.dir2(), "cpu.stat", "usage_usec")) * time.Microsecond
	}
	if dir, ok := g.dir1("memory"); ok {
		u.Memory = readInt(dir, "memory.usage_in_bytes")
		u.Peak = readInt(dir, "memory.max_usage_in_bytes")
		u.OOMKills = readKey(dir, "memory.oom_control", "oom_kill")
	} else {
		u.Memory = readInt(g.dir2(), "memory.current")
		u.Peak = readInt(g.dir2(), "memory.peak") // Linux 5.19 and newer
		u.OOMKills = readKey(g.dir2(), "memory.events", "oom_kill")
	}
	u.Peak = max(u.Peak, u.Memory)
	if dir, ok := g.dir1("pids"); ok {
		u.Pids = readInt(dir, "pids.current")
	} else {
		u.Pids = readInt(g.dir2(), "pids.current")
	}
	return u
}

// dir1 is the group's directory in the version 1 hierarchy of a controller.
func (g Group) dir1(controller string) (string, bool) {
	point, ok := g.sys.v1[controller]
	return filepath.Join(point, g.path), ok
}

func (g Group) dir2() string { return filepath.Join(g.sys.v2, g.path) }

func readInt(dir, file string) int64 {
	text, _ := os.ReadFile(filepath.Join(dir, file))
	n, _ := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	return n
}

// readKey finds "key value" among a file's lines.
func readKey(dir, file, key string) int64 {
	text, _ := os.ReadFile(filepath.Join(dir, file))
	for line := range strings.Lines(string(text)) {
		if k, v, ok := strings.Cut(strings.TrimSpace(line), " "); ok && k == key {
			n, _ := strconv.ParseInt(v, 10, 64)
			return n
		}
	}
	return 0
}
