package volume

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/gx-dev/gx/engine/ask"
	"github.com/gx-dev/gx/engine/volume/layer"
)

// Limits of one query.
const (
	maxPage  = 1000
	maxPiece = 8 << 20
	maxEdits = 100_000
	maxSums  = 100_000
)

// Entry is a file, as a client sees it.
type Entry struct {
	Path   string  `json:"path"` // without a leading slash
	Type   string  `json:"type"` // file, directory, symlink, fifo, socket
	Size   int64   `json:"size"`
	MTime  float64 `json:"mtime"` // seconds since 1970
	Mode   uint32  `json:"mode"`  // permission bits
	Target string  `json:"target,omitempty"`
}

func kindOf(mode fs.FileMode) string {
	switch mode.Type() {
	case fs.ModeDir:
		return "directory"
	case fs.ModeSymlink:
		return "symlink"
	case fs.ModeNamedPipe:
		return "fifo"
	case fs.ModeSocket:
		return "socket"
	default:
		return "file"
	}
}

// describe is an entry as a client sees it.
func describe(t *layer.Tree, e layer.Entry) (Entry, error) {
	d := Entry{
		Path: e.Path, Type: kindOf(e.Mode()), Mode: uint32(e.Mode().Perm()),
		MTime: float64(e.ModTime().UnixNano()) / 1e9,
	}
	var err error
	switch d.Type {
	case "file":
		d.Size = e.Size()
	case "symlink":
		d.Target, err = t.Readlink(e)
	}
	return d, err
}

// page collects entries until it is full.
type page struct {
	tree    *layer.Tree
	after   string // that and all before it were listed already
	limit   int
	entries []Entry
	more    bool
}

var errFull = errors.New("the page is full")

func (p *page) add(e layer.Entry) error {
	if p.after != "" && before(e.Path, p.after) {
		return nil
	}
	if len(p.entries) >= p.limit {
		p.more = true
		return errFull
	}
	d, err := describe(p.tree, e)
	if err == nil {
		p.entries = append(p.entries, d)
	}
	return err
}

// before says whether a walk comes to a before b, or they are the same.
func before(a, b string) bool {
	as, bs := strings.Split(a, "/"), strings.Split(b, "/")
	for i := range as {
		if i >= len(bs) {
			return false
		}
		if as[i] != bs[i] {
			return as[i] < bs[i]
		}
	}
	return true
}

// ls lists what a directory has, or a file itself.
func (s *Store) ls(ctx context.Context, id, path string, recursive bool, number *int, after string, limit int) ([]Entry, string, error) {
	_, t, done, err := s.open(ctx, id, number)
	if err != nil {
		return nil, "", err
	}
	defer done()
	clean, err := layer.Clean(path)
	if err != nil {
		return nil, "", told(err)
	}
	at, err := t.Resolve(clean)
	if err != nil {
		return nil, "", told(err)
	}
	if limit <= 0 || limit > maxPage {
		limit = maxPage
	}
	p := &page{tree: t, after: strings.TrimPrefix(after, "/"), limit: limit, entries: []Entry{}}
	switch {
	case !at.IsDir():
		err = p.add(at)
	case recursive:
		err = t.Walk(at.Path, func(e layer.Entry) error {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if e.Path == at.Path {
				return nil
			}
			if e.IsDir() && p.after != "" && before(e.Path, p.after) && !strings.HasPrefix(p.after, e.Path+"/") && e.Path != p.after {
				return fs.SkipDir
			}
			return p.add(e)
		})
	default:
		var list []layer.Entry
		list, err = t.ReadDir(at.Path)
		for _, e := range list {
			if err == nil {
				err = p.add(e)
			}
		}
	}
	if err != nil && !errors.Is(err, errFull) {
		return nil, "", told(err)
	}
	next := ""
	if p.more {
		next = p.entries[len(p.entries)-1].Path
	}
	return p.entries, next, nil
}

// read reads a piece of a file.
func (s *Store) read(ctx context.Context, id, path string, number *int, offset, length int64) (size int64, data []byte, err error) {
	if offset < 0 || length < 0 || length > maxPiece {
		return 0, nil, ask.Refused("a piece of a file has at most %d bytes, from 0 on", maxPiece)
	}
	_, t, done, err := s.open(ctx, id, number)
	if err != nil {
		return 0, nil, err
	}
	defer done()
	clean, err := layer.Clean(path)
	if err != nil {
		return 0, nil, told(err)
	}
	e, err := t.Resolve(clean)
	if err != nil {
		return 0, nil, told(err)
	}
	if e.IsDir() {
		return 0, nil, ask.Refused("/%s is a directory", clean)
	}
	f, err := t.Open(e)
	if err != nil {
		return 0, nil, told(err)
	}
	defer f.Close()
	data = make([]byte, max(0, min(length, e.Size()-offset)))
	n, err := f.ReadAt(data, offset)
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, nil, fmt.Errorf("reading a volume's file: %w", err)
	}
	return e.Size(), data[:n], nil
}

