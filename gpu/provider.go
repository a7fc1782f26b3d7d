package gpu

import (
	"context"
	"errors"
	"time"

	cdi "tags.cncf.io/container-device-interface/specs-go"
)

// Provider has the cards of a host: real ones, or emulated ones. It grants what
// it has, and leaves to its user who is granted what: that needs no more than
// Stock. Implementations are safe for concurrent use, and are held to one
// conformance suite (package gputest).
type Provider interface {
	// Name is the implementation's name as settings spell it.
	Name() string

	// Emulated says that its cards are pretended.
	Emulated() bool

	// Stock is how many cards of each model there are, by Card.Name; nil = as
	// many as are asked for. It does not change, also not when a card fails.
	Stock() map[string]int

	// Grant gives cards to a container until the lease is released. The cards are
	// nobody else's meanwhile. ErrNone is in the error's chain if so many are not
	// free. A container is granted cards once.
	Grant(ctx context.Context, container string, c Choice) (Lease, error)

	// Devices lists the cards: all of those that are counted, and of a model of
	// which there are as many as are asked for, those that are granted.
	Devices(ctx context.Context) ([]Device, error)

	// Close lets go of what the provider holds. Leases are released before.
	Close() error
}

// ErrNone means that there are not so many free cards.
var ErrNone = errors.New("no such card is free")

// Lease is what a container was granted. Its methods may be called from any
// goroutine.
type Lease interface {
	// Edits is what has to be changed in a container so that it has the cards, in
	// the language of CDI. Env is the container's environment without them.
	// Variables of it that Edits repeats are meant to be replaced.
	Edits(env []string) (*cdi.ContainerEdits, error)

	// Observe tells the provider of the container, which runs. It is called at
	// most once, before Release.
	Observe(o Observer)

	// Devices are the granted cards, as they are now, in the container's order.
	Devices() ([]Device, error)

	// Fail has a card of the lease fail, as far as the provider can.
	Fail(f Fault) error

	// Release gives the cards back, when the container has ended or was never
	// started. It may be called again.
	Release() error
}

// Observer is what a provider is told of a container, and tells.
type Observer struct {
	// Load is the processor time that the container has used since its start; an
	// emulated card is in use as far as its container computes.
	Load func() (time.Duration, error)
	// Alive says whether the container has a process of this id, as it numbers
	// them; nil = nobody knows, and all are taken to be there.
	Alive func(pid int) bool
	// Health is told what happens to a card of the container. It must not block,
	// and is not called any more once Release has returned.
	Health func(Event)
}

// Device is one card.
type Device struct {
	UUID      string  // "GPU-..."
	Card      string  // Card.Name, or Device for a model that is not in the catalogue
	Device    string  // what it calls itself
	Memory    int64   // bytes
	Used      int64   // bytes
	Util      int     // percent
	Heat      int     // °C
	Power     float64 // W
	Container string  // who has it; "" = it is free
	Lost      bool    // it has failed, and is granted no more
}

// Event is what happened to a card.
type Event struct {
	UUID     string
	Xid      int    // number of the Xid error; 0 = it is none
	Critical bool   // the card is of no use any more to who has it
	Text     string // in a user's words
}

// Fault is what is to happen to a card.
type Fault struct {
	Card int // index in the lease
	Kind FaultKind
	Xid  int // for FaultXid
}

// FaultKind is a way to fail.
type FaultKind string

// The ways to fail.
const (
	FaultOOM  FaultKind = "oom"      // the next allocation fails
	FaultLost FaultKind = "gpu-lost" // the card falls off the bus
	FaultXid  FaultKind = "xid"      // the driver reports an Xid error
)

// ErrUnsupported means that a provider can't do it.
var ErrUnsupported = errors.New("this GPU provider can't do that")
