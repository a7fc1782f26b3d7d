package network

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// firewall is the rules of one network, all in one table but for those that
// other firewalls need.
type firewall struct {
	table    string
	bridge   string
	subnet   netip.Prefix
	gateway  netip.Addr
	resolves bool // the gateway answers name lookups
}

// install replaces the network's rules in one transaction.
func (f firewall) install() error {
	if err := removeFirewall(f.table); err != nil {
		return err
	}
	c, err := nftables.New()
	if err != nil {
		return fmt.Errorf("open the packet filter: %w", err)
	}
	table := c.AddTable(&nftables.Table{Family: nftables.TableFamilyINet, Name: f.table})
	accept, drop := &expr.Verdict{Kind: expr.VerdictAccept}, &expr.Verdict{Kind: expr.VerdictDrop}
	chain := func(name string, kind nftables.ChainType, hook *nftables.ChainHook, priority *nftables.ChainPriority) func(...[]expr.Any) {
		policy := nftables.ChainPolicyAccept
		ch := c.AddChain(&nftables.Chain{Name: name, Table: table, Type: kind, Hooknum: hook, Priority: priority, Policy: &policy})
		return func(parts ...[]expr.Any) {
			var all []expr.Any
			for _, p := range parts {
				all = append(all, p...)
			}
			c.AddRule(&nftables.Rule{Table: table, Chain: ch, Exprs: all})
		}
	}
	verdict := func(e expr.Any) []expr.Any { return []expr.Any{e} }
	linkLocal := netip.MustParsePrefix("169.254.0.0/16")

	rule := chain("forward", nftables.ChainTypeFilter, nftables.ChainHookForward, nftables.ChainPriorityFilter)
	rule(from(f.bridge), to(f.bridge, true), verdict(drop))
	for _, protocol := range []byte{unix.IPPROTO_UDP, unix.IPPROTO_TCP} {
		rule(from(f.bridge), destination(linkLocal), port(protocol, 53), verdict(accept))
	}
	rule(from(f.bridge), destination(linkLocal), verdict(drop))
	rule(from(f.bridge), source(f.subnet), verdict(accept))
	rule(from(f.bridge), verdict(drop)) // a forged source, or IPv6
	rule(to(f.bridge, true), established(), verdict(accept))
	rule(to(f.bridge, true), verdict(drop))

	rule = chain("input", nftables.ChainTypeFilter, nftables.ChainHookInput, nftables.ChainPriorityFilter)
	rule(from(f.bridge), established(), verdict(accept))
	if f.resolves {
		for _, protocol := range []byte{unix.IPPROTO_UDP, unix.IPPROTO_TCP} {
			rule(from(f.bridge), destination(netip.PrefixFrom(f.gateway, 32)), port(protocol, 53), verdict(accept))
		}
	}
	rule(from(f.bridge), verdict(drop))

	rule = chain("postrouting", nftables.ChainTypeNAT, nftables.ChainHookPostrouting, nftables.ChainPriorityNATSource)
	rule(source(f.subnet), to(f.bridge, false), verdict(&expr.Masq{}))

	if err := c.Flush(); err != nil {
		return fmt.Errorf("set the packet filter's rules (nftables with NAT for the inet family, Linux 5.2 or newer): %w", err)
	}
	return f.openOthers()
}

// openOthers puts accepting rules in front of other firewalls' chains that
// drop what they forward: a packet must pass every chain of a hook.
func (f firewall) openOthers() error {
	c, err := nftables.New()
	if err != nil {
		return fmt.Errorf("open the packet filter: %w", err)
	}
	chains, err := c.ListChains()
	if err != nil {
		return fmt.Errorf("list the packet filter's chains: %w", err)
	}
	n := 0
	for _, ch := range chains {
		if !dropsForwarded(ch) || ch.Table.Name == f.table {
			continue
		}
		for _, match := range [][]expr.Any{from(f.bridge), to(f.bridge, true)} {
			c.InsertRule(&nftables.Rule{
				Table: ch.Table, Chain: ch, UserData: []byte(f.table),
				Exprs: append(match, &expr.Counter{}, &expr.Verdict{Kind: expr.VerdictAccept}),
			})
			n++
		}
	}
	if n == 0 {
		return nil
	}
	if err := c.Flush(); err != nil {
		return fmt.Errorf("let containers through the firewall that drops what it forwards: %w", err)
	}
	return nil
}

