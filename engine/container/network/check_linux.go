package network

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/gx-dev/gx/engine/container/thread"
)

// Check tries out, in a network namespace that is thrown away, whether this
// machine can carry a Network. The error says what it lacks.
func Check() error { return thread.Do(check) }

func check() error {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("make a network namespace: %w", err)
	}
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("open a netlink socket: %w", err)
	}
	defer h.Close()
	bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: bridgeName("check"), TxQLen: -1}}
	if err := h.LinkAdd(bridge); err != nil {
		return fmt.Errorf("make a bridge: %w", err)
	}
	pair := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: portPrefix("check"), TxQLen: -1}, PeerName: "eth0"}
	if err := h.LinkAdd(pair); err != nil {
		return fmt.Errorf("make a pair of virtual interfaces: %w", err)
	}
	if err := errors.Join(h.LinkSetMaster(pair, bridge), h.LinkSetIsolated(pair, true)); err != nil {
		return fmt.Errorf("plug an isolated interface into a bridge: %w", err)
	}
	fw := firewall{table: tableName("check"), bridge: bridge.Name, subnet: netip.MustParsePrefix("10.0.0.0/16"), gateway: netip.MustParseAddr("10.0.0.1"), resolves: true}
	return fw.install()
}
