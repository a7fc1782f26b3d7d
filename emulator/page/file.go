package page

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

// File is the host's side of a page. Its methods write single fields, so they
// may be called while processes in the container write others; it is not safe
// for concurrent use by several goroutines.
type File struct {
	file  *os.File
	cards int
}

// Create makes the file of a page, which must not exist. Any user may write it,
// since who runs in a container is the image's affair; the folder that it is in
// has to keep others on the host away.
func Create(path string, h Header, cards []Card) (*File, error) {
	b, err := Encode(h, cards)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return nil, fmt.Errorf("make a page: %w", err)
	}
	if _, err = f.WriteAt(b, 0); err == nil {
		err = f.Chmod(0o666)
	}
	if err != nil {
		f.Close()
		os.Remove(path)
		return nil, fmt.Errorf("make a page: %w", err)
	}
	return &File{file: f, cards: len(cards)}, nil
}

// Open opens the file of a page.
func Open(path string) (*File, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("open a page: %w", err)
	}
	b := make([]byte, Size)
	n, _ := f.ReadAt(b, 0)
	cards, err := count(b[:n])
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return &File{file: f, cards: cards}, nil
}

// Close closes the file; the page stays.
func (f *File) Close() error { return f.file.Close() }

// Trim cuts off what a process in the container has written behind the page:
// nothing else bounds how long it makes the file.
func (f *File) Trim() error {
	info, err := f.file.Stat()
	if err == nil && info.Size() > Size {
		err = f.file.Truncate(Size)
	}
	if err != nil {
		return fmt.Errorf("trim a page: %w", err)
	}
	return nil
}

// Cards is how many cards the page has.
func (f *File) Cards() int { return f.cards }

// Set says how a card is.
func (f *File) Set(card int, r Reading) error {
	var b [20]byte
	for i, v := range []int{r.Utilisation, r.MemoryUtilisation, r.Temperature, r.Power} {
		put32(b[4*i:], v)
	}
	if err := f.write(card, offUtil, b[:16]); err != nil {
		return err
	}
	for i, v := range []int{r.Clock, r.MemoryClock, r.Throttle} {
		put32(b[4*i:], v)
	}
	return f.write(card, offClock, b[:12])
}

// Fail gives a card a fault.
func (f *File) Fail(card int, fault Fault) error {
	if fault == ECC {
		if err := f.increase(card, offECC); err != nil {
			return err
		}
	}
	return f.write32(card, offFault, uint32(fault))
}

// Fault is what is wrong with a card now.
func (f *File) Fault(card int) (Fault, error) {
	n, err := f.read32(card, offFault)
	return Fault(n), err
}

// Xid tells of an Xid error of a card.
func (f *File) Xid(card, number int) error {
	if err := f.write32(card, offXid, uint32(number)); err != nil {
		return err
	}
	return f.increase(card, offXids)
}

// Usage is what processes say of a card.
type Usage struct {
	Processes  []Process
	Memory     uint64 // bytes, of all
	Peak       uint64 // bytes
	Operations uint64
}

// Usage reads what processes say of a card. Alive says whether there is such a
// process in the container; nil = all are taken to be.
func (f *File) Usage(card int, alive func(pid int) bool) (Usage, error) {
	var b [CardSize]byte
	if err := f.read(card, 0, b[:]); err != nil {
		return Usage{}, err
	}
	u := Usage{
		Memory:     binary.LittleEndian.Uint64(b[offOverflow:]),
		Peak:       binary.LittleEndian.Uint64(b[offPeak:]),
		Operations: binary.LittleEndian.Uint64(b[offOperations:]),
	}
	for i := range Slots {
		slot := b[offSlots+i*SlotSize:]
		pid := get32(slot)
		if pid == 0 || alive != nil && !alive(pid) {
			continue
		}
		p := Process{PID: pid, Memory: binary.LittleEndian.Uint64(slot[8:])}
		u.Processes = append(u.Processes, p)
		u.Memory += p.Memory
	}
	u.Peak = max(u.Peak, u.Memory)
	return u, nil
}

// Occupy has a process of the given id use memory of a card, as a process in the
// container would.
func (f *File) Occupy(card, slot, pid int, bytes uint64) error {
	if slot < 0 || slot >= Slots {
		return fmt.Errorf("a card has %d slots, and no slot %d", Slots, slot)
	}
	var b [SlotSize]byte
	put32(b[:], pid)
	binary.LittleEndian.PutUint64(b[8:], bytes)
	return f.write(card, offSlots+slot*SlotSize, b[:])
}

func (f *File) increase(card, offset int) error {
	n, err := f.read32(card, offset)
	if err != nil {
		return err
	}
	return f.write32(card, offset, n+1)
}

func (f *File) read32(card, offset int) (uint32, error) {
	var b [4]byte
	err := f.read(card, offset, b[:])
	return binary.LittleEndian.Uint32(b[:]), err
}

func (f *File) write32(card, offset int, n uint32) error {
	return f.write(card, offset, binary.LittleEndian.AppendUint32(nil, n))
}

func (f *File) read(card, offset int, b []byte) error {
	at, err := f.at(card, offset)
	if err != nil {
		return err
	}
	// A process in the container may have cut the file off: the rest is zeros.
	if n, err := f.file.ReadAt(b, at); errors.Is(err, io.EOF) {
		clear(b[n:])
	} else if err != nil {
		return fmt.Errorf("read a page: %w", err)
	}
	return nil
}

func (f *File) write(card, offset int, b []byte) error {
	at, err := f.at(card, offset)
	if err != nil {
		return err
	}
	if _, err := f.file.WriteAt(b, at); err != nil {
		return fmt.Errorf("write a page: %w", err)
	}
	return nil
}

func (f *File) at(card, offset int) (int64, error) {
	if card < 0 || card >= f.cards {
		return 0, fmt.Errorf("the page has %d cards, and no card %d", f.cards, card)
	}
	return int64(HeaderSize + card*CardSize + offset), nil
}
