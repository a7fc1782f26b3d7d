package wire

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// Pieces calls fn with the frames that carry f's payload over a connection
// that passes no descriptors: f itself if it fits, else frames of at most
// MaxBody with FlagMore on all but the last. Each Body is a buffer of its own.
// f's File stays open.
func Pieces(f Frame, fn func(Frame) error) error {
	const most = MaxBody - 8 // room for Logged
	if f.File == nil {
		for len(f.Body) > most {
			piece := f
			piece.Body, f.Body = f.Body[:most], f.Body[most:]
			piece.Flags |= FlagMore
			if err := fn(piece); err != nil {
				return err
			}
		}
		return fn(f)
	}
	// Small pieces keep memory small on both sides, and other calls' frames moving.
	const size = 1 << 20
	for at := int64(0); ; {
		piece := f
		piece.File, piece.FileSize = nil, 0
		piece.Flags &^= FlagFD
		piece.Body = make([]byte, min(size, f.FileSize-at))
		if _, err := f.File.ReadAt(piece.Body, at); err != nil {
			return fmt.Errorf("reading a payload of %d bytes: %w", f.FileSize, err)
		}
		at += int64(len(piece.Body))
		if at < f.FileSize {
			piece.Flags |= FlagMore
		}
		if err := fn(piece); err != nil || at == f.FileSize {
			return err
		}
	}
}

// Joiner joins pieces: it keeps payloads that have begun and turns them into
// one frame when the last piece comes, with a File if the payload is larger
// than InlineMax. It is used by one goroutine. The zero value is ready.
type Joiner struct {
	// Limit is the most bytes that all unfinished payloads together may have;
	// 0 means MaxPayload.
	Limit int64

	parts map[partKey]*part
	held  int64
}

type partKey struct {
	call, index uint32
}

type part struct {
	kind Type
	size int64
	body []byte   // as long as it is small
	file *os.File // then
}

// Add takes a frame. It returns the whole frame and true if f is whole or is
// its last piece; a frame that is no piece comes back as it is.
func (j *Joiner) Add(f Frame) (Frame, bool, error) {
	key := partKey{f.Call, f.Index}
	p := j.parts[key]
	if p == nil {
		if f.Flags&FlagMore == 0 {
			return f, true, nil
		}
		p = &part{kind: f.Type}
		if j.parts == nil {
			j.parts = make(map[partKey]*part)
		}
		j.parts[key] = p
	}
	if f.Type != p.kind || f.File != nil {
		return f, false, fmt.Errorf("%w: a %v frame of call %d, input %d came between the pieces of a %v", ErrProtocol, f.Type, f.Call, f.Index, p.kind)
	}
	limit := j.Limit
	if limit == 0 {
		limit = MaxPayload
	}
	p.size += int64(len(f.Body))
	j.held += int64(len(f.Body))
	if p.size > MaxPayload || j.held > limit {
		return f, false, fmt.Errorf("a payload in pieces: %w, %d bytes and not at its end", ErrTooLarge, p.size)
	}
	if err := p.add(f.Body); err != nil {
		return f, false, err
	}
	if f.Flags&FlagMore != 0 {
		return Frame{}, false, nil
	}
	delete(j.parts, key)
	j.held -= p.size
	if p.file != nil {
		f.File, f.FileSize, f.Body = p.file, p.size, nil
	} else {
		f.Body = p.body
	}
	return f, true, nil
}

// Drop forgets the unfinished payloads of a call.
func (j *Joiner) Drop(call uint32) {
	for key, p := range j.parts {
		if key.call == call {
			j.held -= p.size
			p.close()
			delete(j.parts, key)
		}
	}
}

// Close forgets everything.
func (j *Joiner) Close() {
	for _, p := range j.parts {
		p.close()
	}
	j.parts, j.held = nil, 0
}

func (p *part) close() {
	if p.file != nil {
		_ = p.file.Close()
	}
}

func (p *part) add(data []byte) error {
	if p.file == nil && len(p.body)+len(data) <= InlineMax {
		p.body = append(p.body, data...)
		return nil
	}
	if p.file == nil {
		file, err := NewFile()
		if err != nil {
			return err
		}
		p.file, data = file, append(p.body, data...)
		p.body = nil
	}
	if _, err := p.file.Write(data); err != nil {
		return fmt.Errorf("keeping a payload: %w", err)
	}
	return nil
}

// ReadPayload returns the frame's payload in memory, wherever it is, and
// closes File. A payload of more than limit bytes is ErrTooLarge.
func (f *Frame) ReadPayload(limit int64) ([]byte, error) {
	if f.File == nil {
		if int64(len(f.Body)) > limit {
			return nil, fmt.Errorf("a payload of %d bytes: %w, at most %d are allowed here", len(f.Body), ErrTooLarge, limit)
		}
		return f.Body, nil
	}
	defer f.closeFile()
	if f.FileSize > limit {
		return nil, fmt.Errorf("a payload of %d bytes: %w, at most %d are allowed here", f.FileSize, ErrTooLarge, limit)
	}
	data := make([]byte, f.FileSize)
	if _, err := f.File.ReadAt(data, 0); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("reading a payload of %d bytes: %w", f.FileSize, err)
	}
	return data, nil
}
