package thread

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// TestNeverTheFirst runs on threads of all kinds but the first, which is what
// most goroutines get where there is one processor.
func TestNeverTheFirst(t *testing.T) {
	for _, processors := range []int{1, 2, 4} {
		t.Run(fmt.Sprint(processors), func(t *testing.T) {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(processors))
			for range 300 {
				var thread int
				require.NoError(t, Do(func() error { thread = unix.Gettid(); return nil }))
				require.NotEqual(t, os.Getpid(), thread)
				time.Sleep(100 * time.Microsecond) // what is idle changes
			}
		})
	}
}

// TestEnds gives a thread a name space of its own, which goes with it.
func TestEnds(t *testing.T) {
	broken := errors.New("broken")
	var own string
	require.ErrorIs(t, Do(func() error {
		if err := unix.Unshare(unix.CLONE_FS); err != nil { // needs no privileges
			return err
		}
		own = fmt.Sprintf("/proc/self/task/%d", unix.Gettid())
		return broken
	}), broken)
	require.Eventually(t, func() bool { _, err := os.Stat(own); return errors.Is(err, os.ErrNotExist) }, time.Minute, time.Millisecond)
}
