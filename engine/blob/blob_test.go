package blob

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gx-dev/gx/engine/clock"
)

func sum(content string) string {
	h := sha256.Sum256([]byte(content))
	return hex.EncodeToString(h[:])
}

func open(t *testing.T) (*Store, *clock.Fake) {
	t.Helper()
	c := clock.NewFake(time.Unix(1e9, 0))
	s, err := Open(filepath.Join(t.TempDir(), "blobs"), c)
	if err != nil {
		t.Fatal(err)
	}
	return s, c
}

func put(t *testing.T, s *Store, content string) string {
	t.Helper()
	if err := s.Put(t.Context(), sum(content), strings.NewReader(content)); err != nil {
		t.Fatal(err)
	}
	return sum(content)
}

func TestPutAndOpen(t *testing.T) {
	s, _ := open(t)
	a, b := sum("a"), sum("b")
	missing, err := s.Missing(t.Context(), []string{a, b})
	if err != nil || !slices.Equal(missing, []string{a, b}) {
		t.Fatalf("%v, %v", missing, err)
	}
	put(t, s, "a")
	put(t, s, "a") // twice is harmless
	if missing, _ := s.Missing(t.Context(), []string{a, b}); !slices.Equal(missing, []string{b}) {
		t.Errorf("missing %v", missing)
	}
	f, err := s.Open(a)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	if data, _ := io.ReadAll(f); string(data) != "a" {
		t.Errorf("read %q", data)
	}
	if _, err := s.Open(b); !errors.Is(err, ErrNotFound) {
		t.Errorf("%v", err)
	}
}

func TestPutRefuses(t *testing.T) {
	s, _ := open(t)
	if err := s.Put(t.Context(), sum("a"), strings.NewReader("b")); !errors.Is(err, ErrMismatch) {
		t.Errorf("a wrong hash: %v", err)
	}
	for _, name := range []string{"", "../../etc/passwd", strings.Repeat("A", 64), strings.Repeat("a", 63), strings.Repeat("/", 64)} {
		if err := s.Put(t.Context(), name, strings.NewReader("a")); !errors.Is(err, ErrName) {
			t.Errorf("%q: %v", name, err)
		}
		if _, err := s.Missing(t.Context(), []string{name}); !errors.Is(err, ErrName) {
			t.Errorf("%q: %v", name, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Put(ctx, sum("a"), strings.NewReader("a")); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	left, err := os.ReadDir(s.incoming())
	if err != nil || len(left) != 0 {
		t.Errorf("%v is left, %v", left, err)
	}
}

func TestLinksShareAnInodeByMode(t *testing.T) {
	s, _ := open(t)
	a := put(t, s, "#!/bin/sh\n")
	dir := t.TempDir()
	for name, executable := range map[string]bool{"plain": false, "tool": true, "tool2": true} {
		if err := s.Link(a, executable, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Copy(a, true, filepath.Join(dir, "copy")); err != nil {
		t.Fatal(err)
	}
	stat := func(name string) os.FileInfo {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return info
	}
	if stat("plain").Mode() != 0o644 || stat("tool").Mode() != 0o755 || stat("copy").Mode() != 0o755 {
		t.Errorf("modes %v, %v, %v", stat("plain").Mode(), stat("tool").Mode(), stat("copy").Mode())
	}
	if !os.SameFile(stat("tool"), stat("tool2")) || os.SameFile(stat("tool"), stat("plain")) || os.SameFile(stat("tool"), stat("copy")) {
		t.Error("the wrong names share an inode")
	}
}

func TestCollect(t *testing.T) {
	s, c := open(t)
	linked := put(t, s, "linked")
	if err := s.Link(linked, false, filepath.Join(t.TempDir(), "x")); err != nil {
		t.Fatal(err)
	}
	old := put(t, s, "old")
	c.Advance(time.Minute)
	older := put(t, s, "newer")
	c.Advance(2 * fresh)
	recent := put(t, s, "recent")
	freed, err := s.Collect(int64(len("linked") + len("newer") + len("recent")))
	if err != nil || freed != int64(len("old")) {
		t.Errorf("freed %d, %v", freed, err)
	}
	if _, err := s.Collect(0); err != nil {
		t.Fatal(err)
	}
	missing, _ := s.Missing(t.Context(), []string{linked, old, older, recent})
	if !slices.Equal(missing, []string{old, older}) {
		t.Errorf("%d are gone, want the two old ones", len(missing))
	}
	if n, err := s.Usage(); err != nil || n != int64(len("linked")+len("recent")) {
		t.Errorf("usage %d, %v", n, err)
	}
}

func TestUsage(t *testing.T) {
	s, c := open(t)
	usage := func(want int64) {
		t.Helper()
		if got, err := s.Usage(); err != nil || got != want {
			t.Errorf("%d bytes, %v; want %d", got, err, want)
		}
	}
	put(t, s, "hello")
	usage(5)
	put(t, s, "hello")
	usage(5) // the same once more
	put(t, s, "world!")
	usage(11)
	if err := s.Link(sum("hello"), true, filepath.Join(t.TempDir(), "x")); err != nil {
		t.Fatal(err)
	}
	usage(16) // executable files are files of their own
	c.Advance(2 * fresh)
	if _, err := s.Collect(0); err != nil {
		t.Fatal(err)
	}
	usage(5) // to which there is a link
	again, err := Open(s.dir, c)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := again.Usage(); err != nil || n != 5 {
		t.Errorf("%d bytes, %v", n, err)
	}
}

func TestContentsThatSomebodyRemoves(t *testing.T) {
	s, _ := open(t)
	a := put(t, s, "a")
	if missing, err := s.Missing(t.Context(), []string{a}); err != nil || len(missing) != 0 {
		t.Fatalf("%v, %v", missing, err)
	}
	if err := os.Remove(s.path(a, false)); err != nil {
		t.Fatal(err)
	}
	if err := s.Link(a, false, filepath.Join(t.TempDir(), "link")); !errors.Is(err, ErrNotFound) {
		t.Errorf("linked what is not there: %v", err)
	}
	if missing, err := s.Missing(t.Context(), []string{a}); err != nil || !slices.Equal(missing, []string{a}) {
		t.Errorf("a second attempt does not send it again: %v, %v", missing, err)
	}
	put(t, s, "a")
	if missing, err := s.Missing(t.Context(), []string{a}); err != nil || len(missing) != 0 {
		t.Errorf("%v, %v", missing, err)
	}
}
