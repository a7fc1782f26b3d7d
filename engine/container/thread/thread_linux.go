package thread

import (
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// Go runs f on a thread that ends with f, and returns once f has begun.
func Go(f func()) {
	begun := make(chan struct{})
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() != os.Getpid() {
			close(begun)
			f()
			return // without unlocking, which ends the thread
		}
		// The process's first thread does not end before the process: Go parks it
		// for ever, and with it the namespaces that it is in, which are also those
		// that /proc shows for the process. As long as it is held here, what begins
		// gets another.
		defer runtime.UnlockOSThread()
		Go(f)
		close(begun)
	}()
	<-begun
}

// Do runs f on a thread that ends with f, and returns what f returns.
func Do(f func() error) error {
	done := make(chan error, 1)
	Go(func() { done <- f() })
	return <-done
}
