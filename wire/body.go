package wire

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
)

// MaxJSON is the most bytes that a JSON body may have: it is room for a
// serialized function of 24 MiB.
const MaxJSON = 32 << 20

// JSON makes a frame whose body is v as JSON. A nil v makes an empty body.
func JSON(t Type, call, index uint32, v any) (Frame, error) {
	f := Frame{Header: Header{Type: t, Call: call, Index: index}}
	if v == nil {
		return f, nil
	}
	body, err := json.Marshal(v)
	if err != nil {
		return f, fmt.Errorf("encoding the body of a %v frame: %w", t, err)
	}
	if len(body) > MaxJSON {
		return f, fmt.Errorf("the body of a %v frame has %d bytes: %w, at most %d are allowed", t, len(body), ErrTooLarge, MaxJSON)
	}
	f.Body = body
	return f, nil
}

// Decode reads the frame's JSON body into v. An empty body leaves v as it is.
func (f *Frame) Decode(v any) error {
	if len(f.Body) == 0 {
		return nil
	}
	if len(f.Body) > MaxJSON {
		return fmt.Errorf("%w: %w: the body of a %v frame has %d bytes, at most %d are allowed", ErrProtocol, ErrTooLarge, f.Type, len(f.Body), MaxJSON)
	}
	if err := json.Unmarshal(f.Body, v); err != nil {
		return fmt.Errorf("%w: decoding the body of a %v frame: %w", ErrProtocol, f.Type, err)
	}
	return nil
}

// EncodeError makes the body of an Error or Failed frame. The pickled
// exception may be nil.
func EncodeError(e ErrorBody, pickled []byte) ([]byte, error) {
	head, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("encoding an error: %w", err)
	}
	body := make([]byte, 0, 4+len(head)+len(pickled))
	body = binary.LittleEndian.AppendUint32(body, uint32(len(head)))
	body = append(body, head...)
	return append(body, pickled...), nil
}

// DecodeError takes the body of an Error or Failed frame apart. The pickled
// exception, a part of body, is empty if the exception could not be pickled.
func DecodeError(body []byte) (e ErrorBody, pickled []byte, err error) {
	if len(body) < 4 {
		return e, nil, fmt.Errorf("%w: the body of an error has %d bytes", ErrProtocol, len(body))
	}
	n := int64(binary.LittleEndian.Uint32(body))
	if n > MaxJSON || n > int64(len(body)-4) {
		return e, nil, fmt.Errorf("%w: the head of an error has %d bytes of %d", ErrProtocol, n, len(body)-4)
	}
	if err := json.Unmarshal(body[4:4+n], &e); err != nil {
		return e, nil, fmt.Errorf("%w: decoding an error: %w", ErrProtocol, err)
	}
	return e, body[4+n:], nil
}
