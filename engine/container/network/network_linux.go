package network

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Network is one bridge with its endpoints. It is safe for concurrent use.
type Network struct {
	key     string // 8 hexadecimal digits that tell networks of one machine apart
	host    *netlink.Handle
	bridge  netlink.Link
	mtu     int
	resolv  []byte
	forward *forwarder // nil where containers can ask the upstream servers themselves

	mu        sync.Mutex
	addresses pool
}

// subnetAttempts is how often Open picks another subnet when another process
// took the same one at the same moment.
const subnetAttempts = 8

// Open sets up the network of that name, or takes over what a crash left of
// it. Names only need to differ between networks that are open at once.
func Open(ctx context.Context, name string) (_ *Network, err error) {
	key := Key(name)
	n := &Network{key: key}
	if n.host, err = netlink.NewHandle(unix.NETLINK_ROUTE); err != nil {
		return nil, fmt.Errorf("open a netlink socket: %w", err)
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("set up the containers' network: %w", err)
			_ = n.Close()
		}
	}()
	if err := removeLinks(n.host, key); err != nil {
		return nil, err
	}
	if n.mtu, err = uplinkMTU(n.host); err != nil {
		return nil, err
	}
	for attempt := 0; ; attempt++ {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		done, err := n.makeBridge(attempt)
		if err != nil {
			return nil, err
		}
		if done {
			break
		}
		if attempt == subnetAttempts {
			return nil, fmt.Errorf("no subnet stays free for a moment: tried %d", attempt)
		}
	}
	if err := enableForwarding(); err != nil {
		return nil, err
	}
	conf, servers, err := hostResolver()
	if err != nil {
		return nil, err
	}
	resolvers := conf.reachable()
	if len(resolvers) == 0 {
		resolvers = []netip.Addr{n.addresses.gateway()}
	}
	n.resolv = conf.text(resolvers)
	forwards := len(servers) > 0
	fw := firewall{table: tableName(key), bridge: bridgeName(key), subnet: n.addresses.subnet, gateway: n.addresses.gateway(), resolves: forwards}
	if err := fw.install(); err != nil {
		return nil, err
	}
	if forwards {
		if n.forward, err = forward(netip.AddrPortFrom(n.addresses.gateway(), 53), servers); err != nil {
			return nil, err
		}
	}
	return n, nil
}

// Key is what the names of a network's interfaces and of its firewall table
// contain: 8 hexadecimal digits, as interface names have at most 15 bytes.
func Key(name string) string {
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:4])
}
func bridgeName(key string) string { return "gx-" + key }
func portPrefix(key string) string { return "gv" + key }
func tableName(key string) string  { return "gx-" + key }

// ResolvConf is the content of an endpoint's /etc/resolv.conf.
func (n *Network) ResolvConf() []byte { return n.resolv }

// Subnet is the network's address range.
func (n *Network) Subnet() netip.Prefix { return n.addresses.subnet }

// Close takes the network down. Its endpoints must be closed.
func (n *Network) Close() error {
	if n.forward != nil {
		n.forward.close()
	}
	err := errors.Join(removeFirewall(tableName(n.key)), removeLinks(n.host, n.key))
	n.host.Close()
	if err != nil {
		return fmt.Errorf("take down the containers' network: %w", err)
	}
	return nil
}

// Remove takes down what a crash left of the network of that name.
func Remove(name string) error {
	host, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("open a netlink socket: %w", err)
	}
	defer host.Close()
	key := Key(name)
	if err := errors.Join(removeFirewall(tableName(key)), removeLinks(host, key)); err != nil {
		return fmt.Errorf("take down the containers' network: %w", err)
	}
	return nil
}

// removeLinks deletes the bridge and every interface that was plugged in.
func removeLinks(h *netlink.Handle, key string) error {
	links, err := settled(h.LinkList)
	if err != nil {
		return fmt.Errorf("list the network interfaces: %w", err)
	}
	for _, link := range links {
		name := link.Attrs().Name
		if name != bridgeName(key) && !strings.HasPrefix(name, portPrefix(key)) {
			continue
		}
		if err := deleteLink(h, name); err != nil {
			return err
		}
	}
	return nil
}

// listAttempts is how often a list is asked for that others change meanwhile.
const listAttempts = 50

// settled asks the kernel for a list until nobody, another network for instance,
// has changed it while it was being sent.
func settled[T any](list func() ([]T, error)) (got []T, err error) {
	for range listAttempts {
		if got, err = list(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
	}
	return got, err
}

func deleteLink(h *netlink.Handle, name string) error {
	link, err := h.LinkByName(name)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		return nil
	}
	if err == nil {
		err = h.LinkDel(link)
	}
	if err != nil && !errors.Is(err, unix.ENODEV) {
		return fmt.Errorf("delete network interface %s: %w", name, err)
	}
	return nil
}

