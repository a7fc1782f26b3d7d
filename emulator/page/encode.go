package page

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
)

// Encode makes a new page, of cards that nobody uses yet. It fails if a text
// does not fit or the number of cards is wrong.
func Encode(h Header, cards []Card) ([]byte, error) {
	if len(cards) == 0 || len(cards) > MaxCards {
		return nil, fmt.Errorf("a page describes 1 to %d cards, not %d", MaxCards, len(cards))
	}
	b := make([]byte, Size)
	copy(b, Magic)
	put32(b[offVersion:], Version)
	put32(b[offCards:], len(cards))
	put32(b[offCUDA:], h.CUDA)
	err := errors.Join(
		putText(b[offDriver:offNVML], h.Driver),
		putText(b[offNVML:offCUDA], h.NVML),
	)
	for i, c := range cards {
		err = errors.Join(err, encodeCard(b[HeaderSize+i*CardSize:][:CardSize], c))
	}
	if err != nil {
		return nil, err
	}
	return b, nil
}

func encodeCard(b []byte, c Card) error {
	binary.LittleEndian.PutUint64(b[offMemory:], c.Memory)
	binary.LittleEndian.PutUint64(b[offReserved:], c.Reserved)
	binary.LittleEndian.PutUint64(b[offCUDAMemory:], c.CUDAMemory)
	put32(b[offCapability:], c.Major<<8|c.Minor)
	put32(b[offArchitecture:], c.Architecture)
	put32(b[offSMs:], c.SMs)
	put32(b[offMaxClock:], c.MaxClock)
	put32(b[offMaxMemClock:], c.MaxMemClock)
	put32(b[offBusWidth:], c.BusWidth)
	put32(b[offPowerLimit:], c.PowerLimit)
	return errors.Join(
		putText(b[offName:offUUID], c.Name),
		putText(b[offUUID:offMemory], c.UUID),
		putText(b[offBus:offUtil], c.Bus),
	)
}

// Decode reads what a page says of its cards that does not change.
func Decode(b []byte) (h Header, cards []Card, err error) {
	n, err := count(b)
	if err != nil {
		return Header{}, nil, err
	}
	h = Header{Driver: text(b[offDriver:offNVML]), NVML: text(b[offNVML:offCUDA]), CUDA: get32(b[offCUDA:])}
	for i := range n {
		c := b[HeaderSize+i*CardSize:][:CardSize]
		cards = append(cards, Card{
			Name: text(c[offName:offUUID]), UUID: text(c[offUUID:offMemory]), Bus: text(c[offBus:offUtil]),
			Memory:     binary.LittleEndian.Uint64(c[offMemory:]),
			Reserved:   binary.LittleEndian.Uint64(c[offReserved:]),
			CUDAMemory: binary.LittleEndian.Uint64(c[offCUDAMemory:]),
			Major:      get32(c[offCapability:]) >> 8, Minor: get32(c[offCapability:]) & 0xff,
			Architecture: get32(c[offArchitecture:]), SMs: get32(c[offSMs:]),
			MaxClock: get32(c[offMaxClock:]), MaxMemClock: get32(c[offMaxMemClock:]),
			BusWidth: get32(c[offBusWidth:]), PowerLimit: get32(c[offPowerLimit:]),
		})
	}
	return h, cards, nil
}

// count is how many cards a page has, if it is one.
func count(b []byte) (int, error) {
	switch {
	case len(b) != Size:
		return 0, fmt.Errorf("not a page: it has %d bytes, and not %d", len(b), Size)
	case string(b[:len(Magic)]) != Magic:
		return 0, errors.New("not a page: it begins otherwise")
	case get32(b[offVersion:]) != Version:
		return 0, fmt.Errorf("a page of version %d, and this is for version %d", get32(b[offVersion:]), Version)
	}
	n := get32(b[offCards:])
	if n < 1 || n > MaxCards {
		return 0, fmt.Errorf("a page of %d cards; there may be 1 to %d", n, MaxCards)
	}
	return n, nil
}

func put32(b []byte, n int) { binary.LittleEndian.PutUint32(b, uint32(max(n, 0))) }

func get32(b []byte) int { return int(binary.LittleEndian.Uint32(b)) }

func putText(b []byte, s string) error {
	if len(s) >= len(b) {
		return fmt.Errorf("%q is too long for a page, which has room for %d bytes", s, len(b)-1)
	}
	copy(b, s)
	return nil
}

func text(b []byte) string {
	s, _, _ := strings.Cut(string(b), "\x00")
	return s
}
