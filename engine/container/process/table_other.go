//go:build !linux

package process

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/gx-dev/gx/engine/container"
)

// forker starts processes.
type forker struct{}

func newForker() *forker { return &forker{} }

func (*forker) start(cmd *exec.Cmd) error { return cmd.Start() }

func (*forker) close() {}

// awaitExit waits for the end of a child, which this system can't do without
// reaping it.
func awaitExit(pid int) {
	for tick := time.NewTicker(20 * time.Millisecond); ; <-tick.C {
		out, err := exec.Command("ps", "-o", "stat=", "-p", strconv.Itoa(pid)).Output()
		if state := strings.TrimSpace(string(out)); err != nil || state == "" || state[0] == 'Z' {
			tick.Stop()
			return
		}
	}
}

// process is a line of the process table.
type process struct {
	pid, parent, group int
	state              byte
	resident           int64 // bytes
}

// table reads the process table.
func table() []process {
	out, err := exec.Command("ps", "-A", "-o", "pid=,ppid=,pgid=,rss=,stat=").Output()
	if err != nil {
		return nil
	}
	var all []process
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		if len(f) < 5 {
			continue
		}
		var n [4]int
		for i := range n {
			if n[i], err = strconv.Atoi(f[i]); err != nil {
				break
			}
		}
		if err == nil {
			all = append(all, process{pid: n[0], parent: n[1], group: n[2], resident: int64(n[3]) << 10, state: f[4][0]})
		}
	}
	return all
}

// family lists a process group and all its children.
func family(leader int) []process {
	all := table()
	in := map[int]bool{leader: true}
	for grew := true; grew; {
		grew = false
		for _, p := range all {
			if !in[p.pid] && (p.group == leader || in[p.parent]) {
				in[p.pid], grew = true, true
			}
		}
	}
	var members []process
	for _, p := range all {
		if in[p.pid] {
			members = append(members, p)
		}
	}
	return members
}

// descendants lists the pids of a family that have not ended.
func descendants(leader int) []int {
	var pids []int
	for _, p := range family(leader) {
		if p.state != 'Z' {
			pids = append(pids, p.pid)
		}
	}
	return pids
}

// carrying finds nothing: this system shows nobody's environment.
func carrying(string) []int { return nil }

// usage adds up what a family uses; CPU time is known at the end only.
func usage(leader int) container.Stats {
	var s container.Stats
	for _, p := range family(leader) {
		s.Memory += p.resident
		s.Pids++
	}
	return s
}

// maxResident is the most memory that one of the processes had.
func maxResident(state *os.ProcessState) int64 {
	if ru, ok := state.SysUsage().(*syscall.Rusage); ok {
		return ru.Maxrss // bytes here
	}
	return 0
}
