package pickle

import (
	"encoding/binary"
	"math"
	"math/big"
	"strconv"
	"strings"
)

// maxLong is the most bytes of an integer that is read: turning it into digits
// takes time that grows with the square of its length.
const maxLong = 4096

// step runs one operation.
func (m *machine) step(op byte) error {
	switch op {
	case 0x80: // PROTO
		return m.skip(1)
	case 0x95: // FRAME
		return m.skip(8)
	case '(': // MARK
		m.push(mark{})
	case '0': // POP
		_, err := m.pop()
		return err
	case '1': // POP_MARK
		_, err := m.popMark()
		return err
	case '2': // DUP
		m.push(m.top())
	case 'N': // NONE
		m.push(nil)
	case 0x88, 0x89: // NEWTRUE, NEWFALSE
		m.push(op == 0x88)
	case 'I', 'L', 'F', 'S', 'V': // INT, LONG, FLOAT, STRING, UNICODE: text
		return m.text(op)
	case 'J', 'K', 'M', 'G': // BININT, BININT1, BININT2, BINFLOAT
		return m.fixed(op)
	case 0x8a, 0x8b: // LONG1, LONG4
		b, err := m.counted(map[byte]uint64{0x8a: 1, 0x8b: 4}[op])
		if err == nil && len(b) > maxLong {
			err = wrong("it has a number of %d bytes", len(b))
		}
		m.push(long(b))
		return err
	case 0x8c, 'X', 0x8d, 'U', 'T': // SHORT_BINUNICODE, BINUNICODE, BINUNICODE8, SHORT_BINSTRING, BINSTRING
		b, err := m.counted(map[byte]uint64{0x8c: 1, 'X': 4, 0x8d: 8, 'U': 1, 'T': 4}[op])
		m.push(string(b))
		return err
	case 'C', 'B', 0x8e, 0x96: // SHORT_BINBYTES, BINBYTES, BINBYTES8, BYTEARRAY8
		b, err := m.counted(map[byte]uint64{'C': 1, 'B': 4, 0x8e: 8, 0x96: 8}[op])
		m.push(Bytes{b, op == 0x96})
		return err
	case 'p', 'q', 'r', 0x94, 'g', 'h', 'j': // PUT, BINPUT, LONG_BINPUT, MEMOIZE, GET, BINGET, LONG_BINGET
		return m.remember(op)
	case ']', ')', '}', 0x8f, 'l', 't', 'd', 0x91, 0x85, 0x86, 0x87: // EMPTY_LIST, ...
		return m.collect(op)
	case 'a', 'e', 's', 'u', 0x90: // APPEND, APPENDS, SETITEM, SETITEMS, ADDITEMS
		return m.extend(op)
	default:
		return m.object(op)
	}
	return nil
}

func (m *machine) skip(n uint64) error {
	_, err := m.take(n)
	return err
}

func (m *machine) text(op byte) error {
	text, err := m.line()
	if err != nil {
		return err
	}
	switch op {
	case 'I', 'L':
		switch text {
		case "00", "01":
			m.push(text == "01")
			return nil
		}
		n, ok := new(big.Int).SetString(strings.TrimSuffix(text[:min(len(text), maxLong)], "L"), 10)
		if !ok {
			return wrong("%.20q is no number", text)
		}
		m.push(small(n))
	case 'F':
		f, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return wrong("%.20q is no number", text)
		}
		m.push(f)
	case 'S':
		m.push(strings.Trim(text, `'"`))
	default:
		m.push(text)
	}
	return nil
}

func (m *machine) fixed(op byte) error {
	size := map[byte]uint64{'J': 4, 'K': 1, 'M': 2, 'G': 8}[op]
	b, err := m.take(size)
	if err != nil {
		return err
	}
	switch op {
	case 'J':
		m.push(int64(int32(binary.LittleEndian.Uint32(b))))
	case 'K':
		m.push(int64(b[0]))
	case 'M':
		m.push(int64(binary.LittleEndian.Uint16(b)))
	default:
		m.push(math.Float64frombits(binary.BigEndian.Uint64(b)))
	}
	return nil
}

func (m *machine) remember(op byte) (err error) {
	at := uint64(len(m.memo)) // MEMOIZE
	switch op {
	case 'p', 'g':
		text, failed := m.line()
		if failed != nil {
			return failed
		}
		if at, err = strconv.ParseUint(text, 10, 64); err != nil {
			return wrong("%.20q is no number", text)
		}
	case 'q', 'h':
		at, err = m.number(1)
	case 'r', 'j':
		at, err = m.number(4)
	}
	if err != nil {
		return err
	}
	switch op {
	case 'g', 'h', 'j':
		v, ok := m.memo[at]
		if !ok {
			return wrong("it refers to what it has not")
		}
		m.push(v)
	default:
		m.memo[at] = m.top()
	}
	return nil
}

