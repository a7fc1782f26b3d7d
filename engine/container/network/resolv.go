package network

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// maxServers is how many name servers a resolver looks at.
const maxServers = 3

// resolvConf is what matters of a resolv.conf file.
type resolvConf struct {
	servers []netip.Addr
	other   []string // search, domain, options and sortlist lines, as they were
}

// parseResolvConf reads a resolv.conf file. Lines that it does not understand
// are left out, as resolvers do.
func parseResolvConf(text string) resolvConf {
	var c resolvConf
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		switch fields[0] {
		case "nameserver":
			if addr, err := netip.ParseAddr(fields[1]); err == nil && len(c.servers) < maxServers {
				c.servers = append(c.servers, addr.Unmap())
			}
		case "search", "domain", "options", "sortlist":
			c.other = append(c.other, strings.Join(fields, " "))
		}
	}
	return c
}

// reachable lists the servers that another network namespace of this machine
// can ask.
func (c resolvConf) reachable() []netip.Addr {
	return slices.DeleteFunc(slices.Clone(c.servers), func(a netip.Addr) bool {
		return !a.Is4() || a.IsLoopback() || a.IsUnspecified()
	})
}

// text is the file with other servers in it.
func (c resolvConf) text(servers []netip.Addr) []byte {
	var b strings.Builder
	for _, line := range c.other {
		fmt.Fprintln(&b, line)
	}
	for _, s := range servers {
		fmt.Fprintln(&b, "nameserver", s)
	}
	return []byte(b.String())
}
