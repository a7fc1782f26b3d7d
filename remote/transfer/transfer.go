// Package transfer moves files between this machine and a volume of a host. A
// transfer that broke off goes on where it was when it is begun again: contents
// go up under their hash, of which the host keeps what came, and come down into
// a partial file beside their destination. It knows the operations of volumes
// by name and nothing of how they are kept.
package transfer

import (
	"context"
	"sync/atomic"
)

const (
	piece  = 8 << 20 // bytes in one message
	atOnce = 4       // files under way
	page   = 1000    // entries of a listing
	hashes = 10_000  // in one question
	edits  = 50_000  // changes in one version
)

// Host answers questions about volumes; *client.Client is one.
type Host interface {
	Ask(ctx context.Context, op string, params any, data []byte, result any) ([]byte, error)
}

// Options is how a transfer goes.
type Options struct {
	Force bool // replace files that are there
	// Progress is told bytes moved and bytes in all, from several goroutines;
	// nil = nobody asks.
	Progress func(done, total int64)
	// Warn is told what is left out, and why; nil = nobody asks.
	Warn func(string)
}

func (o Options) warn(text string) {
	if o.Warn != nil {
		o.Warn(text)
	}
}

// Summary is what a transfer did.
type Summary struct {
	Files int
	Bytes int64 // of all files
	Moved int64 // of those, what had to be moved
}

// Entry is a file of a volume, as the host lists it.
type Entry struct {
	Path   string  `json:"path"` // within the volume, without a slash before it
	Type   string  `json:"type"` // "file", "directory", "symlink", "fifo", "socket"
	Size   int64   `json:"size"` // bytes
	MTime  float64 `json:"mtime"`
	Mode   uint32  `json:"mode"` // permission bits
	Target string  `json:"target,omitempty"`
}

// meter counts bytes for Options.Progress.
type meter struct {
	done  atomic.Int64
	total int64
	tell  func(done, total int64)
}

func (m *meter) add(n int64) {
	done := m.done.Add(n)
	if m.tell != nil {
		m.tell(min(done, m.total), m.total)
	}
}

// List lists what is at a path of a volume: a directory's entries, with
// recursive those below too, or a file itself. version 0 = the newest.
func List(ctx context.Context, host Host, volume, path string, version int, recursive bool) ([]Entry, error) {
	var all []Entry
	params := map[string]any{"id": volume, "path": path, "recursive": recursive, "limit": page}
	if version > 0 {
		params["version"] = version
	}
	for {
		var got struct {
			Entries []Entry `json:"entries"`
			Next    string  `json:"next"`
		}
		if _, err := host.Ask(ctx, "volume.ls", params, nil, &got); err != nil {
			return nil, err
		}
		all = append(all, got.Entries...)
		if got.Next == "" {
			return all, nil
		}
		params["after"] = got.Next
	}
}
