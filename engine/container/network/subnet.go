package network

import (
	"errors"
	"hash/fnv"
	"net/netip"
)

// prefixBits is the size of a network: 65,533 endpoints at once.
const prefixBits = 16

// chooseSubnet picks a private network that overlaps none of the taken ones.
// seed decides where the search begins, so that several networks on one
// machine rarely want the same. attempt moves the beginning.
func chooseSubnet(seed string, attempt int, taken []netip.Prefix) (netip.Prefix, error) {
	h := fnv.New32a()
	h.Write([]byte(seed))
	start := int(h.Sum32()%256) + 97*attempt
	for i := range 256 {
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(start + i), 0, 0}), prefixBits)
		free := true
		for _, t := range taken {
			// A default route overlaps everything and says nothing.
			if t.Bits() > 0 && t.Overlaps(p) {
				free = false
				break
			}
		}
		if free {
			return p, nil
		}
	}
	return netip.Prefix{}, errors.New("every /16 network in 10.0.0.0/8 overlaps a route or address of this machine; free one, or run containers with the host's network")
}

// pool hands out the addresses of a subnet. Recently returned ones are reused
// last, so that late packets for one container do not reach another.
type pool struct {
	subnet netip.Prefix
	next   uint32
	used   map[uint32]bool
}

// gateway is the first address; it is never handed out.
func (p *pool) gateway() netip.Addr { return p.nth(1) }

func (p *pool) nth(n uint32) netip.Addr {
	b := p.subnet.Addr().As4()
	v := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
	v += n
	return netip.AddrFrom4([4]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)})
}

func (p *pool) take() (n uint32, addr netip.Addr, err error) {
	size := uint32(1) << (32 - p.subnet.Bits())
	if p.used == nil {
		p.used, p.next = map[uint32]bool{}, 2
	}
	for range size {
		n := p.next
		p.next++
		if p.next >= size-1 { // the last is the broadcast address
			p.next = 2
		}
		if n >= 2 && n < size-1 && !p.used[n] {
			p.used[n] = true
			return n, p.nth(n), nil
		}
	}
	return 0, netip.Addr{}, errors.New("every address of the containers' network is in use")
}

func (p *pool) put(n uint32) { delete(p.used, n) }