// collect makes a list, tuple, dict or set.
func (m *machine) collect(op byte) (err error) {
	var items []any
	switch op {
	case 'l', 't', 'd', 0x91:
		if items, err = m.popMark(); err != nil {
			return err
		}
	case 0x85, 0x86, 0x87:
		n := int(op) - 0x84
		if len(m.stack) < n {
			return wrong("its stack is empty")
		}
		items = append(items, m.stack[len(m.stack)-n:]...)
		m.stack = m.stack[:len(m.stack)-n]
	}
	switch op {
	case ']', 'l':
		m.push(&List{items})
	case '}', 'd':
		d := &Dict{}
		m.push(d)
		return d.add(items)
	case 0x8f, 0x91:
		m.push(&Set{items, op == 0x91})
	default:
		m.push(Tuple(items))
	}
	return nil
}

func (d *Dict) add(items []any) error {
	if len(items)%2 != 0 {
		return wrong("a key has no value")
	}
	for i := 0; i < len(items); i += 2 {
		d.Keys, d.Values = append(d.Keys, items[i]), append(d.Values, items[i+1])
	}
	return nil
}

// extend adds to what is beneath on the stack. What an object is extended by is dropped.
func (m *machine) extend(op byte) (err error) {
	var items []any
	switch op {
	case 'a', 's':
		n := map[byte]int{'a': 1, 's': 2}[op]
		if len(m.stack) < n+1 {
			return wrong("its stack is empty")
		}
		items = append(items, m.stack[len(m.stack)-n:]...)
		m.stack = m.stack[:len(m.stack)-n]
	default:
		if items, err = m.popMark(); err != nil {
			return err
		}
	}
	switch to := m.top().(type) {
	case *List:
		to.Items = append(to.Items, items...)
	case *Set:
		to.Items = append(to.Items, items...)
	case *Dict:
		return to.add(items)
	}
	return nil
}

// object runs the operations that make other objects: their names are kept.
func (m *machine) object(op byte) error {
	drop, marked := 0, false
	name := Object{Name: "object"}
	switch op {
	case 'c', 'i': // GLOBAL, INST
		module, err := m.line()
		if err != nil {
			return err
		}
		class, err := m.line()
		if err != nil {
			return err
		}
		name, marked = Object{module + "." + class, op == 'c'}, op == 'i'
	case 0x93: // STACK_GLOBAL
		if len(m.stack) < 2 {
			return wrong("its stack is empty")
		}
		module, ok := m.stack[len(m.stack)-2].(string)
		class, ok2 := m.top().(string)
		if !ok || !ok2 {
			return wrong("a name is no string")
		}
		name, drop = Object{module + "." + class, true}, 2
	case 'R', 0x81: // REDUCE, NEWOBJ: a callable, its arguments
		return m.made(2, 1)
	case 0x92: // NEWOBJ_EX: and named arguments
		return m.made(3, 2)
	case 'o': // OBJ
		items, err := m.popMark()
		if err != nil || len(items) == 0 {
			return wrong("a class is missing")
		}
		m.push(instance(items[0]))
		return nil
	case 'b': // BUILD: its state is dropped
		_, err := m.pop()
		return err
	case 'P': // PERSID
		_, err := m.line()
		m.push(Object{Name: "object"})
		return err
	case 'Q': // BINPERSID
		drop = 1
	case 0x82, 0x83, 0x84: // EXT1, EXT2, EXT4
		if err := m.skip(map[byte]uint64{0x82: 1, 0x83: 2, 0x84: 4}[op]); err != nil {
			return err
		}
	case 0x97: // NEXT_BUFFER
		name = Object{Name: "buffer"}
	case 0x98: // READONLY_BUFFER
		return nil
	default:
		return wrong("it has an unknown operation, %#x", op)
	}
	if marked {
		if _, err := m.popMark(); err != nil {
			return err
		}
	}
	for range drop {
		if _, err := m.pop(); err != nil {
			return err
		}
	}
	m.push(name)
	return nil
}

// made puts an object in the place of the topmost n things, of which the one
// below is its class or a function that makes it.
func (m *machine) made(n, below int) error {
	if len(m.stack) < n {
		return wrong("its stack is empty")
	}
	class := m.stack[len(m.stack)-1-below]
	m.stack = m.stack[:len(m.stack)-n]
	m.push(instance(class))
	return nil
}

func instance(class any) Object {
	if c, ok := class.(Object); ok {
		return Object{Name: c.Name}
	}
	return Object{Name: "object"}
}
