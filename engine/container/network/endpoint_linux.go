package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Endpoint is a network namespace that is plugged into a Network.
type Endpoint struct {
	network   *Network
	namespace *os.File
	number    uint32
	address   netip.Addr
	port      string // the host's end
}

// Attach makes a namespace with a loopback and an interface eth0 that leads
// out. The namespace lives while Namespace is open or something uses it.
func (n *Network) Attach(ctx context.Context) (*Endpoint, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	n.mu.Lock()
	number, address, err := n.addresses.take()
	n.mu.Unlock()
	if err != nil {
		return nil, err
	}
	e := &Endpoint{network: n, number: number, address: address, port: portPrefix(n.key) + strconv.FormatUint(uint64(number), 36)}
	done := make(chan error, 1)
	go func() {
		// The thread's namespace can't be put back for certain, so the thread
		// ends with this goroutine.
		runtime.LockOSThread()
		done <- e.make()
	}()
	if err := <-done; err != nil {
		return nil, errors.Join(fmt.Errorf("connect a container to the network: %w", err), e.Close())
	}
	return e, nil
}

// make runs on a thread of its own and moves it into a new namespace.
func (e *Endpoint) make() error {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("unshare the network namespace: %w", err)
	}
	ns, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return err
	}
	e.namespace = ns
	inside, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("open a netlink socket in the new namespace: %w", err)
	}
	defer inside.Close()

	const name = "eth0"
	host := e.network.host
	pair := &netlink.Veth{
		LinkAttrs:     netlink.LinkAttrs{Name: e.port, MTU: e.network.mtu, TxQLen: 1000},
		PeerName:      name,
		PeerNamespace: netlink.NsFd(ns.Fd()),
	}
	if err := host.LinkAdd(pair); err != nil {
		return fmt.Errorf("create interface %s: %w", e.port, err)
	}
	disableIPv6(e.port)
	if err := host.LinkSetMaster(pair, e.network.bridge); err != nil {
		return fmt.Errorf("plug %s into the bridge: %w", e.port, err)
	}
	if err := host.LinkSetIsolated(pair, true); err != nil {
		return fmt.Errorf("isolate %s from its neighbours: %w", e.port, err)
	}
	if err := host.LinkSetUp(pair); err != nil {
		return fmt.Errorf("switch on %s: %w", e.port, err)
	}
	lo, err := inside.LinkByName("lo")
	if err == nil {
		err = inside.LinkSetUp(lo)
	}
	if err != nil {
		return fmt.Errorf("switch on loopback: %w", err)
	}
	eth, err := inside.LinkByName(name)
	if err != nil {
		return fmt.Errorf("find %s in the new namespace: %w", name, err)
	}
	addr := &netlink.Addr{IPNet: &net.IPNet{IP: e.address.AsSlice(), Mask: net.CIDRMask(prefixBits, 32)}}
	if err := inside.AddrAdd(eth, addr); err != nil {
		return fmt.Errorf("give %s the address %s: %w", name, e.address, err)
	}
	disableIPv6(name) // this thread's /proc/sys/net is the new namespace's
	if err := inside.LinkSetUp(eth); err != nil {
		return fmt.Errorf("switch on %s: %w", name, err)
	}
	gateway := net.IP(e.network.addresses.gateway().AsSlice())
	if err := inside.RouteAdd(&netlink.Route{LinkIndex: eth.Attrs().Index, Gw: gateway}); err != nil {
		return fmt.Errorf("add the default route: %w", err)
	}
	return nil
}

// Namespace is the open namespace.
func (e *Endpoint) Namespace() *os.File { return e.namespace }

// Address is the endpoint's address.
func (e *Endpoint) Address() netip.Addr { return e.address }

// Close gives the namespace up and waits until the kernel has taken the
// interfaces away, which it does once nothing uses the namespace. It is to be
// called once.
func (e *Endpoint) Close() error {
	if e.namespace != nil {
		e.namespace.Close()
	}
	// Deleting the interface at once would hold the kernel's one network lock
	// for tens of milliseconds per container; its own clean-up takes many
	// namespaces together.
	gone := e.awaitGone(2 * time.Second)
	var err error
	if !gone {
		err = deleteLink(e.network.host, e.port)
	}
	if err == nil {
		e.network.mu.Lock()
		e.network.addresses.put(e.number)
		e.network.mu.Unlock()
	}
	return err
}

// awaitGone waits until the host's end of the pair is gone, and reports
// whether it is.
func (e *Endpoint) awaitGone(most time.Duration) bool {
	deadline := time.Now().Add(most)
	for wait := 4 * time.Millisecond; ; wait = min(2*wait, 20*time.Millisecond) {
		if _, err := e.network.host.LinkByName(e.port); errors.As(err, &netlink.LinkNotFoundError{}) {
			return true
		}
		if time.Now().After(deadline) {
			return false
		}
		time.Sleep(wait)
	}
}
