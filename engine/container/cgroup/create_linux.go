package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
)

// Limits are what the processes of a group may use together. A limit of 0 is
// none.
type Limits struct {
	CPU    float64 // cores
	Memory int64   // bytes; swap is not allowed on top
	Pids   int64   // processes and threads
}

// cpuPeriod is the time within which a CPU limit is kept, in microseconds.
const cpuPeriod = 100_000

// devices are those that a container may use, as the OCI runtimes have it:
// null, zero, full, random, urandom, tty, ptmx and pseudo terminals; making
// device files is a matter of capabilities.
var devices = []string{
	"c *:* m", "b *:* m", "c 1:3 rwm", "c 1:5 rwm", "c 1:7 rwm", "c 1:8 rwm", "c 1:9 rwm",
	"c 5:0 rwm", "c 5:2 rwm", "c 136:* rwm",
}

// controllers are those of version 1 in which Create makes a group: they limit, count or stop.
var controllers = []string{"cpu", "cpuacct", "memory", "pids", "devices", "freezer"}

// Create makes the group, with limits, in the hierarchies that count and limit
// something. In version 2 devices are not limited; a file system without
// devices has the same effect.
func (g Group) Create(l Limits) error {
	var err error
	if len(g.sys.v1) == 0 {
		err = g.create2(l)
	} else {
		err = g.create1(l)
	}
	if err != nil {
		return fmt.Errorf("make control group %s: %w", g.path, err)
	}
	return nil
}

func (g Group) create1(l Limits) error {
	for _, dir := range g.joined() {
		if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // as all control groups
			return err
		}
	}
	set := func(controller, file string, value int64) error {
		if dir, ok := g.dir1(controller); ok {
			return write(dir, file, strconv.FormatInt(value, 10))
		}
		return nil
	}
	var failed error
	if l.Memory > 0 {
		failed = set("memory", "memory.limit_in_bytes", l.Memory)
		if g.sys.CanLimitSwap() {
			failed = errors.Join(failed, set("memory", "memory.memsw.limit_in_bytes", l.Memory))
		}
	}
	if l.CPU > 0 {
		failed = errors.Join(failed, set("cpu", "cpu.cfs_period_us", cpuPeriod),
			set("cpu", "cpu.cfs_quota_us", quota(l.CPU)), set("cpu", "cpu.shares", shares(l.CPU)))
	}
	if l.Pids > 0 {
		failed = errors.Join(failed, set("pids", "pids.max", l.Pids))
	}
	if dir, ok := g.dir1("devices"); ok {
		failed = errors.Join(failed, write(dir, "devices.deny", "a"))
		for _, d := range devices {
			failed = errors.Join(failed, write(dir, "devices.allow", d))
		}
	}
	return failed
}

func (g Group) create2(l Limits) error {
	parent := filepath.Dir(g.path)
	for _, above := range []string{"/", parent} {
		// Those who are there already are no news; one that is missing shows below.
		_ = write(filepath.Join(g.sys.v2, above), "cgroup.subtree_control", "+cpu +memory +pids")
	}
	if err := os.MkdirAll(g.dir2(), 0o755); err != nil { //nolint:gosec // as all control groups
		return err
	}
	var failed error
	if l.Memory > 0 {
		failed = write(g.dir2(), "memory.max", strconv.FormatInt(l.Memory, 10))
		if err := write(g.dir2(), "memory.swap.max", "0"); !errors.Is(err, os.ErrNotExist) {
			failed = errors.Join(failed, err)
		}
	}
	if l.CPU > 0 {
		weight := 1 + (min(shares(l.CPU), 262144)-2)*9999/262142 // the OCI runtimes' formula
		failed = errors.Join(failed, write(g.dir2(), "cpu.max", fmt.Sprintf("%d %d", quota(l.CPU), cpuPeriod)),
			write(g.dir2(), "cpu.weight", strconv.FormatInt(weight, 10)))
	}
	if l.Pids > 0 {
		failed = errors.Join(failed, write(g.dir2(), "pids.max", strconv.FormatInt(l.Pids, 10)))
	}
	return failed
}

// joined lists the directories that Create makes, each once.
func (g Group) joined() []string {
	if len(g.sys.v1) == 0 {
		return []string{g.dir2()}
	}
	var dirs []string
	for _, c := range controllers {
		if dir, ok := g.dir1(c); ok && !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// Entrances opens the files of a group that Create made by which a process
// joins it: it writes "0" to each. A process that joins by itself does not wait
// for the kernel's lock (see System.Warm) in version 1.
func (g Group) Entrances() (files []*os.File, err error) {
	name := "tasks"
	if len(g.sys.v1) == 0 {
		name = "cgroup.procs"
	}
	for _, dir := range g.joined() {
		f, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY, 0)
		if err != nil {
			for _, f := range files {
				f.Close()
			}
			return nil, fmt.Errorf("open control group %s: %w", g.path, err)
		}
		files = append(files, f)
	}
	return files, nil
}

// Views lists what a container sees of the group: by name below
// /sys/fs/cgroup, "" for that directory itself, the group's directory.
func (g Group) Views() map[string]string {
	if len(g.sys.v1) == 0 {
		return map[string]string{"": g.dir2()}
	}
	views := map[string]string{}
	for _, c := range controllers {
		if dir, ok := g.dir1(c); ok {
			views[c] = dir
		}
	}
	return views
}

func quota(cores float64) int64  { return max(int64(cores*cpuPeriod), 1000) } // the kernel's least
func shares(cores float64) int64 { return max(int64(cores*1024), 2) }

func write(dir, file, value string) error {
	return os.WriteFile(filepath.Join(dir, file), []byte(value), 0)
}
