package stack

import (
	"fmt"
	"slices"
	"strings"
)

// Way lists the hops to a host as they follow on each other: what leads to the
// first of Jump, where it is a host of the stack, then Jump. As with ssh, what
// leads to the others is the list, whatever is said about them elsewhere. This
// machine is no hop, and what comes before it does not matter. direct is about
// the first hop, and without any about the host: no other one leads there,
// whatever ~/.ssh/config says.
func (s SSH) Way() (hops []Hop, direct bool) {
	direct = s.Direct
	for i, hop := range s.Jump {
		switch {
		case hop.Host != nil && hop.Host.IsLocal():
			hops, direct = nil, true
			continue
		case hop.Host != nil && i == 0:
			hops, direct = hop.Host.SSH.Way()
		}
		hops = append(hops, hop)
	}
	return hops, direct
}

// IsAt reports whether two hosts of the stack are one machine, as far as the
// file tells: at one address and port, where the same way leads. Where it does
// not tell, it may turn out when they are reached.
func (h *Host) IsAt(other *Host) bool {
	if h.IsLocal() || other.IsLocal() {
		return h.IsLocal() && other.IsLocal()
	}
	return isSamePlace(h.Address, h.SSH.Port, other) && h.SSH.leadsAs(other.SSH)
}

// isSamePlace reports whether a host is at an address and port, from wherever
// that is seen.
func isSamePlace(address string, port int, h *Host) bool {
	return address != "" && strings.EqualFold(address, h.Address) && port == h.SSH.Port
}

// leadsAs reports whether two ways lead through the same hosts.
func (s SSH) leadsAs(other SSH) bool {
	a, _ := s.Way()
	b, _ := other.Way()
	return slices.EqualFunc(a, b, func(a, b Hop) bool { return a.String() == b.String() })
}

// settleWays finds the hosts of the stack among the hops, and refuses ways
// that end nowhere.
func (l *loader) settleWays(s *Stack) {
	l.reportHops(s, &s.SSH)
	for _, h := range s.Hosts() {
		if h.SSH.At("jump") == s.SSH.At("jump") { // it is the file's
			h.SSH.Jump, h.SSH.Direct = s.SSH.before(h)
		} else {
			l.reportHops(s, &h.SSH)
		}
		if h.IsLocal() {
			h.SSH.Jump, h.SSH.Direct = nil, false
		}
	}
	for _, h := range s.Hosts() {
		if names := circle(h); names != nil {
			l.report(h.SSH.At("jump"), "Jumps in a circle", "%s is reached through %s. One of them needs another way: jump = %q is directly.",
				h.Name, strings.Join(names, ", which is reached through "), directly)
			h.SSH.Jump = nil
		}
	}
}

// before is the part of the file's jump that leads to a host, which may be one
// of the hops itself: then it is what comes before it.
func (s SSH) before(h *Host) (hops []Hop, direct bool) {
	i := slices.IndexFunc(s.Jump, func(hop Hop) bool {
		if hop.Host != nil {
			return hop.Host == h || isSamePlace(hop.Host.Address, hop.Host.SSH.Port, h)
		}
		return isSamePlace(hop.Address, hop.Port, h)
	})
	if i < 0 {
		return s.Jump, s.Direct
	}
	return s.Jump[:i:i], false
}

// reportHops looks up the hops of an ssh block, and reports which it can't be.
func (l *loader) reportHops(s *Stack, ssh *SSH) {
	problem := s.nameHops(ssh)
	switch {
	case problem == "":
		return
	case ssh.hidden["jump"]:
		l.report(ssh.At("jump"), "Invalid value", "The value of jump is not %s.", jumpSays)
	default:
		l.report(ssh.At("jump"), "Invalid value", "jump %s.", problem)
	}
	ssh.Jump = nil
}

// nameHops finds the hosts of the stack among the hops of an ssh block. problem
// is what forms say of a value.
func (s *Stack) nameHops(ssh *SSH) (problem string) {
	for i, hop := range ssh.Jump {
		ssh.Jump[i], problem = s.nameHop(hop)
		if problem != "" {
			return problem
		}
	}
	return ""
}

func (s *Stack) nameHop(hop Hop) (Hop, string) {
	for _, h := range s.Hosts() {
		if h.Name == "" || h.Name != hop.Address {
			continue
		}
		if hop.User != "" || hop.Port != 0 {
			return hop, fmt.Sprintf("holds %s, and %s is a %s of this stack, which is reached as its block says: name it alone, as %q",
				quote(hop.String()), h.Name, h.Role, h.Name)
		}
		return Hop{Host: h}, ""
	}
	address, ok := Address(hop.Address)
	switch {
	case !ok:
		return hop, fmt.Sprintf("holds %s, which is no proxy or worker of this stack, and elsewhere no host can have this name", quote(hop.String()))
	case address == Local:
		return hop, fmt.Sprintf("holds %s, and this machine is no hop: every way begins here", quote(hop.String()))
	}
	hop.Address = address
	return hop, ""
}

// circle names the hosts that a host is reached through down to itself; nil:
// there is a way to it.
func circle(h *Host) (names []string) {
	seen := []*Host{}
	for at := h; at != nil && !slices.Contains(seen, at); at = at.SSH.first() {
		if slices.ContainsFunc(at.SSH.Jump, func(hop Hop) bool { return hop.Host == h }) {
			return append(names, h.Name)
		}
		seen = append(seen, at)
		if next := at.SSH.first(); next != nil {
			names = append(names, next.Name)
		}
	}
	return nil
}

// first is the host of the stack that a way begins with; nil: it is none.
func (s SSH) first() *Host {
	if len(s.Jump) == 0 {
		return nil
	}
	return s.Jump[0].Host
}
