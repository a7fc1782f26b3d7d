package network

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestChooseSubnet(t *testing.T) {
	first, err := chooseSubnet("a", 0, nil)
	require.NoError(t, err)
	assert.Equal(t, 16, first.Bits())
	assert.True(t, first.Addr().IsPrivate())

	again, err := chooseSubnet("a", 0, []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("192.168.0.0/16")})
	require.NoError(t, err)
	assert.Equal(t, first, again, "the same name gets the same subnet if it is free")

	for _, taken := range []netip.Prefix{first, netip.PrefixFrom(first.Addr().Next(), 32), netip.PrefixFrom(first.Addr(), 12).Masked()} {
		other, err := chooseSubnet("a", 0, []netip.Prefix{taken})
		require.NoError(t, err)
		assert.False(t, other.Overlaps(taken), "%v and %v", other, taken)
	}
	moved, err := chooseSubnet("a", 1, nil)
	require.NoError(t, err)
	assert.NotEqual(t, first, moved)

	_, err = chooseSubnet("a", 0, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")})
	assert.ErrorContains(t, err, "10.0.0.0/8")
}

func TestPool(t *testing.T) {
	p := pool{subnet: netip.MustParsePrefix("10.9.0.0/29")}
	assert.Equal(t, "10.9.0.1", p.gateway().String())
	seen := map[netip.Addr]uint32{}
	for range 5 { // .2 to .6
		n, addr, err := p.take()
		require.NoError(t, err)
		assert.NotContains(t, seen, addr)
		assert.True(t, p.subnet.Contains(addr))
		seen[addr] = n
	}
	assert.NotContains(t, seen, netip.MustParseAddr("10.9.0.1"))
	assert.NotContains(t, seen, netip.MustParseAddr("10.9.0.7"))
	_, _, err := p.take()
	assert.Error(t, err)
	p.put(seen[netip.MustParseAddr("10.9.0.4")])
	_, addr, err := p.take()
	require.NoError(t, err)
	assert.Equal(t, "10.9.0.4", addr.String())

	// A returned address is reused last.
	p = pool{subnet: netip.MustParsePrefix("10.9.0.0/24")}
	n, first, err := p.take()
	require.NoError(t, err)
	p.put(n)
	_, second, err := p.take()
	require.NoError(t, err)
	assert.NotEqual(t, first, second)
}
