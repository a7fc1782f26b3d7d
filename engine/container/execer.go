package container

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
)

// Execer is a Container in which further processes can be started. Callers find
// out by a type assertion.
type Execer interface {
	// Exec starts a process beside those that run in the container, confined as
	// they are, and returns once it is being executed or has failed to. It ends
	// with the container at the latest. ctx bounds the start only. On error
	// nothing of it is left behind.
	Exec(ctx context.Context, spec ExecSpec) (Process, error)
}

// ExecSpec says what to run in a container.
type ExecSpec struct {
	Args     []string        // Args[0] is looked up in Env's PATH inside the container
	Env      []string        // the whole environment, KEY=VALUE
	ExtraEnv func() []string // resolved at the last moment and never logged (secrets); may be nil
	Dir      string          // working directory inside the container

	// Terminal gives the process a new terminal of this size, which it controls
	// and which is its descriptors 0, 1 and 2. Without one these are the files
	// below, which Exec does not close.
	Terminal              *TerminalSize
	Stdin, Stdout, Stderr *os.File
}

// Process is a process that was started in a container. All methods may be
// called at any time, from any goroutine, any number of times.
type Process interface {
	// Terminal is the other side of the process's terminal, nil if it has none.
	// It is the caller's to close; the process then gets SIGHUP.
	Terminal() *os.File

	// Signal sends a signal to the process. After its end it does nothing.
	Signal(sig syscall.Signal) error

	// Kill ends the process, and those of its session, at once. One that has
	// made itself a session of its own goes on until the container ends.
	Kill() error

	// Done is closed when the process has ended.
	Done() <-chan struct{}

	// Exit tells how it ended, by Code and Signal; it is only valid after Done.
	Exit() Exit
}

// ErrEnded is in the chain of errors about a container that has ended.
var ErrEnded = errors.New("the container has ended")

// Validate checks what every runtime demands of an ExecSpec.
func (s ExecSpec) Validate() error {
	switch {
	case len(s.Args) == 0 || s.Args[0] == "":
		return errors.New("there is no command to run")
	case s.Dir != "" && !filepath.IsAbs(s.Dir):
		return errors.New("the working directory is not absolute")
	case s.Terminal == nil && (s.Stdin == nil || s.Stdout == nil || s.Stderr == nil):
		return errors.New("the process has neither a terminal nor files to read and write")
	}
	return nil
}
