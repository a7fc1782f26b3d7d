package logs

import (
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/gx-dev/gx/api"
)

// TestResumeThatFails has a log that cannot be shortened: no file stays open.
func TestResumeThatFails(t *testing.T) {
	s := open(t, Options{})
	l := create(t, s, "ap-1", "app")
	_, err := l.Append([]api.LogLine{line("whole")})
	require.NoError(t, err)
	l.End()
	path := segmentPath(l.dir, 1)
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	fd, err := unix.MemfdCreate("segment", unix.MFD_ALLOW_SEALING)
	require.NoError(t, err)
	defer unix.Close(fd)
	_, err = unix.Write(fd, append(data, "cut off"...))
	require.NoError(t, err)
	_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK)
	require.NoError(t, err)
	require.NoError(t, os.Remove(path))
	require.NoError(t, os.Symlink(fmt.Sprintf("/proc/self/fd/%d", fd), path))
	before, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	_, err = s.Resume(l.info)
	require.ErrorIs(t, err, unix.EPERM)
	after, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	require.Len(t, after, len(before))
	require.False(t, s.Live("ap-1"))
}
