package transfer

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"golang.org/x/sync/errgroup"
)

// partial is how the name of a file ends that is not whole yet.
const partial = ".gx-part"

// Get gets a file or a directory of a volume, as it is in one version: to is
// what it becomes here. A directory is put into one that exists, file by file.
// Nothing is written outside of to, wherever links in it lead.
func Get(ctx context.Context, host Host, volume, remote, to string, o Options) (Summary, error) {
	var done Summary
	version, err := newest(ctx, host, volume)
	if err != nil {
		return done, err
	}
	entries, err := List(ctx, host, volume, remote, version, true)
	if err != nil {
		return done, err
	}
	base := strings.Trim(path.Clean("/"+remote), "/")
	single := len(entries) == 1 && entries[0].Path == base && entries[0].Type != "directory"
	root, inside := to, base
	if single {
		root, inside = filepath.Dir(to), path.Dir(base)
	} else if err := os.MkdirAll(to, 0o777); err != nil {
		return done, err
	}
	dir, err := os.OpenRoot(root)
	if err != nil {
		return done, err
	}
	defer dir.Close()
	g := getter{host: host, volume: volume, version: version, dir: dir, o: o, meter: meter{tell: o.Progress}}
	for _, e := range entries {
		if strings.ContainsRune(e.Path, utf8.RuneError) {
			o.warn(fmt.Sprintf("%q is left out: its name is not UTF-8", e.Path))
			continue
		}
		name := strings.TrimPrefix(strings.TrimPrefix(e.Path, strings.TrimPrefix(inside+"/", "./")), "/")
		if single {
			name = filepath.Base(to)
		}
		if !filepath.IsLocal(filepath.FromSlash(name)) {
			return done, fmt.Errorf("the volume has a file %q, which would be outside of %s", e.Path, to)
		}
		g.entries = append(g.entries, placed{e, filepath.FromSlash(name)})
		if e.Type == "file" {
			g.meter.total += e.Size
			done.Files++
			done.Bytes += e.Size
		}
	}
	err = g.all(ctx)
	done.Moved = g.meter.done.Load() - g.resumed.Load()
	return done, err
}

// newest is the number of a volume's newest version.
func newest(ctx context.Context, host Host, volume string) (int, error) {
	var got struct {
		Version int `json:"version"`
	}
	_, err := host.Ask(ctx, "volume.get", map[string]any{"id": volume}, nil, &got)
	return got.Version, err
}

// placed is an entry, and where it goes within the destination.
type placed struct {
	Entry
	name string
}

// permissions are those that it gets here, whatever else the host says.
func (p placed) permissions() fs.FileMode { return fs.FileMode(p.Mode).Perm() }

type getter struct {
	host    Host
	volume  string
	version int
	dir     *os.Root
	o       Options
	entries []placed
	meter   meter
	resumed atomic.Int64 // bytes that an earlier transfer has left
}

func (g *getter) all(ctx context.Context) error {
	for _, e := range g.entries {
		if err := g.refuse(e); err != nil {
			return err
		}
	}
	var folders, files, links []placed
	for _, e := range g.entries {
		switch e.Type {
		case "directory":
			// Writable until all is in it.
			if err := g.dir.MkdirAll(e.name, 0o700|e.permissions()); err != nil {
				return err
			}
			folders = append(folders, e)
		case "file":
			if parent := filepath.Dir(e.name); parent != "." {
				if err := g.dir.MkdirAll(parent, 0o777); err != nil {
					return err
				}
			}
			files = append(files, e)
		case "symlink":
			links = append(links, e)
		default:
			g.o.warn(fmt.Sprintf("%q is left out: it is a %s", e.Path, e.Type))
		}
	}
	group, limited := errgroup.WithContext(ctx)
	group.SetLimit(atOnce)
	for _, e := range files {
		group.Go(func() error { return g.file(limited, e) })
	}
	if err := group.Wait(); err != nil {
		return err
	}
	// Links last: nothing is written through them.
	for _, e := range links {
		if g.o.Force {
			_ = g.dir.Remove(e.name)
		}
		if err := g.dir.Symlink(e.Target, e.name); err != nil {
			return err
		}
	}
	for i := len(folders) - 1; i >= 0; i-- {
		if err := g.dir.Chmod(folders[i].name, folders[i].permissions()); err != nil {
			return err
		}
	}
	return nil
}

