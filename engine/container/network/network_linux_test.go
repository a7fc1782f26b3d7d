package network

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/gx-dev/gx/engine/container/thread"
)

// The world of TestNetwork: a machine in namespaces of its own, whose uplink
// leads to one other machine.
const (
	machineVariable = "GX_TEST_MACHINE"
	uplinkMTUOfTest = 1380
	hostAddress     = "198.51.100.2"
	worldAddress    = "198.51.100.1"
	metadataAddress = "169.254.169.254"
)

// TestNetwork runs itself again as a process with its own network and mounts.
func TestNetwork(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("networks for containers need root")
	}
	if os.Getenv(machineVariable) != "" {
		testOnMachine(t)
		return
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestNetwork$", "-test.v", "-test.timeout=90s")
	cmd.Env = append(os.Environ(), machineVariable+"=1", "TMPDIR="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET, Unshareflags: unix.CLONE_NEWNS, Pdeathsig: unix.SIGKILL}
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	require.NoError(t, err)
}

func testOnMachine(t *testing.T) {
	ctx := context.Background()
	world := makeWorld(t)
	dockerLike(t)
	echoServer(t, "127.0.0.53:53") // what systemd-resolved is elsewhere
	resolv := filepath.Join(t.TempDir(), "resolv.conf")
	require.NoError(t, os.WriteFile(resolv, []byte("nameserver 127.0.0.53\nsearch example\n"), 0o644))
	require.NoError(t, unix.Mount(resolv, "/etc/resolv.conf", "", unix.MS_BIND, ""))
	service := echoServer(t, "0.0.0.0:7000")

	n, err := Open(ctx, "test")
	require.NoError(t, err)
	gateway := n.addresses.gateway()
	assert.Equal(t, uplinkMTUOfTest, n.mtu)
	assert.Equal(t, fmt.Sprintf("search example\nnameserver %s\n", gateway), string(n.ResolvConf()))
	assert.False(t, n.Subnet().Overlaps(netip.MustParsePrefix("10.0.0.0/9")), "the machine has a route there")

	one, err := n.Attach(ctx)
	require.NoError(t, err)
	two, err := n.Attach(ctx)
	require.NoError(t, err)
	require.NotEqual(t, one.Address(), two.Address())

	inside(t, one, func() {
		// Out, with the host's address.
		answer, err := question("tcp4", netip.MustParseAddrPort(worldAddress+":8000"), "?")
		assert.NoError(t, err)
		assert.Equal(t, hostAddress, answer)
		// Names, by the forwarder.
		for _, network := range []string{"udp4", "tcp4"} {
			answer, err := question(network, netip.AddrPortFrom(gateway, 53), "idname")
			assert.NoError(t, err, network)
			assert.Equal(t, "NAME", answer[min(2, len(answer)):], network)
		}
		// Not to the host, the neighbour, or the machine's identity.
		for _, to := range []netip.AddrPort{
			netip.AddrPortFrom(gateway, service.Port()), netip.AddrPortFrom(netip.MustParseAddr(hostAddress), service.Port()),
			netip.AddrPortFrom(two.Address(), 9000), netip.MustParseAddrPort(metadataAddress + ":80"),
		} {
			conn, err := dial(to.String())
			assert.Error(t, err, to)
			if err == nil {
				conn.Close()
			}
		}
		// But to the name server at a link-local address that some clouds have.
		answer, err = question("tcp4", netip.MustParseAddrPort(metadataAddress+":53"), "?")
		assert.NoError(t, err)
		assert.Equal(t, hostAddress, answer)
		eth, err := net.InterfaceByName("eth0")
		if assert.NoError(t, err) {
			assert.Equal(t, uplinkMTUOfTest, eth.MTU)
			addrs, err := eth.Addrs()
			assert.NoError(t, err)
			assert.Len(t, addrs, 1, "no IPv6: %v", addrs)
		}
	}, func() {
		l, err := new(net.ListenConfig).Listen(context.Background(), "tcp4", ":9000")
		if assert.NoError(t, err) {
			t.Cleanup(func() { l.Close() })
		}
	}, two)

	// The world can't come in uninvited, even if it knows the way.
	world(func() {
		conn, err := dial(netip.AddrPortFrom(two.Address(), 9000).String())
		assert.Error(t, err)
		if err == nil {
			conn.Close()
		}
	})

	// A crash leaves the network; the next Open takes it over.
	n.forward.close()
	n.forward = nil
	again, err := Open(ctx, "test")
	require.NoError(t, err)
	assert.Equal(t, n.Subnet(), again.Subnet())
	third, err := again.Attach(ctx)
	require.NoError(t, err)
	inside(t, third, func() {
		_, err := question("tcp4", netip.MustParseAddrPort(worldAddress+":8000"), "?")
		assert.NoError(t, err)
	}, nil, nil)
	assert.Equal(t, 2, foreignRules(t))
	one.namespace.Close()
	two.namespace.Close()

	other, err := Open(ctx, "other")
	require.NoError(t, err)
	assert.False(t, other.Subnet().Overlaps(again.Subnet()))
	fourth, err := other.Attach(ctx)
	require.NoError(t, err)
	inside(t, third, func() {
		conn, err := dial(netip.AddrPortFrom(fourth.Address(), 9000).String())
		assert.Error(t, err, "another host's container")
		if err == nil {
			conn.Close()
		}
	}, func() {
		l, err := new(net.ListenConfig).Listen(context.Background(), "tcp4", ":9000")
		if assert.NoError(t, err) {
			t.Cleanup(func() { l.Close() })
		}
	}, fourth)
	require.NoError(t, fourth.Close())
	require.NoError(t, other.Close())
	require.NoError(t, third.Close())
	require.NoError(t, again.Close())
	require.NoError(t, Remove("test"))
	assert.Zero(t, foreignRules(t))
	links, err := net.Interfaces()
	require.NoError(t, err)
	for _, l := range links {
		assert.False(t, strings.HasPrefix(l.Name, "gx-") || strings.HasPrefix(l.Name, "gv"), l.Name)
	}
}

