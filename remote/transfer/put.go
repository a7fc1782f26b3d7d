package transfer

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"golang.org/x/sync/errgroup"
)

// Hasher finds the hashes of files' contents, in their order.
type Hasher func(ctx context.Context, paths []string) (sha256 []string, err error)

// edit is one change of a volume.
type edit struct {
	Op     string   `json:"op"`
	Path   string   `json:"path"`
	SHA256 string   `json:"sha256,omitempty"`
	Mode   uint32   `json:"mode"`
	MTime  *float64 `json:"mtime,omitempty"` // seconds since 1970
	Target string   `json:"target,omitempty"`
}

// local is a file to be put.
type local struct {
	path string
	size int64
	edit int // its index
}

// Put puts a file or a directory into a volume, as one version of it: remote is
// its path there. Symbolic links within a directory stay links.
func Put(ctx context.Context, host Host, volume, from, remote string, hash Hasher, o Options) (Summary, error) {
	var done Summary
	changes, files, err := gather(from, remote, o)
	if err != nil {
		return done, err
	}
	paths := make([]string, len(files))
	for i, f := range files {
		paths[i] = f.path
		done.Bytes += f.size
	}
	done.Files = len(files)
	sums, err := hash(ctx, paths)
	if err != nil {
		return done, err
	}
	contents := map[string]local{}
	for i, f := range files {
		changes[f.edit].SHA256 = sums[i]
		contents[sums[i]] = f
	}
	if done.Moved, err = send(ctx, host, contents, o); err != nil {
		return done, err
	}
	for len(changes) > 0 {
		n := min(len(changes), edits)
		if _, err := host.Ask(ctx, "volume.edit", map[string]any{"id": volume, "edits": changes[:n], "force": o.Force}, nil, nil); err != nil {
			return done, err
		}
		changes = changes[n:]
	}
	return done, nil
}

// gather finds what is to be put.
func gather(from, remote string, o Options) (changes []edit, files []local, err error) {
	info, err := os.Stat(from)
	if err != nil {
		return nil, nil, err
	}
	add := func(p, to string, info fs.FileInfo) {
		mtime := float64(info.ModTime().UnixMicro()) / 1e6
		files = append(files, local{path: p, size: info.Size(), edit: len(changes)})
		changes = append(changes, edit{Op: "put", Path: to, Mode: uint32(info.Mode().Perm()), MTime: &mtime})
	}
	if info.Mode().IsRegular() {
		add(from, remote, info)
		return changes, files, nil
	}
	if !info.IsDir() {
		return nil, nil, fmt.Errorf("%s is neither a file nor a directory", from)
	}
	err = filepath.WalkDir(from, func(p string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		within, err := filepath.Rel(from, p)
		if err != nil {
			return err
		}
		to := path.Join("/", remote, filepath.ToSlash(within))
		info, err := entry.Info()
		if err != nil {
			return err
		}
		switch {
		case entry.IsDir():
			if to != "/" {
				changes = append(changes, edit{Op: "mkdir", Path: to, Mode: uint32(info.Mode().Perm())})
			}
		case entry.Type()&fs.ModeSymlink != 0:
			target, err := os.Readlink(p)
			if err != nil {
				return err
			}
			changes = append(changes, edit{Op: "symlink", Path: to, Target: target})
		case entry.Type().IsRegular():
			add(p, to, info)
		default:
			o.warn(fmt.Sprintf("%s is left out: it is a %s", p, kind(entry.Type())))
		}
		return nil
	})
	return changes, files, err
}

func kind(mode fs.FileMode) string {
	switch {
	case mode&fs.ModeNamedPipe != 0:
		return "pipe"
	case mode&fs.ModeSocket != 0:
		return "socket"
	}
	return "device"
}

// send uploads the contents that the host lacks, and returns how many bytes.
func send(ctx context.Context, host Host, contents map[string]local, o Options) (int64, error) {
	sums := make([]string, 0, len(contents))
	for sum := range contents {
		sums = append(sums, sum)
	}
	var missing []string
	partial := map[string]int64{}
	for len(sums) > 0 {
		n := min(len(sums), hashes)
		var got struct {
			Missing []string         `json:"missing"`
			Partial map[string]int64 `json:"partial"`
		}
		if _, err := host.Ask(ctx, "volume.have", map[string]any{"sha256": sums[:n]}, nil, &got); err != nil {
			return 0, err
		}
		for _, sum := range got.Missing {
			if _, asked := contents[sum]; !asked {
				return 0, fmt.Errorf("the host lacks %q, which it was not asked about", sum)
			}
			missing = append(missing, sum)
			partial[sum] = min(max(got.Partial[sum], 0), contents[sum].size)
		}
		sums = sums[n:]
	}
	m := &meter{tell: o.Progress}
	for _, sum := range missing {
		m.total += contents[sum].size - partial[sum]
	}
	m.add(0)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for _, sum := range missing {
		group.Go(func() error { return upload(ctx, host, sum, contents[sum], partial[sum], m) })
	}
	err := group.Wait()
	return m.done.Load(), err
}

// upload sends one content from an offset on.
func upload(ctx context.Context, host Host, sum string, f local, offset int64, m *meter) error {
	file, err := os.Open(f.path)
	if err != nil {
		return err
	}
	defer file.Close()
	data := make([]byte, min(piece, max(f.size-offset, 0)))
	for {
		n := int(min(int64(len(data)), f.size-offset))
		if _, err := file.ReadAt(data[:n], offset); err != nil {
			if errors.Is(err, io.EOF) {
				err = errors.New("it became shorter while it was uploaded")
			}
			return fmt.Errorf("reading %s: %w", f.path, err)
		}
		if _, err := host.Ask(ctx, "volume.upload", map[string]any{"sha256": sum, "size": f.size, "offset": offset}, data[:n], nil); err != nil {
			return fmt.Errorf("uploading %s: %w", f.path, err)
		}
		offset += int64(n)
		m.add(int64(n))
		if offset >= f.size {
			return nil
		}
	}
}

// Hash is a Hasher that remembers nothing.
func Hash(ctx context.Context, paths []string) ([]string, error) {
	sums := make([]string, len(paths))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for i, p := range paths {
		group.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			f, err := os.Open(p)
			if err != nil {
				return err
			}
			defer f.Close()
			h := sha256.New()
			if _, err := io.Copy(h, f); err != nil {
				return fmt.Errorf("reading %s: %w", p, err)
			}
			sums[i] = hex.EncodeToString(h.Sum(nil))
			return nil
		})
	}
	return sums, group.Wait()
}
