package layer

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// overlay mounts layers for a container, as the runtime does, and returns where
// and the writable layer.
func overlay(t *testing.T, lower []string) (target, upper string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("mounting an overlay takes root")
	}
	dir := t.TempDir()
	for _, name := range []string{"upper", "work", "target", "empty"} {
		require.NoError(t, os.Mkdir(filepath.Join(dir, name), 0o755))
	}
	target, upper = filepath.Join(dir, "target"), filepath.Join(dir, "upper")
	mountAt(t, target, append(lower[:len(lower):len(lower)], filepath.Join(dir, "empty")),
		",upperdir="+upper+",workdir="+filepath.Join(dir, "work")+",redirect_dir=on,index=off,metacopy=off,xino=off")
	return target, upper
}

// show mounts layers for reading.
func show(t *testing.T, lower []string) string {
	t.Helper()
	target, a, b := t.TempDir(), t.TempDir(), t.TempDir()
	mountAt(t, target, append(lower[:len(lower):len(lower)], a, b), "")
	return target
}

func mountAt(t *testing.T, target string, lower []string, options string) {
	t.Helper()
	err := unix.Mount("overlay", target, "overlay", 0, "lowerdir="+strings.Join(lower, ":")+options)
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.EINVAL) && testing.Short() {
		t.Skipf("overlayfs cannot be mounted here: %v", err)
	}
	require.NoError(t, err)
	t.Cleanup(func() { _ = unix.Unmount(target, unix.MNT_DETACH) })
}

// content describes what a directory shows, by path.
func content(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	require.NoError(t, filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, p)
		info, err := os.Lstat(p)
		if err != nil {
			return err
		}
		switch {
		case d.IsDir():
			all[rel] = info.Mode().String()
		case d.Type()&fs.ModeSymlink != 0:
			to, _ := os.Readlink(p)
			all[rel] = "-> " + to
		case d.Type().IsRegular():
			text, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			all[rel] = fmt.Sprintf("%v %d %s", info.Mode(), info.ModTime().UnixNano(), text)
		default:
			all[rel] = info.Mode().String()
		}
		return nil
	}))
	return all
}

// treeContent is the same of a Tree.
func treeContent(t *testing.T, tree *Tree) map[string]string {
	t.Helper()
	all := map[string]string{}
	require.NoError(t, tree.Walk("", func(e Entry) error {
		p := e.Path
		if p == "" {
			p = "."
		}
		mode := e.Mode()
		switch {
		case e.IsDir():
			all[p] = mode.String()
		case mode&fs.ModeSymlink != 0:
			to, err := tree.Readlink(e)
			all[p] = "-> " + to
			return err
		case mode.IsRegular():
			f, err := tree.Open(e)
			if err != nil {
				return err
			}
			defer f.Close()
			text, err := os.ReadFile(f.Name())
			if err != nil {
				buf := make([]byte, e.Size())
				_, err = f.ReadAt(buf, 0)
				if e.Size() == 0 {
					err = nil
				}
				text = buf
			}
			all[p] = fmt.Sprintf("%v %d %s", mode, e.ModTime().UnixNano(), text)
			return err
		default:
			all[p] = mode.String()
		}
		return nil
	}))
	return all
}

// stack is a volume's layers in a test.
type stack struct {
	t      *testing.T
	dir    string
	n      int
	layers []string
}

func (s *stack) open(layers []string) *Tree {
	tree, err := Open(layers)
	require.NoError(s.t, err)
	s.t.Cleanup(tree.Close)
	return tree
}

// session is a container with the volume.
type session struct {
	s             *stack
	target, upper string
	base, seen    []string
	known         Stamps
}

func (s *stack) start() *session {
	target, upper := overlay(s.t, s.layers)
	return &session{s: s, target: target, upper: upper, base: s.layers, seen: s.layers, known: Stamps{}}
}

func (c *session) commit(live bool) Total {
	t := c.s.t
	c.s.n++
	d, err := NewDraft(filepath.Join(c.s.dir, fmt.Sprintf("layer-%d", c.s.n)))
	require.NoError(t, err)
	seen := c.s.open(c.seen)
	c.known, err = Diff(d, Upper{Dir: c.upper, Base: c.s.open(c.base), Live: live}, seen, c.known)
	require.NoError(t, err)
	require.NoError(t, d.Sync())
	if d.Empty() {
		require.NoError(t, d.Discard())
		return Total{}
	}
	head := c.s.open(c.s.layers)
	change, err := d.Settle(head, seen)
	require.NoError(t, err)
	require.NoError(t, d.Seal())
	c.s.layers = append([]string{d.Dir()}, c.s.layers...)
	c.seen = append([]string{d.Dir()}, c.seen...)
	return change
}

func names(rng *rand.Rand) string {
	depth := 1 + rng.IntN(3)
	parts := make([]string, depth)
	for i := range parts {
		parts[i] = string(rune('a' + rng.IntN(4)))
	}
	return strings.Join(parts, "/")
}

// mutate does something at random in a directory; most of it fails, as it would
// for a program.
func mutate(rng *rand.Rand, dir string) {
	p, q := filepath.Join(dir, names(rng)), filepath.Join(dir, names(rng))
	switch rng.IntN(13) {
	case 0, 1:
		_ = os.WriteFile(p, fmt.Appendf(nil, "%d", rng.Int()), 0o644)
	case 2:
		_ = os.MkdirAll(p, 0o755)
	case 3:
		_ = os.MkdirAll(p, 0o755)
		_ = os.WriteFile(filepath.Join(p, "f"), fmt.Appendf(nil, "%d", rng.Int()), 0o600)
	case 4:
		_ = os.Remove(p)
	case 5:
		_ = os.RemoveAll(p)
	case 6, 7, 8:
		_ = os.Rename(p, q)
	case 9:
		_ = os.Symlink(filepath.Base(q), p)
	case 10:
		_ = os.Chmod(p, 0o700|os.FileMode(rng.IntN(64)))
	case 11:
		_ = os.Link(p, q)
	case 12:
		_ = os.RemoveAll(p)
		_ = os.Mkdir(p, 0o755)
	}
}

// TestDiffOfAnything is the package's contract: after any changes in a
// container, a commit makes the volume what the container shows.
func TestDiffOfAnything(t *testing.T) {
	seeds := 60
	if testing.Short() {
		seeds = 10
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(uint64(seed), 1))
			s := &stack{t: t, dir: t.TempDir()}
			var total Total
			for range 3 {
				c := s.start()
				for commit := range 4 {
					for range 1 + rng.IntN(25) {
						mutate(rng, c.target)
					}
					change := c.commit(commit < 2) // what follows is of a container that has been stopped
					total.Files += change.Files
					total.Bytes += change.Bytes
					want := content(t, c.target)
					require.Equal(t, want, content(t, show(t, s.layers)), "commit %d", commit)
					tree := s.open(s.layers)
					require.Equal(t, want, treeContent(t, tree))
					sum, err := tree.Total("")
					require.NoError(t, err)
					require.Equal(t, sum, total)
					if commit >= 2 {
						break
					}
				}
				require.NoError(t, unix.Unmount(c.target, unix.MNT_DETACH))
			}
			s.n++
			d, err := NewDraft(filepath.Join(s.dir, "merged"))
			require.NoError(t, err)
			tree := s.open(s.layers)
			require.NoError(t, d.Merge(tree))
			require.NoError(t, d.Seal())
			require.Equal(t, treeContent(t, tree), content(t, d.Dir()))
		})
	}
}
