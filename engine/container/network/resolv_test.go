package network

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestResolvConf(t *testing.T) {
	c := parseResolvConf("# made by hand\nnameserver 127.0.0.53\nnameserver 10.0.0.53 # second\n nameserver fe80::1%eth0\nnameserver ::ffff:9.9.9.9\nnameserver 8.8.8.8\noptions edns0  trust-ad\nsearch corp.example lan\nnameserver nonsense\nbogus line\n")
	assert.Equal(t, []netip.Addr{netip.MustParseAddr("127.0.0.53"), netip.MustParseAddr("10.0.0.53"), netip.MustParseAddr("fe80::1%eth0")}, c.servers, "the first three")
	assert.Equal(t, []netip.Addr{netip.MustParseAddr("10.0.0.53")}, c.reachable())
	assert.Equal(t, "options edns0 trust-ad\nsearch corp.example lan\nnameserver 10.1.0.1\n", string(c.text([]netip.Addr{netip.MustParseAddr("10.1.0.1")})))
	assert.Empty(t, parseResolvConf("nameserver 127.0.0.1\nnameserver ::1\n").reachable())
}

func FuzzParseResolvConf(f *testing.F) {
	f.Add("nameserver 1.2.3.4\nsearch a b\n")
	f.Add("nameserver\x00 ::1%\n\r\n\toptions")
	f.Fuzz(func(t *testing.T, text string) {
		c := parseResolvConf(text)
		again := parseResolvConf(string(c.text(c.servers)))
		assert.Equal(t, c.servers, again.servers)
		assert.Equal(t, c.other, again.other)
	})
}

// echoServer answers UDP and TCP questions with themselves in capitals.
func echoServer(t *testing.T, addr string) netip.AddrPort {
	t.Helper()
	udp, tcp, err := listenBoth(netip.MustParseAddrPort(addr))
	require.NoError(t, err)
	t.Cleanup(func() { udp.Close() })
	t.Cleanup(func() { tcp.Close() })
	go func() {
		buf := make([]byte, 512)
		for {
			n, from, err := udp.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = udp.WriteTo([]byte("stray"), from) // an answer to something else
			_, _ = udp.WriteTo(append(append([]byte(nil), buf[:2]...), strings.ToUpper(string(buf[2:n]))...), from)
		}
	}()
	go func() {
		for {
			conn, err := tcp.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				buf := make([]byte, 512)
				if n, err := conn.Read(buf); err == nil {
					_, _ = conn.Write([]byte(strings.ToUpper(string(buf[:n]))))
				}
			}()
		}
	}()
	return udp.LocalAddr().(*net.UDPAddr).AddrPort()
}

// question asks a server and returns the answer.
func question(network string, to netip.AddrPort, text string) (string, error) {
	conn, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(context.Background(), network, to.String())
	if err != nil {
		return "", err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(15 * time.Second))
	if _, err := conn.Write([]byte(text)); err != nil {
		return "", err
	}
	buf := make([]byte, 512)
	n, err := conn.Read(buf)
	return string(buf[:n]), err
}

func TestForwarder(t *testing.T) {
	server := echoServer(t, "127.0.0.1:0")
	gone := netip.MustParseAddrPort("127.0.0.1:1") // a port that nobody is given by chance
	f, err := forward(netip.MustParseAddrPort("127.0.0.1:0"), []netip.AddrPort{gone, server})
	require.NoError(t, err)
	for _, network := range []string{"udp4", "tcp4"} {
		answer, err := question(network, f.addr(), "idabc")
		assert.NoError(t, err, network)
		assert.Equal(t, "ABC", answer[2:], network)
	}
	// Closing does not wait for a connection that says nothing.
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp4", f.addr().String())
	require.NoError(t, err)
	defer conn.Close()
	closed := make(chan struct{})
	go func() { f.close(); close(closed) }()
	select {
	case <-closed:
	case <-time.After(25 * time.Second): // a stream may last for 30 s
		t.Fatal("the forwarder does not close")
	}
	_, err = forward(netip.MustParseAddrPort("127.0.0.1:0"), nil)
	assert.Error(t, err)
}
