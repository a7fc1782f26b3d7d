package transfer_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gx-dev/gx/remote/transfer"
)

// host has a volume of some entries, and breaks off after a number of pieces.
type host struct {
	mu       sync.Mutex
	entries  []transfer.Entry
	contents map[string][]byte // of files by path, of uploads by hash
	edits    []map[string]any
	pieces   int // that come through
	moved    int // bytes of contents
}

var errGone = errors.New("the host is gone")

func (h *host) Ask(_ context.Context, op string, params any, data []byte, result any) ([]byte, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	text, err := json.Marshal(params)
	if err != nil {
		return nil, err
	}
	var p struct {
		Path   string
		SHA256 json.RawMessage
		Offset int
		Length int
		Edits  []map[string]any
	}
	if err := json.Unmarshal(text, &p); err != nil {
		return nil, err
	}
	answer := func(v any) error {
		text, err := json.Marshal(v)
		if err == nil && result != nil {
			err = json.Unmarshal(text, result)
		}
		return err
	}
	piece := func() error {
		if h.pieces--; h.pieces < 0 {
			return errGone
		}
		return nil
	}
	switch op {
	case "volume.get":
		return nil, answer(map[string]any{"version": 3})
	case "volume.ls":
		return nil, answer(map[string]any{"entries": h.entries})
	case "volume.read":
		if err := piece(); err != nil {
			return nil, err
		}
		content := h.contents[p.Path]
		out := content[p.Offset:min(p.Offset+p.Length, len(content))]
		h.moved += len(out)
		return out, answer(map[string]any{"size": len(content)})
	case "volume.have":
		var sums, missing []string
		partial := map[string]int{}
		if err := json.Unmarshal(p.SHA256, &sums); err != nil {
			return nil, err
		}
		for _, sum := range sums {
			have := sha256.Sum256(h.contents[sum])
			if hex.EncodeToString(have[:]) != sum {
				missing = append(missing, sum)
				partial[sum] = len(h.contents[sum])
			}
		}
		return nil, answer(map[string]any{"missing": missing, "partial": partial})
	case "volume.upload":
		if err := piece(); err != nil {
			return nil, err
		}
		var sum string
		if err := json.Unmarshal(p.SHA256, &sum); err != nil {
			return nil, err
		}
		if p.Offset == len(h.contents[sum]) {
			h.contents[sum] = append(h.contents[sum], data...)
		}
		h.moved += len(data)
		return nil, answer(map[string]any{"received": len(h.contents[sum])})
	case "volume.edit":
		h.edits = append(h.edits, p.Edits...)
		return nil, nil
	}
	return nil, errors.New(op)
}

func content(t *testing.T, size int) []byte {
	data := make([]byte, size)
	_, err := rand.Read(data)
	require.NoError(t, err)
	return data
}

func TestGetGoesOn(t *testing.T) {
	data := append(content(t, 20<<20), make([]byte, 16<<20)...)
	h := &host{contents: map[string][]byte{"dir/large": data}, pieces: 2, entries: []transfer.Entry{
		{Path: "dir/large", Type: "file", Size: int64(len(data)), MTime: 1e9, Mode: 0o640},
	}}
	to := filepath.Join(t.TempDir(), "got")
	_, err := transfer.Get(t.Context(), h, "vo-1", "/dir", to, transfer.Options{})
	require.ErrorIs(t, err, errGone)
	require.NoFileExists(t, filepath.Join(to, "large"), "it is not whole")
	h.pieces, h.moved = 100, 0
	done, err := transfer.Get(t.Context(), h, "vo-1", "/dir", to, transfer.Options{})
	require.NoError(t, err)
	require.EqualValues(t, len(data)-16<<20, h.moved)
	require.Equal(t, transfer.Summary{Files: 1, Bytes: int64(len(data)), Moved: int64(h.moved)}, done)
	got, err := os.ReadFile(filepath.Join(to, "large"))
	require.NoError(t, err)
	require.True(t, bytes.Equal(data, got))
	entries, err := os.ReadDir(to)
	require.NoError(t, err)
	require.Len(t, entries, 1)
}

