// Package pickle reads Python's pickles to show what is in them, for programs
// that have no Python at hand. Nothing in a pickle is run: of objects that are
// not plain data only the names of their classes are told.
//
// The format is that of https://github.com/python/cpython/blob/main/Lib/pickletools.py,
// protocols 0 to 5, and gx's own for buffers beside a pickle (sdk/python/gx/_payload.py).
package pickle

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
)

// What values are: nil, bool, int64, *big.Int, float64, string, Bytes, and these.
type (
	// Bytes is a bytes or bytearray object.
	Bytes struct {
		Data    []byte
		Mutable bool
	}
	// Tuple is a tuple.
	Tuple []any
	// List is a list.
	List struct{ Items []any }
	// Set is a set or frozenset.
	Set struct {
		Items  []any
		Frozen bool
	}
	// Dict is a dict, in its order.
	Dict struct{ Keys, Values []any }
	// Object is something else: an object of this class, or the class or
	// function itself.
	Object struct {
		Name   string // "module.Name"
		Itself bool
	}
)

// ErrPickle is wrapped by the errors of what is no pickle.
var ErrPickle = errors.New("it is no pickle that can be read")

func wrong(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrPickle, fmt.Sprintf(format, args...))
}

// Key makes the pickle of a string as the SDK makes those of keys: protocol 3,
// without a memo.
func Key(s string) []byte {
	out := append(make([]byte, 0, len(s)+8), 0x80, 3, 'X')
	out = binary.LittleEndian.AppendUint32(out, uint32(len(s)))
	return append(append(out, s...), '.')
}

// Load reads a pickle.
func Load(data []byte) (any, error) {
	data, err := inside(data)
	if err != nil {
		return nil, err
	}
	m := machine{data: data}
	return m.run()
}

// inside is the pickle in a payload that has large buffers beside it.
func inside(data []byte) ([]byte, error) {
	if len(data) < 8 || string(data[:4]) != "\x00gxb" {
		return data, nil
	}
	head := 8 + 8*(uint64(binary.LittleEndian.Uint32(data[4:]))+1)
	if head > uint64(len(data)) {
		return nil, wrong("its head is cut off")
	}
	size, at := binary.LittleEndian.Uint64(data[8:]), (head+63)/64*64
	if at > uint64(len(data)) || size > uint64(len(data))-at {
		return nil, wrong("its pickle is cut off")
	}
	return data[at : at+size], nil
}

// mark is on the stack where a MARK was.
type mark struct{}

// machine runs a pickle's operations.
type machine struct {
	data  []byte
	stack []any
	memo  map[uint64]any
}

func (m *machine) take(n uint64) ([]byte, error) {
	if n > uint64(len(m.data)) {
		return nil, wrong("it is cut off")
	}
	taken := m.data[:n]
	m.data = m.data[n:]
	return taken, nil
}

// number reads an unsigned number of n bytes, n at most 8.
func (m *machine) number(n uint64) (uint64, error) {
	b, err := m.take(n)
	var whole [8]byte
	copy(whole[:], b)
	return binary.LittleEndian.Uint64(whole[:]), err
}

// counted reads bytes whose length comes before them, as a number of n bytes.
func (m *machine) counted(n uint64) ([]byte, error) {
	size, err := m.number(n)
	if err != nil {
		return nil, err
	}
	return m.take(size)
}

// line reads up to the end of a line.
func (m *machine) line() (string, error) {
	for i, c := range m.data {
		if c == '\n' {
			text := string(m.data[:i])
			m.data = m.data[i+1:]
			return text, nil
		}
	}
	return "", wrong("it is cut off")
}

func (m *machine) push(v any) { m.stack = append(m.stack, v) }

func (m *machine) pop() (any, error) {
	if len(m.stack) == 0 {
		return nil, wrong("its stack is empty")
	}
	v := m.stack[len(m.stack)-1]
	m.stack = m.stack[:len(m.stack)-1]
	return v, nil
}

// popMark takes what is above the last mark, and the mark.
func (m *machine) popMark() ([]any, error) {
	for i := len(m.stack) - 1; i >= 0; i-- {
		if _, ok := m.stack[i].(mark); ok {
			items := append([]any(nil), m.stack[i+1:]...)
			m.stack = m.stack[:i]
			return items, nil
		}
	}
	return nil, wrong("a mark is missing")
}

func (m *machine) top() any {
	if len(m.stack) == 0 {
		return nil
	}
	return m.stack[len(m.stack)-1]
}

func (m *machine) run() (any, error) {
	m.memo = map[uint64]any{}
	for {
		op, err := m.take(1)
		if err != nil {
			return nil, err
		}
		if op[0] == '.' {
			v, err := m.pop()
			if _, bad := v.(mark); bad || err != nil {
				return nil, wrong("it has no value")
			}
			return v, nil
		}
		if err := m.step(op[0]); err != nil {
			return nil, err
		}
	}
}

// long is a number in two's complement, little-endian.
func long(b []byte) any {
	reversed := make([]byte, len(b))
	for i, c := range b {
		reversed[len(b)-1-i] = c
	}
	n := new(big.Int).SetBytes(reversed)
	if len(b) > 0 && b[len(b)-1] >= 0x80 {
		n.Sub(n, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
	}
	return small(n)
}

func small(n *big.Int) any {
	if n.IsInt64() {
		return n.Int64()
	}
	return n
}
