package filehash

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const helloSum = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"

// write makes a file that was changed long enough ago to be remembered, as far
// as a test can: ctime can't be set, so tests that need it wait for settle.
func write(t *testing.T, path, content string) {
	t.Helper()
	require.NoError(t, os.WriteFile(path, []byte(content), 0o640))
}

func TestSums(t *testing.T) {
	dir := t.TempDir()
	paths := make([]string, 0, 100)
	for i := range 100 {
		path := filepath.Join(dir, strings.Repeat("x", i+1))
		write(t, path, "hello")
		paths = append(paths, path)
	}
	sums, err := Open(filepath.Join(dir, "cache")).Sums(context.Background(), paths)
	require.NoError(t, err)
	for _, sum := range sums {
		require.Equal(t, Sum{SHA256: helloSum, Size: 5, Mode: 0o640}, sum)
	}
}

func TestRefuses(t *testing.T) {
	dir := t.TempDir()
	c := Open(filepath.Join(dir, "cache"))
	_, err := c.Sums(context.Background(), []string{dir})
	require.ErrorContains(t, err, "not a regular file")
	_, err = c.Sums(context.Background(), []string{filepath.Join(dir, "none")})
	require.ErrorIs(t, err, os.ErrNotExist)

	pipe := filepath.Join(dir, "pipe")
	require.NoError(t, syscall.Mkfifo(pipe, 0o600))
	_, err = c.Sums(context.Background(), []string{pipe})
	require.ErrorContains(t, err, "not a regular file")
}

func TestRemembersOnlyWhatIsSettled(t *testing.T) {
	dir := t.TempDir()
	file, cache := filepath.Join(dir, "f"), filepath.Join(dir, "deep", "cache")
	write(t, file, "hello")
	was, err := os.Stat(file)
	require.NoError(t, err)
	require.NoError(t, os.Chtimes(file, time.Now(), time.Now().Add(time.Hour))) // however slow the test is

	c := Open(cache)
	_, err = c.Sums(context.Background(), []string{file})
	require.NoError(t, err)
	require.Empty(t, c.entries, "a file of this moment may change within its own time stamp")

	require.NoError(t, os.Chtimes(file, time.Now(), was.ModTime()))
	info, err := os.Stat(file)
	require.NoError(t, err)
	s := stampOf(info)
	wait := settle - time.Since(time.Unix(0, max(s.mtime, s.ctime)))
	time.Sleep(wait + 10*time.Millisecond)
	_, err = c.Sums(context.Background(), []string{file})
	require.NoError(t, err)
	require.Len(t, c.entries, 1)
	require.NoError(t, c.Save())

	c = Open(cache)
	require.Equal(t, helloSum, c.entries[file].sum)
	c.entries[file] = entry{stamp: c.entries[file].stamp, sum: strings.Repeat("0", 64)}
	sums, err := c.Sums(context.Background(), []string{file})
	require.NoError(t, err)
	require.Equal(t, strings.Repeat("0", 64), sums[0].SHA256, "an unchanged file is not read")

	// The same size and the same mtime again: the inode's change time tells.
	write(t, file, "olleh")
	require.NoError(t, os.Chtimes(file, time.Now(), info.ModTime()))
	sums, err = c.Sums(context.Background(), []string{file})
	require.NoError(t, err)
	require.NotEqual(t, strings.Repeat("0", 64), sums[0].SHA256)
	require.NotEqual(t, strings.Repeat("0", 64), c.entries[file].sum, "nor is it remembered")
}

func TestDamagedCacheIsEmpty(t *testing.T) {
	for name, content := range map[string]string{
		"empty":          "",
		"other version":  "gx file hashes 9\n",
		"binary":         "\x00\xff\xfe",
		"half a line":    header + "\n" + helloSum + " 5 1",
		"not a hash":     header + "\n" + strings.Repeat("z", 64) + " 5 1 1 1 \"/f\"\n",
		"not quoted":     header + "\n" + helloSum + " 5 1 1 1 /f\n",
		"number too big": header + "\n" + helloSum + " 99999999999999999999 1 1 1 \"/f\"\n",
	} {
		t.Run(name, func(t *testing.T) {
			require.Empty(t, read(strings.NewReader(content)))
		})
	}
}

func FuzzRead(f *testing.F) {
	f.Add(header + "\n" + helloSum + " 5 1 1 1 \"/a b\"\n")
	f.Add("")
	f.Fuzz(func(t *testing.T, content string) {
		for path, e := range read(strings.NewReader(content)) {
			require.Len(t, e.sum, 64, path)
		}
	})
}