// told turns errors that are about a user's path into ones that a user is told.
func told(err error) error {
	bad, isBad := errors.AsType[*layer.PathError](err)
	at, isAt := errors.AsType[*fs.PathError](err)
	switch {
	case isBad:
		return ask.Refused("%v", bad)
	case errors.Is(err, fs.ErrNotExist) && isAt:
		return ask.NotFound("there is no file or directory %q in the volume", at.Path)
	case errors.Is(err, fs.ErrExist) && isAt:
		return ask.Exists("%q is in the volume already; --force, or force=True, replaces it", at.Path)
	}
	return err
}

// Edit is one change of a volume's files from outside of containers.
type Edit struct {
	Op        string   `json:"op"` // put, mkdir, symlink, remove, copy, rename
	Path      string   `json:"path"`
	SHA256    string   `json:"sha256"`
	Mode      *uint32  `json:"mode"`
	MTime     *float64 `json:"mtime"` // seconds since 1970
	Target    string   `json:"target"`
	From      string   `json:"from"`
	To        string   `json:"to"`
	Recursive bool     `json:"recursive"`
}

// edit makes a new version by edits: all of them or none.
func (s *Store) edit(ctx context.Context, id string, edits []Edit, force bool, by string) (int, error) {
	if len(edits) > maxEdits {
		return 0, ask.TooLarge("%d changes at once; at most %d are allowed", len(edits), maxEdits)
	}
	if err := s.bound(ctx, id); err != nil {
		return 0, err
	}
	defer s.lock(id)()
	_, base, done, err := s.open(ctx, id, nil)
	if err != nil {
		return 0, err
	}
	defer done()
	editor, err := layer.NewEditor(filepath.Join(s.mountsDir(), newID("edit")), base)
	if err != nil {
		return 0, err
	}
	defer editor.Close()
	for i, e := range edits {
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
		if err := s.apply(editor, e, force); err != nil {
			err = told(err)
			if len(edits) > 1 && ask.Kind(err) == ask.KindInternal {
				err = fmt.Errorf("change %d of %d: %w", i+1, len(edits), err)
			}
			return 0, err
		}
	}
	d, layerID, release, err := s.draft()
	if err != nil {
		return 0, err
	}
	defer release()
	if _, err := layer.Diff(d, editor.Upper(), base, nil); err != nil {
		return 0, errors.Join(err, d.Discard())
	}
	if err := d.Sync(); err != nil {
		return 0, errors.Join(err, d.Discard())
	}
	return s.publishLocked(ctx, id, d, layerID, nil, by, describeEdits(edits))
}

// describeEdits is what a history tells of edits.
func describeEdits(edits []Edit) string {
	if len(edits) != 1 {
		return fmt.Sprintf("%d changes", len(edits))
	}
	switch e := edits[0]; e.Op {
	case "copy", "rename":
		return fmt.Sprintf("%s %.100s to %.100s", e.Op, e.From, e.To)
	default:
		return fmt.Sprintf("%s %.100s", e.Op, e.Path)
	}
}

func (s *Store) apply(editor *layer.Editor, e Edit, force bool) error {
	var paths [3]string
	for i, p := range []string{e.Path, e.From, e.To} {
		var err error
		if paths[i], err = layer.Clean(p); err != nil {
			return err
		}
	}
	path, from, to := paths[0], paths[1], paths[2]
	mode := func(usual uint32) uint32 {
		if e.Mode == nil {
			return usual
		}
		return *e.Mode & 0o777
	}
	switch e.Op {
	case "put":
		mtime := s.cfg.Clock.Now()
		if e.MTime != nil {
			mtime = time.Unix(0, int64(*e.MTime*1e9))
		}
		return s.stage.take(e.SHA256, func(content *os.File) error {
			return editor.Put(path, content, mode(0o644), mtime, force)
		})
	case "mkdir":
		return editor.Mkdir(path, mode(0o755))
	case "symlink":
		return editor.Symlink(path, e.Target, force)
	case "remove":
		return editor.Remove(path, e.Recursive)
	case "copy":
		return editor.Copy(from, to, e.Recursive)
	case "rename":
		return editor.Rename(from, to, force)
	}
	return ask.Refused("there is no change %.40q of a volume's files", e.Op)
}
