package debian

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// maxTarball bounds what a tarball may unpack to, in bytes.
const maxTarball = 64 << 30

// tarballLock is what is known of a tarball that was turned into a layout.
type tarballLock struct {
	Format   string    `json:"format"`
	Size     int64     `json:"size"` // of the file
	Changed  time.Time `json:"changed"`
	Key      string    `json:"key"`    // digest of the file
	Python   string    `json:"python"` // "3.11"
	Path     string    `json:"path"`   // "/usr/local/bin/python3.11"
	Resolved time.Time `json:"resolved"`
}

// fromTarball makes a base of Options.Tarball, or finds it.
func fromTarball(ctx context.Context, opts Options, progress func(Progress)) (Base, error) {
	dir, err := filepath.Abs(opts.Dir)
	if err != nil || opts.Dir == "" {
		return Base{}, fmt.Errorf("debian: Options.Dir is %q: %w", opts.Dir, errors.Join(err, os.ErrInvalid))
	}
	info, err := os.Stat(opts.Tarball)
	if err != nil {
		return Base{}, fmt.Errorf("the base tarball that %s names: %w", SettingTarball, err)
	}
	name := sha256.Sum256([]byte(opts.Tarball))
	lockPath := filepath.Join(dir, "locks", "tarball-"+hex.EncodeToString(name[:8])+".json")
	var base Base
	err = exclusively(ctx, dir, func() error {
		var l tarballLock
		known := readJSON(lockPath, &l) == nil && l.Format == layoutFormat && isSHA256(l.Key) &&
			l.Size == info.Size() && l.Changed.Equal(info.ModTime())
		if known {
			if base, err = tarballBase(dir, l); err == nil {
				return nil
			}
		}
		l = tarballLock{Format: layoutFormat, Size: info.Size(), Changed: info.ModTime(), Resolved: time.Now().UTC()}
		if err := l.convert(ctx, dir, opts.Tarball, progress); err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Dir(lockPath), 0o755); err != nil {
			return err
		}
		if err := writeJSON(lockPath, l); err != nil { // half a lock is no lock
			return err
		}
		base, err = tarballBase(dir, l)
		return err
	})
	if err != nil {
		return Base{}, fmt.Errorf("making a base image of %s: %w", opts.Tarball, err)
	}
	if wanted := opts.Python; wanted != "" && minorVersion(wanted) != base.Python {
		return Base{}, fmt.Errorf("the base tarball that %s names, %s, has Python %s, not %s", SettingTarball, opts.Tarball, base.Python, wanted)
	}
	return base, nil
}

func tarballBase(dir string, l tarballLock) (Base, error) {
	layout := layoutDir(dir, l.Key)
	digest, size, err := findLayout(layout)
	if err != nil {
		return Base{}, err
	}
	return Base{
		LayoutDir: layout, Digest: string(digest), Env: environment(), Arch: debianArch(runtime.GOARCH),
		Python: l.Python, PythonPath: l.Path, PythonVersion: l.Python, Key: l.Key, Size: size, Resolved: l.Resolved,
	}, nil
}

// convert turns a tarball into a layout and notes what it found.
func (l *tarballLock) convert(ctx context.Context, dir, tarball string, progress func(Progress)) error {
	if progress == nil {
		progress = func(Progress) {}
	}
	in, err := os.Open(tarball)
	if err != nil {
		return err
	}
	defer in.Close()
	phase := Progress{Phase: PhaseUnpack, Text: "reading " + filepath.Base(tarball), Total: l.Size}
	progress(phase)
	file := newDigester(countWriter(func(n int64) {
		phase.Current += n
		progress(phase)
	}))
	counted := io.TeeReader(in, file)
	// The key is only known at the end; until then the layout has another name.
	temp := filepath.Join(dir, "bases", ".new-tarball")
	defer os.RemoveAll(temp)
	err = writeLayout(temp, debianArch(runtime.GOARCH), "gx: "+filepath.Base(tarball), func(w io.Writer) error {
		stream, err := uncompressed(counted)
		if err != nil {
			return err
		}
		defer stream.Close()
		if err := l.copy(ctx, tar.NewReader(io.LimitReader(stream, maxTarball)), w); err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, counted) // what follows the end of the archive
		return err
	})
	if err != nil {
		return err
	}
	if l.Path == "" {
		return errors.New("it holds no Python 3.9 or newer in /usr/bin or /usr/local/bin")
	}
	l.Key = hex.EncodeToString(file.hash.Sum(nil))
	final := layoutDir(dir, l.Key)
	if err := os.RemoveAll(final); err != nil {
		return err
	}
	return os.Rename(temp, final)
}

// uncompressed finds out by its first bytes how a stream is compressed.
func uncompressed(r io.Reader) (io.ReadCloser, error) {
	buffered := bufio.NewReaderSize(r, 1<<20)
	head, err := buffered.Peek(6)
	if err != nil {
		return nil, fmt.Errorf("reading its beginning: %w", err)
	}
	for magic, ending := range map[string]string{"\x1f\x8b": ".gz", "\xfd7zXZ\x00": ".xz", "\x28\xb5\x2f\xfd": ".zst"} {
		if bytes.HasPrefix(head, []byte(magic)) {
			return decompress(ending, buffered)
		}
	}
	return io.NopCloser(buffered), nil
}

// copy copies a tar stream, without devices, and looks for Python in it.
func (l *tarballLock) copy(ctx context.Context, from *tar.Reader, to io.Writer) error {
	out := tar.NewWriter(to)
	for {
		h, err := from.Next()
		if errors.Is(err, io.EOF) {
			return out.Close()
		}
		if err != nil {
			return fmt.Errorf("reading it as a tar archive: %w", err)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		name, err := insideName(h.Name)
		if err != nil {
			return err
		}
		switch h.Typeflag {
		case tar.TypeLink:
			if h.Linkname, err = insideName(h.Linkname); err != nil {
				return err
			}
		case tar.TypeReg, tar.TypeSymlink:
		case tar.TypeDir:
			if name == "." {
				continue
			}
		default:
			continue // devices and pipes are the runtime's to make
		}
		h.Name = name
		if h.Typeflag == tar.TypeDir {
			h.Name += "/"
		}
		h.Format, h.Uname, h.Gname = tar.FormatPAX, "", ""
		h.AccessTime, h.ChangeTime = time.Time{}, time.Time{}
		l.seen(name)
		if err := out.WriteHeader(h); err != nil {
			return err
		}
		if _, err := io.Copy(out, from); err != nil {
			return err
		}
	}
}

// seen notes an interpreter. One in /usr/local is what an image is made for;
// of several in one place the newest counts.
func (l *tarballLock) seen(name string) {
	version, ok := strings.CutPrefix(path.Base(name), "python")
	n, err := minor(version)
	if dir := path.Dir(name); !ok || err != nil || n < 9 || strings.Count(version, ".") != 1 || version != fmt.Sprintf("3.%d", n) || !oneOf(dir, "usr/bin", "usr/local/bin") {
		return
	}
	local, had := strings.HasPrefix(name, "usr/local/"), strings.HasPrefix(l.Path, "/usr/local/")
	if l.Path == "" || local && !had || local == had && newer(version, l.Python) {
		l.Python, l.Path = version, "/"+name
	}
}
