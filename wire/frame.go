package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
)

// ErrProtocol is in the chain of every error that says that the other side
// broke the rules of this package. The connection cannot be used any more.
var ErrProtocol = errors.New("the other side broke the wire protocol")

// ErrTooLarge is in the chain of errors about a frame, a JSON body or a
// payload that is larger than its limit.
var ErrTooLarge = errors.New("too large")

// Frame is one frame in memory. Reader and Writer translate two things, so
// that a frame can be forwarded without touching its body: with FlagLogged the
// sequence number is in Logged and not at the beginning of Body, and a payload
// that travels as a descriptor is File and not the 8 bytes that announce it.
type Frame struct {
	Header          // Size is set by Reader; Writer computes it
	Logged   uint64 // with FlagLogged: sequence number of the last log line
	Body     []byte // nil if File is set
	File     *os.File
	FileSize int64 // bytes of the payload at the beginning of File
}

// Mine reports whether the frame's call number belongs to a call that a runner
// opened (bit 31), not to one that the host opened.
func (h Header) Mine() bool { return h.Call&RunnerCall != 0 }

// RunnerCall is the bit that is set in the numbers of calls that a runner opens.
const RunnerCall = 1 << 31

// names are the types that there are.
var names = [...]string{
	Hello: "hello", Ready: "ready", Open: "open", Input: "input", End: "end",
	Result: "result", Error: "error", Item: "item", Fail: "fail", Cancel: "cancel", Request: "request",
	Reply: "reply", Start: "start", Stop: "stop", Bye: "bye", Failed: "failed", Opened: "opened", Batch: "batch", Within: "within",
	Ask: "ask", Answer: "answer", Stage: "stage", Staged: "staged", Swap: "swap",
	WebRequest: "web request", WebResponse: "web response", WebData: "web data", WebEnd: "web end", WebMessage: "web message",
	WebCredit: "web credit", WebGone: "web gone", WebConn: "web connection",
}

// known reports whether this version of the protocol has the type.
func (t Type) known() bool { return int(t) < len(names) && names[t] != "" }

// String names the type for messages.
func (t Type) String() string {
	if t.known() {
		return names[t]
	}
	return fmt.Sprintf("type %d", uint8(t))
}

// Payload reports whether frames of this type carry a payload: what may be
// large, and may travel as a descriptor or in pieces.
func (t Type) Payload() bool {
	switch t {
	case Input, Result, Error, Item, Failed, Ask, Answer:
		return true
	}
	return false
}

// AppendHeader appends the 16 bytes of h to b.
func AppendHeader(b []byte, h Header) []byte {
	b = binary.LittleEndian.AppendUint32(b, h.Size)
	b = append(b, byte(h.Type), h.Flags)
	b = binary.LittleEndian.AppendUint16(b, h.Attempt)
	b = binary.LittleEndian.AppendUint32(b, h.Call)
	return binary.LittleEndian.AppendUint32(b, h.Index)
}

// ParseHeader reads a header from the first HeaderSize bytes of b and holds it
// to the limits.
func ParseHeader(b []byte) (Header, error) {
	_ = b[HeaderSize-1]
	h := Header{
		Size:    binary.LittleEndian.Uint32(b),
		Type:    Type(b[4]),
		Flags:   b[5],
		Attempt: binary.LittleEndian.Uint16(b[6:]),
		Call:    binary.LittleEndian.Uint32(b[8:]),
		Index:   binary.LittleEndian.Uint32(b[12:]),
	}
	return h, h.check()
}

// check says what is wrong with a header.
func (h Header) check() error {
	extra := uint32(0) // bytes of the body that the flags promise
	if h.Flags&FlagLogged != 0 {
		extra = 8
	}
	switch {
	case !h.Type.known():
		return fmt.Errorf("%w: unknown frame %v", ErrProtocol, h.Type)
	case h.Size > MaxBody:
		return fmt.Errorf("%w: %w: a %v frame announces a body of %d bytes, at most %d are allowed", ErrProtocol, ErrTooLarge, h.Type, h.Size, MaxBody)
	case h.Flags&^(FlagFD|FlagMore|FlagLogged) != 0:
		return fmt.Errorf("%w: %v frame with unknown flags %#x", ErrProtocol, h.Type, h.Flags)
	case h.Flags != 0 && !h.Type.Payload() && (h.Type != Fail || h.Flags != FlagLogged) && (h.Type != WebConn || h.Flags != FlagFD):
		return fmt.Errorf("%w: %v frame with flags %#x, but it carries no payload", ErrProtocol, h.Type, h.Flags)
	case h.Flags&FlagFD != 0 && h.Flags&FlagMore != 0:
		return fmt.Errorf("%w: %v frame is both a descriptor and a piece", ErrProtocol, h.Type)
	case h.Flags&FlagFD != 0 && h.Size != 8+extra:
		return fmt.Errorf("%w: %v frame with a descriptor has a body of %d bytes", ErrProtocol, h.Type, h.Size)
	case h.Size < extra:
		return fmt.Errorf("%w: %v frame is too short for its log sequence number", ErrProtocol, h.Type)
	}
	return nil
}

// prepare sets what the header of a frame to be written says about the rest.
func (f *Frame) prepare() (Header, error) {
	h := f.Header
	size := len(f.Body)
	if f.File != nil {
		if f.FileSize < 0 || f.FileSize > MaxPayload {
			return h, fmt.Errorf("a payload of %d bytes: %w, at most %d are allowed", f.FileSize, ErrTooLarge, int64(MaxPayload))
		}
		h.Flags |= FlagFD
		size = 8
	} else {
		h.Flags &^= FlagFD
	}
	if h.Flags&FlagLogged != 0 {
		size += 8
	}
	if size > MaxBody {
		return h, fmt.Errorf("a %v frame with a body of %d bytes: %w, at most %d are allowed", h.Type, size, ErrTooLarge, MaxBody)
	}
	h.Size = uint32(size)
	return h, h.check()
}

// appendHead appends everything of a prepared frame that is not its Body.
func (f *Frame) appendHead(b []byte, h Header) []byte {
	b = AppendHeader(b, h)
	if h.Flags&FlagLogged != 0 {
		b = binary.LittleEndian.AppendUint64(b, f.Logged)
	}
	if h.Flags&FlagFD != 0 {
		b = binary.LittleEndian.AppendUint64(b, uint64(f.FileSize))
	}
	return b
}

// Append appends the encoded frame to b. The descriptor of a frame with File
// is not part of it.
func (f *Frame) Append(b []byte) ([]byte, error) {
	h, err := f.prepare()
	if err != nil {
		return b, err
	}
	b = f.appendHead(b, h)
	if f.File == nil {
		b = append(b, f.Body...)
	}
	return b, nil
}

// split takes body, as it came, apart into Logged, FileSize and Body.
func (f *Frame) split(body []byte) error {
	if f.Flags&FlagLogged != 0 {
		f.Logged = binary.LittleEndian.Uint64(body)
		body = body[8:]
	}
	if f.Flags&FlagFD == 0 {
		f.Body = body
		return nil
	}
	size := binary.LittleEndian.Uint64(body)
	if size > MaxPayload {
		return fmt.Errorf("%w: %w: a payload of %d bytes, at most %d are allowed", ErrProtocol, ErrTooLarge, size, int64(MaxPayload))
	}
	f.FileSize = int64(size)
	return nil
}
