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

// EncodeMessage makes the body of an Ask or an Answer: 4 bytes, the length of
// the head, then head as JSON, then data as it is.
func EncodeMessage(head any, data []byte) ([]byte, error) {
	h, err := json.Marshal(head)
	if err != nil {
		return nil, fmt.Errorf("encoding a message: %w", err)
	}
	if len(h) > MaxJSON {
		return nil, fmt.Errorf("the head of a message has %d bytes: %w, at most %d are allowed", len(h), ErrTooLarge, MaxJSON)
	}
	return join(h, data), nil
}

// DecodeMessage takes the body of an Ask or an Answer apart. data is a part of body.
func DecodeMessage(body []byte, head any) (data []byte, err error) {
	h, data, err := split(body)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(h, head); err != nil {
		return nil, fmt.Errorf("%w: decoding a message: %w", ErrProtocol, err)
	}
	return data, nil
}

// join puts a head and its length before data.
func join(head, data []byte) []byte {
	body := make([]byte, 0, 4+len(head)+len(data))
	body = binary.LittleEndian.AppendUint32(body, uint32(len(head)))
	body = append(body, head...)
	return append(body, data...)
}

// split is the opposite of join.
func split(body []byte) (head, data []byte, err error) {
	if len(body) < 4 {
		return nil, nil, fmt.Errorf("%w: a body with a head has %d bytes", ErrProtocol, len(body))
	}
	n := int64(binary.LittleEndian.Uint32(body))
	if n > MaxJSON || n > int64(len(body)-4) {
		return nil, nil, fmt.Errorf("%w: the head of a body has %d bytes of %d", ErrProtocol, n, len(body)-4)
	}
	return body[4 : 4+n], body[4+n:], nil
}

// EncodeError makes the body of an Error or Failed frame. The pickled
// exception may be nil.
func EncodeError(e ErrorBody, pickled []byte) ([]byte, error) {
	head, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("encoding an error: %w", err)
	}
	return join(head, pickled), nil
}

// DecodeError takes the body of an Error or Failed frame apart. The pickled
// exception, a part of body, is empty if the exception could not be pickled.
func DecodeError(body []byte) (e ErrorBody, pickled []byte, err error) {
	head, pickled, err := split(body)
	if err != nil {
		return e, nil, err
	}
	if err := json.Unmarshal(head, &e); err != nil {
		return e, nil, fmt.Errorf("%w: decoding an error: %w", ErrProtocol, err)
	}
	return e, pickled, nil
}
