package container

import (
	"context"
	"errors"
	"fmt"
)

// Forker is what a Runtime implements that can make further containers out of
// a running one. Callers find out by a type assertion.
type Forker interface {
	// Template starts a container whose program loads what later containers
	// share, and returns once it says that it can be forked. Spec is that of a
	// container that does the same work; its limits are the template's own.
	//
	// The program finds the descriptor of its connection with the runtime in
	// the environment variable ForkVariable, and speaks the runtime's fork
	// protocol there (gx._runner.fork does it for Python).
	//
	// An error of type *RefusedError means that the program runs well but must
	// not be forked; one for which errors.Is(err, ErrNoTemplates) holds, that
	// no program can be forked on this machine. In either case trying again is
	// of no use, and Start works as ever. On any error nothing is left behind.
	Template(ctx context.Context, spec Spec) (Template, error)
}

// Template is a container that others are forked from. It is paused in the
// sense that its program does nothing but wait. All methods may be called at
// any time, from any goroutine, any number of times.
type Template interface {
	ID() string

	// Fork makes a container that goes on where the template's program has
	// stopped, in namespaces, control groups and a file system of its own, as
	// spec says and as isolated as one that was started. Spec.Args are given to
	// the program, which decides what they mean; Root and Mounts are normally
	// those of the template, because what it has loaded came from there. It
	// returns when the program goes on. On error nothing is left behind, and
	// Start remains possible.
	//
	// The container is a child of the template: it ends when the template does.
	Fork(ctx context.Context, spec Spec) (Container, error)

	// Close ends the template as soon as the last container forked from it has
	// ended; Fork fails from now on. It does not wait.
	Close() error

	// Kill ends the template and every container forked from it at once.
	Kill() error

	// Done is closed when the template has ended and nothing of it, or of what
	// was forked from it, is left.
	Done() <-chan struct{}

	// Exit tells how the template ended; it is only valid after Done.
	Exit() Exit

	// Stats reads the usage of the template alone.
	Stats() (Stats, error)
}

// ForkVariable is the environment variable that tells a template's program the
// number of the descriptor of its connection with the runtime.
const ForkVariable = "GX_FORK_FD"

// ErrNoTemplates means that this machine does not allow what templates need.
var ErrNoTemplates = errors.New("containers can't be forked on this machine")

// RefusedError is why a program can't be forked, by its own judgement.
type RefusedError struct {
	Reason string // in a user's words: what was found, which module did it
}

// Error implements error.
func (e *RefusedError) Error() string {
	return fmt.Sprintf("the program can't be forked: %s", e.Reason)
}
