package process

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/gx-dev/gx/engine/container"
)

// copyLimit is the size of file, in bytes, above which the private folder has
// a link to the original.
const copyLimit = 1 << 20

// paths translates a container's paths to the machine's.
type paths struct {
	mounts []container.Mount // longest target first
	folder string            // the private folder
	dir    string            // the container's working directory
}

func newPaths(spec container.Spec, folder string) paths {
	p := paths{mounts: slices.Clone(spec.Mounts), folder: folder, dir: filepath.Clean("/" + spec.Dir)}
	for i, m := range p.mounts {
		p.mounts[i].Target = filepath.Clean(m.Target)
	}
	slices.SortStableFunc(p.mounts, func(a, b container.Mount) int { return len(b.Target) - len(a.Target) })
	return p
}

// below returns path relative to root, if it is root or below it.
func below(path, root string) (string, bool) {
	if root == "/" {
		return strings.TrimPrefix(path, "/"), true
	}
	rest, ok := strings.CutPrefix(path, root)
	if !ok || rest != "" && rest[0] != '/' {
		return "", false
	}
	return rest, true
}

// path translates one absolute path.
func (p paths) path(path string) string {
	clean := filepath.Clean(path)
	for _, m := range p.mounts {
		if rest, ok := below(clean, m.Target); ok {
			return filepath.Join(m.Source, rest)
		}
	}
	inside := filepath.Join(p.folder, clean)
	if p.dir != "/" {
		if _, ok := below(clean, p.dir); ok {
			return inside
		}
	}
	if _, err := os.Lstat(inside); err == nil && clean != "/" {
		return inside
	}
	return path
}

// text translates a text that is an absolute path or a list of paths.
func (p paths) text(text string) string {
	if !strings.HasPrefix(text, "/") && !strings.Contains(text, ":/") || strings.Contains(text, "://") {
		return text
	}
	parts := strings.Split(text, ":")
	for i, part := range parts {
		if strings.HasPrefix(part, "/") {
			parts[i] = p.path(part)
		}
	}
	return strings.Join(parts, ":")
}

// environment translates the values of KEY=VALUE entries.
func (p paths) environment(env []string) []string {
	out := make([]string, len(env))
	for i, entry := range env {
		out[i] = entry
		if k, v, ok := strings.Cut(entry, "="); ok {
			out[i] = k + "=" + p.text(v)
		}
	}
	return out
}

// arguments translates arguments that are paths.
func (p paths) arguments(args []string) []string {
	out := make([]string, len(args))
	for i, arg := range args {
		out[i] = arg
		if strings.HasPrefix(arg, "/") {
			out[i] = p.text(arg)
		}
	}
	return out
}

// fill copies trees, topmost first, into the private folder.
func fill(folder string, trees []string) error {
	for _, tree := range trees {
		err := filepath.WalkDir(tree, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			rel, err := filepath.Rel(tree, path)
			if err != nil {
				return err
			}
			to := filepath.Join(folder, rel)
			if d.IsDir() {
				if err := os.Mkdir(to, 0o755); err != nil && !os.IsExist(err) {
					return err
				}
				// What a higher tree has in a folder's place hides the folder.
				if info, err := os.Lstat(to); err != nil || !info.IsDir() {
					return fs.SkipDir
				}
				return nil
			}
			if _, err := os.Lstat(to); err == nil {
				return nil // a higher tree has it
			}
			return place(path, to, d)
		})
		if err != nil {
			return fmt.Errorf("copy the container's files: %w", err)
		}
	}
	return nil
}

// place puts one file that is not a folder into the private folder.
func place(from, to string, d fs.DirEntry) error {
	info, err := d.Info()
	if err != nil {
		return err
	}
	switch {
	case d.Type()&fs.ModeSymlink != 0:
		target, err := os.Readlink(from)
		if err != nil {
			return err
		}
		return os.Symlink(target, to)
	case !d.Type().IsRegular():
		return nil // devices and sockets mean nothing in a copy
	case info.Size() > copyLimit:
		return os.Symlink(from, to)
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, info.Mode().Perm()|0o200)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if closed := out.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Chtimes(to, info.ModTime(), info.ModTime()) // byte code is checked by it
	}
	return err
}
