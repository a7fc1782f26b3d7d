// Package container starts and stops isolated processes on a host. It holds
// the Runtime interface, which is a contract that every implementation keeps
// (one conformance suite, package containertest, holds them to it), and knows
// nothing of functions, calls or apps.
package container

import (
	"context"
	"os"
	"strings"
	"syscall"
	"time"

	cdi "tags.cncf.io/container-device-interface/specs-go"
)

// Runtime makes containers. Implementations are safe for concurrent use.
type Runtime interface {
	// Name is the implementation's name as --runtime spells it.
	Name() string

	// Isolation lists, in a user's words, what this runtime does not isolate;
	// it is empty for a runtime that isolates all that Spec asks for.
	Isolation() []string

	// Start starts a container and returns once its first process is being
	// executed or has failed to. On error nothing of it is left behind. ctx
	// bounds the start only: a running container outlives it.
	Start(ctx context.Context, spec Spec) (Container, error)

	// Close ends every container that is still running, waits for their
	// clean-up and releases what the runtime holds (network, directories).
	Close() error
}

// Container is one running or finished container. All methods may be called
// at any time, from any goroutine, any number of times.
type Container interface {
	ID() string

	// Signal sends a signal to the container's first process. After the end of
	// the container it does nothing.
	Signal(sig syscall.Signal) error

	// Kill ends every process in the container at once.
	Kill() error

	// Done is closed when the container has ended and nothing of it is left:
	// no process, mount, cgroup or network namespace.
	Done() <-chan struct{}

	// Exit tells how the container ended; it is only valid after Done.
	Exit() Exit

	// Stats reads current usage. After the end it returns the last known.
	Stats() (Stats, error)
}

// Spec says what to run.
type Spec struct {
	ID       string   // unique on the host; [a-z0-9-], at most 64 bytes
	Hostname string   // "" = ID
	Root     Root     // file system
	Args     []string // Args[0] is looked up in Env's PATH inside the container
	Env      []string // the whole environment, KEY=VALUE
	Dir      string   // working directory inside the container, made if missing
	Mounts   []Mount
	// Edits are further changes in the language of CDI, for devices: variables,
	// which replace those of Env, mounts, device nodes, hooks. nil = none. Devices
	// and hooks are impossible for a runtime without isolation, and in a Fork.
	Edits *cdi.ContainerEdits

	CPU      float64 // cores; 0 = no limit
	Memory   int64   // bytes; 0 = no limit
	Pids     int64   // processes and threads; 0 = the runtime's default limit
	Disk     int64   // bytes of writable layer; 0 = no limit; best effort, see the runtime
	Network  Network
	Stdout   *os.File // the container's descriptors 1 and 2; Start does not close them
	Stderr   *os.File
	ExtraEnv func() []string // resolved at the last moment and never logged (secrets); may be nil
}

// Root is where a container's file system comes from.
type Root struct {
	// Lower are read-only directories, topmost first, under a writable overlay.
	Lower []string
	// Venv is a Python virtual environment on the host, for runtimes without
	// file system isolation; Lower is empty then.
	Venv string
}

// Mount is a host path that appears in a container.
type Mount struct {
	Source   string // absolute path on the host
	Target   string // absolute path in the container
	ReadOnly bool
	// Overlay, instead of Source, is a file system that is made for this
	// container, by a runtime that can.
	Overlay *Overlay
}

// Overlay is a stack of directories, seen as one.
type Overlay struct {
	Lower   []string // read-only, topmost first; two at least if there is no Upper
	Upper   string   // takes what is written; "" = nothing can be
	Work    string   // an empty directory beside Upper, for the kernel
	SubPath string   // the directory of it that is mounted, made if missing; "" = its root
}

// Overlayer is a Runtime that mounts overlays.
type Overlayer interface {
	// Overlays says that Spec.Mounts may have overlays.
	Overlays()
}

// Remounter is a Container whose overlays can be exchanged while it runs.
type Remounter interface {
	// Remount puts another overlay in the place of the one at target. No process
	// of the container runs, and nothing of the old one is in use, while next
	// is called and until the new one is in place. A *BusyError says that the
	// old one is in use. On error the old one is there as before.
	Remount(ctx context.Context, target string, next func() (Mount, error)) error
}

// BusyError says that a mount is in use.
type BusyError struct {
	Names []string // what is open, by its path in the container
}

// Error implements error.
func (e *BusyError) Error() string {
	return "in use: " + strings.Join(e.Names, ", ")
}

// Network is how a container reaches others.
type Network string

// The kinds of network.
const (
	NetworkOutbound Network = ""     // own namespace, outbound by NAT
	NetworkNone     Network = "none" // own namespace with loopback only
	NetworkHost     Network = "host" // the host's
)

// Exit is how a container ended.
type Exit struct {
	Code      int // exit status, or 128+signal
	Signal    syscall.Signal
	OOMKilled bool // the kernel killed a process of it for memory
	// Reason says, in a user's words, why the runtime itself killed the
	// container ("it wrote more than its disk limit of 1 GiB"); "" if it did not.
	Reason string
	// Orphaned says that it ended with what it depended on, for no doing of its
	// own; Reason says with what.
	Orphaned bool
	Peak     int64 // bytes of memory at the highest, 0 where unknown
	Started  time.Time
	Finished time.Time
}

// Ended notes how a process ended, in Code and Signal.
func (e *Exit) Ended(status syscall.WaitStatus) {
	e.Code = status.ExitStatus()
	if status.Signaled() {
		e.Killed(status.Signal())
	}
}

// Killed notes that a signal ended it.
func (e *Exit) Killed(by syscall.Signal) { e.Code, e.Signal = 128+int(by), by }

// Stats is what a container uses.
type Stats struct {
	CPU    time.Duration // total since start
	Memory int64         // bytes now
	Peak   int64         // bytes at the highest
	Pids   int64
}
