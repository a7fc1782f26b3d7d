package spawned

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"github.com/gx-dev/gx/wire"
)

// Kinds of files.
const (
	inFile  = ".in"
	outFile = ".out"
)

func (l *Ledger) path(id string, index uint32, kind string) string {
	return filepath.Join(l.cfg.Dir, id, strconv.FormatUint(uint64(index), 10)+kind)
}

func payloadOf(f wire.Frame) Payload {
	if f.File == nil {
		return Payload{Body: f.Body}
	}
	return Payload{File: f.File, Size: f.FileSize}
}

// place puts a payload where it belongs, and returns what belongs into its row:
// nil if that is nothing.
func (l *Ledger) place(id string, index uint32, kind string, p Payload) (body []byte, err error) {
	if p.File == nil && len(p.Body) <= inlineMax {
		if p.Body == nil {
			return []byte{}, nil
		}
		return p.Body, nil
	}
	if p.File != nil && p.Size <= inlineMax {
		body = make([]byte, p.Size)
		if _, err := p.File.ReadAt(body, 0); err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("reading a payload of %d bytes: %w", p.Size, err)
		}
		return body, nil
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("keeping a payload of spawned call %s: %w", id, err)
		}
	}()
	path := l.path(id, index, kind)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if p.File == nil {
		_, err = f.Write(p.Body)
	} else {
		_, err = io.Copy(f, io.NewSectionReader(p.File, 0, p.Size))
	}
	if err != nil {
		return nil, err
	}
	return nil, f.Sync() // the row may be on the disk at any time after this
}

// fetch makes the frame of a payload. A large one is copied into memory: whoever
// gets its descriptor must not hold a file of the host.
func (l *Ledger) fetch(id string, index uint32, kind string, t wire.Type, size int64, body []byte) (wire.Frame, error) {
	f := wire.Frame{Header: wire.Header{Type: t, Index: index}, Body: body}
	if int64(len(body)) == size {
		return f, nil
	}
	from, err := os.Open(l.path(id, index, kind))
	if err != nil {
		return f, fmt.Errorf("opening a payload of spawned call %s: %w", id, err)
	}
	defer from.Close()
	f.Body = nil
	if size <= wire.InlineMax {
		f.Body = make([]byte, size)
		if _, err := io.ReadFull(from, f.Body); err != nil {
			return f, fmt.Errorf("reading a payload of spawned call %s: %w", id, err)
		}
		return f, nil
	}
	to, err := wire.NewFile()
	if err != nil {
		return f, err
	}
	if n, err := io.Copy(to, from); err != nil || n != size {
		if err == nil {
			err = io.ErrUnexpectedEOF
		}
		return f, errors.Join(fmt.Errorf("reading a payload of spawned call %s: %w", id, err), to.Close())
	}
	f.File, f.FileSize = to, size
	return f, nil
}

func (l *Ledger) remove(id string, index uint32, kind string) {
	path := l.path(id, index, kind)
	if err := os.Remove(path); err == nil {
		_ = os.Remove(filepath.Dir(path)) // if it is empty
	}
}

func (l *Ledger) removeAll(id string) {
	if err := os.RemoveAll(filepath.Join(l.cfg.Dir, id)); err != nil {
		l.cfg.Log.Warn("files of a spawned call are left", "call", id, "error", err)
	}
}
