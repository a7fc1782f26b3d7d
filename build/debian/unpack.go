package debian

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"runtime"

	"golang.org/x/sync/errgroup"
)

// unpack writes the packages of a lock as one tar stream. They are decompressed
// side by side and written in a fixed order: base-files first, because it
// brings the folders with special permissions, then by name.
func (b *bootstrap) unpack(ctx context.Context, l *lock, w io.Writer) error {
	order := make([]Package, 0, len(l.Packages))
	for _, first := range []bool{true, false} {
		for _, p := range l.Packages {
			if (p.Name == "base-files") == first {
				order = append(order, p)
			}
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	// The queue bounds how many unpacked packages wait in memory.
	queue := make(chan chan *deb, min(runtime.GOMAXPROCS(0), 4)+1)
	group.Go(func() error {
		defer close(queue)
		for _, p := range order {
			done := make(chan *deb, 1)
			select {
			case queue <- done:
			case <-ctx.Done():
				return ctx.Err()
			}
			group.Go(func() error {
				d, err := b.openDeb(p)
				if err != nil {
					return fmt.Errorf("unpacking %s %s: %w", p.Name, p.Version, err)
				}
				done <- d
				return nil
			})
		}
		return nil
	})
	group.Go(func() error {
		root := newRootfs(w)
		for i := 0; i < len(order); i++ {
			var d *deb
			select {
			case done := <-queue:
				select {
				case d = <-done:
				case <-ctx.Done():
					return ctx.Err()
				}
			case <-ctx.Done():
				return ctx.Err()
			}
			if err := root.add(d); err != nil {
				return fmt.Errorf("unpacking %s %s: %w", order[i].Name, order[i].Version, err)
			}
			b.moved(order[i].Size)
		}
		return root.close(l.Arch)
	})
	return group.Wait()
}

// openDeb reads a downloaded package, after it has verified what is on disk.
func (b *bootstrap) openDeb(p Package) (*deb, error) {
	path := b.debPath(p)
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != p.SHA256 {
		_ = os.Remove(path) // the next attempt downloads it anew
		return nil, fmt.Errorf("its copy on disk was corrupt and has been removed; try again")
	}
	d, err := readDeb(data)
	if err != nil {
		return nil, err
	}
	if name, version := d.control.field("Package"), d.control.field("Version"); name != p.Name || version != p.Version {
		return nil, fmt.Errorf("it holds %.60q %.60q instead", name, version)
	}
	return d, nil
}