// uplinkMTU is the packet size of the interface that the default route uses.
func uplinkMTU(h *netlink.Handle) (int, error) {
	routes, err := settled(func() ([]netlink.Route, error) { return h.RouteList(nil, unix.AF_INET) })
	if err != nil {
		return 0, fmt.Errorf("list the routes: %w", err)
	}
	mtu := 1500
	for _, r := range routes {
		if r.Dst != nil && r.Dst.IP != nil && !r.Dst.IP.IsUnspecified() {
			continue
		}
		if link, err := h.LinkByIndex(r.LinkIndex); err == nil && link.Attrs().MTU > 0 {
			mtu = min(mtu, link.Attrs().MTU)
		}
	}
	return mtu, nil
}

// makeBridge makes the bridge with an address. It reports false, and leaves
// nothing, if somebody else took an overlapping subnet meanwhile.
func (n *Network) makeBridge(attempt int) (bool, error) {
	taken, err := takenSubnets(n.host, -1)
	if err != nil {
		return false, err
	}
	subnet, err := chooseSubnet(n.key, attempt, taken)
	if err != nil {
		return false, err
	}
	n.addresses = pool{subnet: subnet}
	name := bridgeName(n.key)
	sum := sha256.Sum256([]byte(name))
	bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{
		Name: name, MTU: n.mtu, TxQLen: -1,
		// Without an address of its own the bridge takes its ports' lowest,
		// which changes as they come and go and upsets everybody's ARP.
		HardwareAddr: net.HardwareAddr{0x02, 0x67, sum[0], sum[1], sum[2], sum[3]},
	}}
	if err := n.host.LinkAdd(bridge); err != nil {
		return false, fmt.Errorf("create bridge %s: %w", name, err)
	}
	n.bridge = bridge
	disableIPv6(name)
	addr := &netlink.Addr{IPNet: &net.IPNet{IP: n.addresses.gateway().AsSlice(), Mask: net.CIDRMask(prefixBits, 32)}}
	if err := n.host.AddrAdd(bridge, addr); err != nil {
		return false, fmt.Errorf("give bridge %s the address %s: %w", name, addr.IPNet, err)
	}
	if err := n.host.LinkSetUp(bridge); err != nil {
		return false, fmt.Errorf("switch on bridge %s: %w", name, err)
	}
	taken, err = takenSubnets(n.host, bridge.Attrs().Index)
	if err != nil {
		return false, err
	}
	if slices.ContainsFunc(taken, func(p netip.Prefix) bool { return p.Bits() > 0 && p.Overlaps(subnet) }) {
		return false, deleteLink(n.host, name)
	}
	return true, nil
}

// takenSubnets lists where all routes and addresses of the machine lead,
// except through one interface.
func takenSubnets(h *netlink.Handle, except int) ([]netip.Prefix, error) {
	var taken []netip.Prefix
	add := func(ipnet *net.IPNet) {
		if ipnet == nil {
			return
		}
		ip, ok := netip.AddrFromSlice(ipnet.IP.To4())
		if bits, size := ipnet.Mask.Size(); ok && size == 32 {
			taken = append(taken, netip.PrefixFrom(ip, bits).Masked())
		}
	}
	routes, err := h.RouteListFiltered(unix.AF_INET, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
	if err != nil {
		return nil, fmt.Errorf("list the routes: %w", err)
	}
	for _, r := range routes {
		if r.LinkIndex != except {
			add(r.Dst)
		}
	}
	addrs, err := settled(func() ([]netlink.Addr, error) { return h.AddrList(nil, unix.AF_INET) })
	if err != nil {
		return nil, fmt.Errorf("list the addresses: %w", err)
	}
	for _, a := range addrs {
		if a.LinkIndex != except {
			add(a.IPNet)
		}
	}
	return taken, nil
}

func enableForwarding() error {
	const file = "/proc/sys/net/ipv4/ip_forward"
	if on, err := os.ReadFile(file); err == nil && len(on) > 0 && on[0] == '1' {
		return nil
	}
	if err := os.WriteFile(file, []byte("1"), 0); err != nil {
		return fmt.Errorf("switch on IPv4 forwarding: %w; try: sysctl -w net.ipv4.ip_forward=1", err)
	}
	return nil
}

// disableIPv6 keeps an interface from announcing itself. It is no loss where
// the kernel has no IPv6.
func disableIPv6(link string) {
	_ = os.WriteFile(filepath.Join("/proc/sys/net/ipv6/conf", link, "disable_ipv6"), []byte("1"), 0)
}

// hostResolver reads how the host resolves names. If containers can't reach
// any of its servers, servers lists what a forwarder must ask.
func hostResolver() (conf resolvConf, servers []netip.AddrPort, err error) {
	text, err := os.ReadFile("/etc/resolv.conf")
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return conf, nil, fmt.Errorf("read the host's name servers: %w", err)
	}
	conf = parseResolvConf(string(text))
	if len(conf.servers) == 0 {
		conf.servers = []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1})} // what resolvers do then
	}
	if len(conf.reachable()) > 0 {
		return conf, nil, nil
	}
	for _, s := range conf.servers {
		servers = append(servers, netip.AddrPortFrom(s, 53))
	}
	return conf, servers, nil
}
