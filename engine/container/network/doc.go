// Package network gives containers a way out: a bridge, a network namespace
// and a pair of virtual interfaces for each container, and address translation
// on the way to the world, all through netlink and without any program of the
// host's. It knows nothing of containers beyond their namespace.
//
// # Who reaches whom
//
// An endpoint reaches what the host reaches through its uplinks, by the host's
// address. It does not reach
//   - other endpoints, of its own or another app or host: ports of the bridge
//     are isolated from each other and forwarding between them is dropped;
//   - the host itself, neither its loopback services nor what listens on its
//     other addresses, save name resolution (below);
//   - link-local addresses such as a cloud's metadata service, save for name
//     resolution: a machine's identity is not its guests'.
//
// The host reaches endpoints. Only IPv4 leaves the host; IPv6 works on an
// endpoint's loopback alone.
//
// # Name resolution
//
// Endpoints ask the host's own upstream name servers. Where the host's
// configuration names only servers on its loopback (systemd-resolved, dnsmasq,
// a VPN's), which no other namespace can reach, a forwarder on the bridge's
// address passes questions on to them.
//
// # What it changes on the machine
//
// The bridge and one nftables table carry the network's name and are removed
// by Close; after a crash the next Open by that name takes them over. Where a
// firewall drops what it forwards (Docker's, ufw's), accepting rules for the
// bridge are put in front. IPv4 forwarding is switched on, and stays on: others
// may have come to rely on it.
package network