// refuse says that something is in an entry's place.
func (g *getter) refuse(e placed) error {
	info, err := g.dir.Lstat(e.name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	switch {
	case e.Type == "directory" && info.IsDir():
		return nil
	case info.IsDir():
		return fmt.Errorf("%s is a directory here, and a %s in the volume", filepath.Join(g.dir.Name(), e.name), e.Type)
	case e.Type == "directory":
		return fmt.Errorf("%s is a directory in the volume, and not here", filepath.Join(g.dir.Name(), e.name))
	case !g.o.Force:
		return fmt.Errorf("%s exists: --force replaces it", filepath.Join(g.dir.Name(), e.name))
	}
	return nil
}

// file gets one file: into a partial file first, which is taken up again if a
// transfer of the same content broke off.
func (g *getter) file(ctx context.Context, e placed) error {
	// Another content has another name, so that pieces of two are never joined.
	id := sha256.Sum256(fmt.Appendf(nil, "%s\n%s\n%d\n%v", g.volume, e.Path, e.Size, e.MTime))
	part := filepath.Join(filepath.Dir(e.name), "."+hex.EncodeToString(id[:6])+partial)
	f, err := g.dir.OpenFile(part, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	offset := info.Size()
	if offset > e.Size {
		if err := f.Truncate(0); err != nil {
			return err
		}
		offset = 0
	}
	g.resumed.Add(offset)
	g.meter.add(offset)
	for offset < e.Size {
		data, err := g.read(ctx, e.Path, offset)
		if err != nil {
			return err
		}
		if len(data) == 0 {
			return fmt.Errorf("%s ended after %d of %d bytes", e.Path, offset, e.Size)
		}
		if err := write(f, data, offset); err != nil {
			return err
		}
		offset += int64(len(data))
		g.meter.add(int64(len(data)))
	}
	if err := f.Chmod(e.permissions()); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if err := g.dir.Rename(part, e.name); err != nil {
		return err
	}
	when := time.Unix(0, int64(math.Round(e.MTime*1e6))*1000)
	return g.dir.Chtimes(e.name, when, when)
}

// write writes a piece at the end of a file. Nothing but zeros is a hole.
func write(f *os.File, data []byte, offset int64) error {
	if data[0] != 0 || !bytes.Equal(data[1:], data[:len(data)-1]) {
		_, err := f.WriteAt(data, offset)
		return err
	}
	return f.Truncate(offset + int64(len(data)))
}

func (g *getter) read(ctx context.Context, path string, offset int64) ([]byte, error) {
	return g.host.Ask(ctx, "volume.read", map[string]any{
		"id": g.volume, "path": path, "version": g.version, "offset": offset, "length": piece,
	}, nil, nil)
}

// Copy writes the content of one file of a volume.
func Copy(ctx context.Context, host Host, volume, remote string, w io.Writer, o Options) (int64, error) {
	version, err := newest(ctx, host, volume)
	if err != nil {
		return 0, err
	}
	m := &meter{tell: o.Progress}
	for offset := int64(0); ; {
		var got struct {
			Size int64 `json:"size"`
		}
		data, err := host.Ask(ctx, "volume.read", map[string]any{
			"id": volume, "path": remote, "version": version, "offset": offset, "length": piece,
		}, nil, &got)
		if err != nil {
			return offset, err
		}
		m.total = got.Size
		if _, err := w.Write(data); err != nil {
			return offset, err
		}
		offset += int64(len(data))
		m.add(int64(len(data)))
		if offset >= got.Size {
			return offset, nil
		}
		if len(data) == 0 {
			return offset, fmt.Errorf("%s ended after %d of %d bytes", remote, offset, got.Size)
		}
	}
}
