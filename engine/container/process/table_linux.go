package process

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gx-dev/gx/engine/container"
)

// forker starts processes that the kernel kills when this process dies. The
// kernel takes the end of the starting thread for that, so one thread starts
// them all and lives as long as the Runtime.
type forker struct {
	work chan func()
	gone chan struct{}
}

func newForker() *forker {
	f := &forker{work: make(chan func()), gone: make(chan struct{})}
	go func() {
		defer close(f.gone)
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		for fn := range f.work {
			fn()
		}
	}()
	return f
}

func (f *forker) start(cmd *exec.Cmd) error {
	cmd.SysProcAttr.Pdeathsig = unix.SIGKILL
	result := make(chan error, 1)
	f.work <- func() { result <- cmd.Start() }
	return <-result
}

func (f *forker) close() {
	close(f.work)
	<-f.gone
}

// awaitExit waits for the end of a child and leaves it a zombie.
func awaitExit(pid int) {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// process is a line of the process table.
type process struct {
	pid, parent, group, session int
	state                       byte
	cpu                         time.Duration // with its children that have ended
	resident                    int64         // bytes
	threads                     int64
}

// clockTick is the unit of times in /proc, the same on all of Linux.
const clockTick = 10 * time.Millisecond

// table reads the process table.
func table() []process {
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil
	}
	all := make([]process, 0, len(files))
	for _, file := range files {
		if text, err := os.ReadFile(file); err == nil {
			if p, ok := parseStat(string(text)); ok {
				all = append(all, p)
			}
		}
	}
	return all
}

// parseStat reads the text of a /proc/PID/stat file.
func parseStat(text string) (p process, ok bool) {
	// The second field is a name in parentheses that may itself have any.
	open, end := strings.IndexByte(text, '('), strings.LastIndexByte(text, ')')
	if open < 1 || end < open {
		return p, false
	}
	f := strings.Fields(text[end+1:])
	if len(f) < 22 {
		return p, false
	}
	num := func(s string) int64 {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			n = 0
		}
		return n
	}
	p.pid = int(num(strings.TrimSpace(text[:open])))
	p.state = f[0][0]
	p.parent, p.group, p.session = int(num(f[1])), int(num(f[2])), int(num(f[3]))
	for _, i := range []int{11, 12, 13, 14} { // own and children's, user and system
		p.cpu += time.Duration(num(f[i])) * clockTick
	}
	p.threads = num(f[17])
	p.resident = num(f[21]) * int64(os.Getpagesize())
	return p, p.pid > 0
}

// family lists a session's processes, their group's and all their children.
func family(leader int) []process {
	all := table()
	in := map[int]bool{leader: true}
	for grew := true; grew; {
		grew = false
		for _, p := range all {
			if !in[p.pid] && (p.session == leader || p.group == leader || in[p.parent]) {
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
		if p.state != 'Z' && p.state != 'X' {
			pids = append(pids, p.pid)
		}
	}
	return pids
}

// carrying lists processes with a token, or one that begins so, in their
// environment.
func carrying(token string) []int {
	files, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		return nil
	}
	entry := []byte(tokenVariable + "=" + token)
	var pids []int
	for _, file := range files {
		env, err := os.ReadFile(file) // of another user's: refused
		if err != nil || !bytes.HasPrefix(env, entry) && !bytes.Contains(env, append([]byte{0}, entry...)) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if err == nil && pid != os.Getpid() {
			pids = append(pids, pid)
		}
	}
	return pids
}

// usage adds up what a family uses.
func usage(leader int) container.Stats {
	var s container.Stats
	for _, p := range family(leader) {
		s.CPU += p.cpu
		s.Memory += p.resident
		s.Pids += p.threads
	}
	return s
}

// maxResident is the most memory that one of the processes had.
func maxResident(state *os.ProcessState) int64 {
	if ru, ok := state.SysUsage().(*syscall.Rusage); ok {
		return ru.Maxrss << 10
	}
	return 0
}