// TestGetStaysInside has a host that lists what leads out of the destination.
func TestGetStaysInside(t *testing.T) {
	dir := t.TempDir()
	to := filepath.Join(dir, "got")
	outside := filepath.Join(dir, "outside")
	require.NoError(t, os.Mkdir(outside, 0o700))
	for name, entries := range map[string][]transfer.Entry{
		"upwards":        {{Path: "dir/../../outside/x", Type: "file"}, {Path: "dir/y", Type: "file"}},
		"absolute":       {{Path: "/etc/x", Type: "file"}, {Path: "dir/y", Type: "file"}},
		"through a link": {{Path: "dir/link", Type: "symlink", Target: outside}, {Path: "dir/link/x", Type: "file"}},
	} {
		t.Run(name, func(t *testing.T) {
			h := &host{contents: map[string][]byte{}, entries: entries, pieces: 100}
			_, err := transfer.Get(t.Context(), h, "vo-1", "/dir", to, transfer.Options{Force: true})
			left, listed := os.ReadDir(outside)
			require.NoError(t, listed)
			require.Empty(t, left)
			if name == "absolute" {
				require.FileExists(t, filepath.Join(to, "etc", "x"))
			} else {
				require.Error(t, err)
			}
			require.NoError(t, os.RemoveAll(to))
		})
	}
	// A link that an earlier get, or the user, has left there.
	require.NoError(t, os.Mkdir(to, 0o700))
	require.NoError(t, os.Symlink(outside, filepath.Join(to, "link")))
	h := &host{contents: map[string][]byte{}, pieces: 100, entries: []transfer.Entry{{Path: "dir/link/x", Type: "file"}, {Path: "dir/y", Type: "file"}}}
	_, err := transfer.Get(t.Context(), h, "vo-1", "/dir", to, transfer.Options{})
	require.Error(t, err)
	left, err := os.ReadDir(outside)
	require.NoError(t, err)
	require.Empty(t, left)
}

// TestGetPermissionsAlone has a host that lists a file and a directory with
// more than permissions.
func TestGetPermissionsAlone(t *testing.T) {
	to := filepath.Join(t.TempDir(), "got")
	more := uint32(fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky)
	h := &host{contents: map[string][]byte{"dir/in/x": []byte("x")}, pieces: 100, entries: []transfer.Entry{
		{Path: "dir/in", Type: "directory", Mode: more | 0o755}, {Path: "dir/in/x", Type: "file", Size: 1, Mode: more | 0o755},
	}}
	_, err := transfer.Get(t.Context(), h, "vo-1", "/dir", to, transfer.Options{})
	require.NoError(t, err)
	for name, want := range map[string]fs.FileMode{"in": fs.ModeDir | 0o755, "in/x": 0o755} {
		info, err := os.Stat(filepath.Join(to, name))
		require.NoError(t, err)
		require.Equal(t, want, info.Mode(), name)
	}
}

func TestPutGoesOn(t *testing.T) {
	data := content(t, 20<<20)
	file := filepath.Join(t.TempDir(), "large")
	require.NoError(t, os.WriteFile(file, data, 0o600))
	h := &host{contents: map[string][]byte{}, pieces: 1}
	_, err := transfer.Put(t.Context(), h, "vo-1", file, "/large", transfer.Hash, transfer.Options{})
	require.ErrorIs(t, err, errGone)
	require.Empty(t, h.edits)
	h.pieces, h.moved = 100, 0
	done, err := transfer.Put(t.Context(), h, "vo-1", file, "/large", transfer.Hash, transfer.Options{})
	require.NoError(t, err)
	require.EqualValues(t, 12<<20, h.moved)
	require.EqualValues(t, 12<<20, done.Moved)
	require.Len(t, h.edits, 1)
	require.Equal(t, "/large", h.edits[0]["path"])
}
