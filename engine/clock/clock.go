// Package clock is the time that a host lives by: the machine's, or one that a
// test turns by hand. Everything in a host that waits, times out or expires
// takes its time from a Clock.
package clock

import "time"

// Clock tells the time and calls back later.
type Clock interface {
	Now() time.Time
	// AfterFunc calls f once d has passed, on a goroutine of its own (Real) or
	// on the one that turns the clock (Fake). f must be quick.
	AfterFunc(d time.Duration, f func()) Timer
}

// Timer is a call that was put off.
type Timer interface {
	// Stop prevents the call and reports whether it did: false says that it was
	// made, or is being made.
	Stop() bool
	// Reset puts the call off until d from now, whether or not it was made.
	Reset(d time.Duration) bool
}

// Real is the machine's clock.
type Real struct{}

// Now is time.Now.
func (Real) Now() time.Time { return time.Now() }

// AfterFunc is time.AfterFunc.
func (Real) AfterFunc(d time.Duration, f func()) Timer { return time.AfterFunc(d, f) }