// makeWorld connects this process's empty namespace with another one, and
// returns how to run something there.
func makeWorld(t *testing.T) func(func()) {
	t.Helper()
	ready, work := make(chan int), make(chan func())
	thread.Go(func() {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			panic(err)
		}
		ready <- unix.Gettid()
		for f := range work {
			f()
		}
	})
	world := func(f func()) {
		done := make(chan struct{})
		work <- func() { defer close(done); f() }
		<-done
	}
	tid := <-ready
	must := func(errs ...error) { t.Helper(); require.NoError(t, errors.Join(errs...)) }
	address := func(link netlink.Link, text string) error {
		addr, err := netlink.ParseAddr(text)
		return errors.Join(err, netlink.AddrAdd(link, addr), netlink.LinkSetUp(link))
	}
	link := func(name string) netlink.Link {
		l, err := netlink.LinkByName(name)
		require.NoError(t, err)
		return l
	}
	must(netlink.LinkSetUp(link("lo")))
	must(netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "uplink", MTU: uplinkMTUOfTest}, PeerName: "down", PeerNamespace: netlink.NsPid(tid)}))
	must(address(link("uplink"), hostAddress+"/24"))
	must(netlink.RouteAdd(&netlink.Route{Gw: net.ParseIP(worldAddress)}))
	// A route that a subnet must keep clear of.
	_, half, _ := net.ParseCIDR("10.0.0.0/9")
	must(netlink.RouteAdd(&netlink.Route{Dst: half, Gw: net.ParseIP(worldAddress), Table: 77}))
	world(func() {
		down := link("down")
		must(address(down, worldAddress+"/24"), address(down, metadataAddress+"/32"))
		must(netlink.RouteAdd(&netlink.Route{Gw: net.ParseIP(hostAddress)}))
		for _, port := range []string{":8000", ":80", ":53"} {
			l, err := new(net.ListenConfig).Listen(context.Background(), "tcp4", port)
			must(err)
			t.Cleanup(func() { l.Close() })
			go func() {
				for {
					conn, err := l.Accept()
					if err != nil {
						return
					}
					host, _, _ := net.SplitHostPort(conn.RemoteAddr().String())
					_, _ = io.WriteString(conn, host)
					conn.Close()
				}
			}()
		}
	})
	return world
}

// dockerLike adds a chain that drops what is forwarded, as Docker does.
func dockerLike(t *testing.T) {
	t.Helper()
	c, err := nftables.New()
	require.NoError(t, err)
	drop := nftables.ChainPolicyDrop
	table := c.AddTable(&nftables.Table{Family: nftables.TableFamilyIPv4, Name: "filter"})
	c.AddChain(&nftables.Chain{Name: "FORWARD", Table: table, Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookForward, Priority: nftables.ChainPriorityFilter, Policy: &drop})
	require.NoError(t, c.Flush())
}

// dial connects, or finds soon that it can't.
func dial(to string) (net.Conn, error) {
	d := net.Dialer{Timeout: 300 * time.Millisecond}
	return d.DialContext(context.Background(), "tcp4", to)
}

// foreignRules counts what gx has put into that chain.
func foreignRules(t *testing.T) int {
	t.Helper()
	c, err := nftables.New()
	require.NoError(t, err)
	table := &nftables.Table{Family: nftables.TableFamilyIPv4, Name: "filter"}
	rules, err := c.GetRules(table, &nftables.Chain{Name: "FORWARD", Table: table})
	require.NoError(t, err)
	return len(rules)
}

// inside runs f in an endpoint's namespace, after before in another's.
func inside(t *testing.T, e *Endpoint, f, before func(), other *Endpoint) {
	t.Helper()
	in := func(e *Endpoint, f func()) {
		if err := In(e.Namespace(), func() error { f(); return nil }); err != nil {
			t.Error(err)
		}
	}
	if other != nil {
		in(other, before)
	}
	in(e, f)
}

func TestCheck(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	assert.NoError(t, Check())
}

func TestSettled(t *testing.T) {
	asked := 0
	got, err := settled(func() ([]int, error) {
		if asked++; asked < 3 {
			return []int{1}, netlink.ErrDumpInterrupted
		}
		return []int{1, 2}, nil
	})
	if err != nil || len(got) != 2 || asked != 3 {
		t.Errorf("%v %v after %d", got, err, asked)
	}
	asked = 0
	if _, err := settled(func() ([]int, error) { asked++; return nil, unix.EPERM }); !errors.Is(err, unix.EPERM) || asked != 1 {
		t.Errorf("%v after %d", err, asked)
	}
}
