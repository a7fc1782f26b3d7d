package debian

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gofrs/flock"
)

// lock is what a base was resolved to. It is a file, so that the same base can
// be made again.
type lock struct {
	Format       string       `json:"format"`
	Origin       string       `json:"origin"` // digest of the configuration that it was resolved by
	Distribution string       `json:"distribution"`
	Suite        string       `json:"suite"`
	Arch         string       `json:"arch"`
	Python       string       `json:"python"`         // "3.11"
	Version      string       `json:"python_version"` // "3.11.2"
	Sources      []lockSource `json:"sources"`        // for the image's own apt
	Packages     []Package    `json:"packages"`       // by name
	Resolved     time.Time    `json:"resolved"`
	Notes        []string     `json:"notes,omitempty"`
}

// lockSource is a source as the image's apt is to use it.
type lockSource struct {
	URI        string   `json:"uri"` // without credentials
	Suite      string   `json:"suite"`
	Components []string `json:"components"`
	Key        string   `json:"key,omitempty"` // armoured; "" = the distribution's own
	Trusted    bool     `json:"trusted,omitempty"`
	ValidUntil bool     `json:"valid_until"`
}

// origin is a digest of all that decides how a suite is resolved.
func (b *bootstrap) origin(s suite) string {
	h := sha256.New()
	fmt.Fprintln(h, layoutFormat, s.Distribution, s.Name, b.opts.Arch, strings.Join(roots(), " "))
	for _, a := range b.archives {
		if a.Distribution != s.Distribution {
			continue
		}
		for _, src := range a.of(s) {
			fmt.Fprintln(h, src.URI, src.Suite, src.Components, src.SignedBy, src.Key, src.Trusted)
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

func (b *bootstrap) lockPath(s suite) string {
	return filepath.Join(b.opts.Dir, "locks", s.Distribution+"-"+s.Name+"-"+b.opts.Arch+".json")
}

// readLock returns the lock of a suite, or nil if there is none that counts. A
// lock that can't be read is as good as none.
func (b *bootstrap) readLock(s suite) *lock {
	var l lock
	if err := readJSON(b.lockPath(s), &l); err != nil {
		return nil
	}
	if l.Format != layoutFormat || l.Origin != b.origin(s) || len(l.Packages) == 0 || l.Distribution != s.Distribution || l.Suite != s.Name || l.Arch != b.opts.Arch {
		return nil
	}
	for _, p := range l.Packages {
		if !safeName(p.Name) || !isSHA256(p.SHA256) || p.Size <= 0 || p.Size > maxDeb {
			return nil
		}
	}
	return &l
}

func (b *bootstrap) writeLock(s suite, l *lock) error {
	path := b.lockPath(s)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	data, err := json.MarshalIndent(l, "", "  ")
	if err != nil {
		return err
	}
	temp, err := os.CreateTemp(filepath.Dir(path), ".new-")
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name())
	_, err = temp.Write(append(data, '\n'))
	if err = errors.Join(err, temp.Sync(), temp.Close()); err != nil {
		return err
	}
	return os.Rename(temp.Name(), path)
}

// exclusively runs fn while no other process or goroutine works in dir.
func exclusively(ctx context.Context, dir string, fn func() error) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	guard := flock.New(filepath.Join(dir, ".lock"))
	if _, err := guard.TryLockContext(ctx, 50*time.Millisecond); err != nil {
		return fmt.Errorf("waiting for another bootstrap in %s: %w", dir, err)
	}
	defer func() { _ = guard.Unlock() }() // closing its descriptor releases it
	return fn()
}
