// Package build turns image recipes into file systems that containers can run
// on. It holds the Engine interface and the events by which every engine
// reports; build/buildkit is the default engine. It knows nothing of an app's
// functions, and prints nothing.
package build

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/gx-dev/gx/app"
)

// Engine builds images. Implementations are safe for concurrent use; two
// builds of the same recipe at once do the work once.
type Engine interface {
	// Name is the engine's name as `gx host status` shows it.
	Name() string

	// Build makes the image, or finds it, and returns a reference that pins it
	// against collection until it is released. Events arrive in order on one
	// goroutine; events may be nil. An unchanged recipe whose image is at hand
	// costs no solve.
	Build(ctx context.Context, req Request, events func(Event)) (Image, error)

	// Open returns a pin of an image that was made earlier, by this engine or by
	// one before it on the same store, as Image.Kept told of it: that very file
	// system, without a build. An error with ErrGone in its chain says that the
	// store does not have it any more.
	Open(ctx context.Context, kept Kept) (Image, error)

	// Usage tells what the engine's store occupies.
	Usage(ctx context.Context) (Usage, error)

	// Prune deletes what is not in use, least recently used first, until the
	// store is at most keep bytes; all = true also what is merely cached.
	// It works on a full disk.
	Prune(ctx context.Context, keep int64, all bool) (Usage, error)

	Close() error
}

// Request is one image to build.
type Request struct {
	Recipe app.Image
	Python string // "3.11": the client's Python, for a base that names none
	// Open returns a context file's content by its hash.
	Open func(sha256 string) (io.ReadCloser, error)
	// Attach gives a step that is about to run its volumes; nil = there are none.
	// It may be called for a build of the same step that goes on at the same time.
	Attach func(ctx context.Context, step app.Step) (Volumes, error)
}

// Volumes are those of one step that runs.
type Volumes interface {
	Mounts() []VolumeMount
	// Commit keeps what the step, which has ended well, has written into them.
	Commit(ctx context.Context) error
	// Close lets go of them, and of what was not committed.
	Close() error
}

// VolumeMount is an overlay of directories of this machine.
type VolumeMount struct {
	Target      string // absolute path in the step
	ReadOnly    bool
	Lower       []string // topmost first
	Upper, Work string   // "" = ReadOnly
	SubPath     string   // the directory of it that is mounted, made if missing; "" = its root
}

// Image is a finished image, pinned until Release.
type Image interface {
	ID() string // "im-" and 16 hex digits of the recipe's digest
	Root() Root
	Config() Config
	// Unhonoured lists recipe steps that this engine could not carry out, in a
	// user's words. It is empty for an engine that builds real images.
	Unhonoured() []string
	// Kept is what Engine.Open finds the image by. It may be written down.
	Kept() Kept
	// Retain returns another pin of the same image.
	Retain() Image
	Release()
}

// Kept tells one finished image from all others, those of the same recipe too.
type Kept struct {
	ID     string `json:"id"`
	Ref    string `json:"ref"` // of the file system in the engine's store
	Config Config `json:"config"`
}

// ErrGone is in the chain of errors about an image that is not in the store any
// more.
var ErrGone = errors.New("the image is not in the store any more")

// Root is an image's file system on this machine.
type Root struct {
	// Lower are read-only directories, topmost first, that make up the file
	// system when overlaid.
	Lower []string
	// Venv is a Python virtual environment, from an engine that builds no file
	// systems; Lower is empty then.
	Venv string
}

// Config is what a container needs to know of its image.
type Config struct {
	Env        []string `json:"env"`        // KEY=VALUE
	Workdir    string   `json:"workdir"`    // "" = /root
	Entrypoint []string `json:"entrypoint"` //
	Python     string   `json:"python"`     // the interpreter's path in the image: "/usr/bin/python3.11"
	Version    string   `json:"version"`    // its version: "3.11"
}

// Event is one thing that happened in a build. Kind says which fields count.
type Event struct {
	Kind  EventKind `json:"kind"`
	Image string    `json:"image"`           // the image's id
	Step  int       `json:"step"`            // index of the recipe's step, -1 = gx's own preparation or finish
	Name  string    `json:"name,omitempty"`  // EventStep: what a user reads: `pip_install numpy==1.26.4`
	Total int       `json:"total,omitempty"` // EventStep: number of steps that will be reported

	Cached bool          `json:"cached,omitempty"` // EventDone
	Took   time.Duration `json:"took,omitempty"`   // EventDone, EventFailed: nanoseconds
	Reason string        `json:"reason,omitempty"` // EventStart: why it was not cached
	Data   string        `json:"data,omitempty"`   // EventLog: whole lines
	Error  string        `json:"error,omitempty"`  // EventFailed: cause; the log came before it

	Current int64 `json:"current,omitempty"` // EventProgress: bytes
	Size    int64 `json:"size,omitempty"`    // EventProgress: bytes in all, 0 = unknown
}

// EventKind is what an Event tells.
type EventKind string

// The kinds of events, in the order in which a step sees them.
const (
	EventStep     EventKind = "step"     // a step is known; all come before any work begins
	EventStart    EventKind = "start"    // it is being carried out
	EventLog      EventKind = "log"      // it printed
	EventProgress EventKind = "progress" // bytes moved
	EventDone     EventKind = "done"     // it is finished, or was cached
	EventFailed   EventKind = "failed"   // it failed; the build ends
)

// StepError is the error of a build whose step failed. Its message is the
// cause; the user's file and line are in Step.
type StepError struct {
	Index int
	Name  string // as Event.Name; "" = the step's Op
	Step  app.Step
	Code  int    // the command's exit status; 0 if it was not a command's
	Log   string // the end of what the step printed
	Err   error
}

func (e *StepError) Error() string { return e.Err.Error() }
func (e *StepError) Unwrap() error { return e.Err }

// Usage is what a store occupies.
type Usage struct {
	Bytes  int64        `json:"bytes"`
	InUse  int64        `json:"in_use"` // pinned, or the base of something pinned
	Freed  int64        `json:"freed"`  // by this Prune
	Images []ImageUsage `json:"images"`
}

// ImageUsage is one image of a store.
type ImageUsage struct {
	ID       string    `json:"id"`
	Bytes    int64     `json:"bytes"` // of the layers that no other image shares
	Created  time.Time `json:"created"`
	LastUsed time.Time `json:"last_used"`
	InUse    bool      `json:"in_use"`
	Steps    []string  `json:"steps"` // as Event.Name
}
