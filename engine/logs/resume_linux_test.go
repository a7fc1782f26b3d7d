package logs

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
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
	// The files that are open of it: others come and go.
	files := func() (open []string) {
		fds, err := os.ReadDir("/proc/self/fd")
		require.NoError(t, err)
		for _, fd := range fds {
			to, _ := os.Readlink(filepath.Join("/proc/self/fd", fd.Name()))
			if strings.HasPrefix(to, l.dir) || strings.Contains(to, "memfd:segment") {
				open = append(open, to)
			}
		}
		return open
	}
	before := files()
	require.NotEmpty(t, before)
	_, err = s.Resume(l.info)
	require.ErrorIs(t, err, unix.EPERM)
	require.Equal(t, before, files())
	require.False(t, s.Live("ap-1"))
}