func dropsForwarded(ch *nftables.Chain) bool {
	return ch.Hooknum != nil && *ch.Hooknum == *nftables.ChainHookForward && ch.Type == nftables.ChainTypeFilter &&
		ch.Policy != nil && *ch.Policy == nftables.ChainPolicyDrop &&
		(ch.Table.Family == nftables.TableFamilyIPv4 || ch.Table.Family == nftables.TableFamilyINet)
}

// removeFirewall removes a network's rules, wherever they are. It is no error
// if there are none, or no packet filter at all.
func removeFirewall(table string) error {
	c, err := nftables.New()
	if err != nil {
		return fmt.Errorf("open the packet filter: %w", err)
	}
	chains, err := c.ListChains()
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EPROTONOSUPPORT) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list the packet filter's chains: %w", err)
	}
	found := false
	for _, ch := range chains {
		if ch.Table.Name == table && ch.Table.Family == nftables.TableFamilyINet {
			found = true
			continue
		}
		if !dropsForwarded(ch) {
			continue
		}
		rules, err := c.GetRules(ch.Table, ch)
		if err != nil {
			return fmt.Errorf("list the rules of %s %s: %w", ch.Table.Name, ch.Name, err)
		}
		for _, r := range rules {
			if bytes.Equal(r.UserData, []byte(table)) {
				if err := c.DelRule(r); err != nil {
					return err
				}
				found = true
			}
		}
	}
	if !found {
		return nil
	}
	own := &nftables.Table{Family: nftables.TableFamilyINet, Name: table}
	c.AddTable(own) // deleting what is not there would fail the transaction
	c.DelTable(own)
	if err := c.Flush(); err != nil {
		return fmt.Errorf("remove the packet filter's table %s: %w", table, err)
	}
	return nil
}

// The parts of rules. Each loads a field into register 1 and compares it.

func interfaceName(key expr.MetaKey, name string, op expr.CmpOp) []expr.Any {
	padded := make([]byte, unix.IFNAMSIZ)
	copy(padded, name)
	return []expr.Any{&expr.Meta{Key: key, Register: 1}, &expr.Cmp{Op: op, Register: 1, Data: padded}}
}

func from(link string) []expr.Any {
	return interfaceName(expr.MetaKeyIIFNAME, link, expr.CmpOpEq)
}

func to(link string, is bool) []expr.Any {
	if is {
		return interfaceName(expr.MetaKeyOIFNAME, link, expr.CmpOpEq)
	}
	return interfaceName(expr.MetaKeyOIFNAME, link, expr.CmpOpNeq)
}

func established() []expr.Any {
	bits := binaryutil.NativeEndian.PutUint32(expr.CtStateBitESTABLISHED | expr.CtStateBitRELATED)
	return []expr.Any{
		&expr.Ct{Key: expr.CtKeySTATE, Register: 1},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: bits, Xor: make([]byte, 4)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: make([]byte, 4)},
	}
}

// Offsets of the addresses in an IPv4 header.
func source(p netip.Prefix) []expr.Any      { return address(p, 12) }
func destination(p netip.Prefix) []expr.Any { return address(p, 16) }

func address(p netip.Prefix, offset uint32) []expr.Any {
	ip := p.Masked().Addr().As4()
	mask := binaryutil.BigEndian.PutUint32(^uint32(0) << (32 - p.Bits()))
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{unix.NFPROTO_IPV4}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: 4},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: mask, Xor: make([]byte, 4)},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: ip[:]},
	}
}

func port(protocol byte, number uint16) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{protocol}},
		&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binaryutil.BigEndian.PutUint16(number)},
	}
}
