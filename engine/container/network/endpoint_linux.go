package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strconv"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/gx-dev/gx/engine/container/thread"
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
	return n.attach(ctx, nil)
}

// AttachTo does the same with a namespace that exists, whoever owns it. On
// success the file belongs to the Endpoint.
func (n *Network) AttachTo(ctx context.Context, namespace *os.File) (*Endpoint, error) {
	return n.attach(ctx, namespace)
}

func (n *Network) attach(ctx context.Context, namespace *os.File) (*Endpoint, error) {
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
	if namespace == nil {
		err = thread.Do(e.make)
	} else if err = In(namespace, func() error { return e.plug(namespace) }); err == nil {
		e.namespace = namespace
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("connect a container to the network: %w", err), e.Close())
	}
	return e, nil
}

// In runs f on a thread that is in a network namespace.
func In(namespace *os.File, f func() error) error {
	return thread.Do(func() error {
		if err := unix.Setns(int(namespace.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("enter a network namespace: %w", err)
		}
		return f()
	})
}

// Loopback switches on the loopback interface of the calling thread's
// namespace.
func Loopback() error {
	inside, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("open a netlink socket in the new namespace: %w", err)
	}
	defer inside.Close()
	return loopback(inside)
}

func loopback(inside *netlink.Handle) error {
	lo, err := inside.LinkByName("lo")
	if err == nil {
		err = inside.LinkSetUp(lo)
	}
	if err != nil {
		return fmt.Errorf("switch on loopback: %w", err)
	}
	return nil
}

// make moves the calling thread into a new namespace and connects it.
func (e *Endpoint) make() error {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("unshare the network namespace: %w", err)
	}
	ns, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return err
	}
	e.namespace = ns
	return e.plug(ns)
}

// plug connects the calling thread's namespace, which is also open as ns.
func (e *Endpoint) plug(ns *os.File) error {
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
	if err := loopback(inside); err != nil {
		return err
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
