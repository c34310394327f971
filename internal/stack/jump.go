package stack

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/zclconf/go-cty/cty"
)

// jump is what the argument of that name says.
type jump struct {
	hops   []Hop // their addresses as they are written: none is looked up among the stack's hosts
	direct bool
}

// directly is what jump says for no hop at all. As with ssh it stands alone.
const directly = "none"

// maxHops is how many hops one jump may name. Each one costs a look into ssh's
// configuration and a log-in.
const maxHops = 10

const jumpSays = `"none", or hosts to go through, the first to be reached first: [user@]host[:port] or a name of this stack, one or a list`

// jumpHops takes the hosts that the way to another one leads through.
func jumpHops() form {
	return form{says: jumpSays, typ: cty.List(cty.String), orText: true, read: func(v cty.Value) (any, string) {
		var texts []string
		for _, element := range v.AsValueSlice() {
			if element.IsNull() {
				return nil, "holds null"
			}
			texts = append(texts, strings.Split(element.AsString(), ",")...)
		}
		j, problem := parseJump(texts)
		return j, problem
	}}
}

// parseJump reads the hops of one jump; none at all is directly.
func parseJump(texts []string) (j jump, problem string) {
	if len(texts) == 0 || len(texts) == 1 && strings.EqualFold(strings.TrimSpace(texts[0]), directly) {
		return jump{direct: true}, ""
	}
	if len(texts) > maxHops {
		return jump{}, fmt.Sprintf("names %d hosts, and may name %d", len(texts), maxHops)
	}
	for _, text := range texts {
		hop, problem := parseHop(strings.TrimSpace(text))
		switch {
		case problem != "":
			return jump{}, problem
		case slices.Contains(j.hops, hop):
			return jump{}, fmt.Sprintf("names %s twice", quote(text))
		}
		j.hops = append(j.hops, hop)
	}
	return j, ""
}

// parseHop reads one hop as ssh's -J has it.
func parseHop(text string) (hop Hop, problem string) {
	rest := text
	if inside, ok := strings.CutPrefix(text, "ssh://"); ok {
		rest = strings.TrimSuffix(inside, "/")
	}
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		hop.User, rest = rest[:at], rest[at+1:]
		if strings.Contains(hop.User, ":") {
			return hop, "holds a password: it is asked for, and stands in no stack file"
		}
		if !isUserName(hop.User) {
			return hop, fmt.Sprintf("holds %s, whose user is not %s", quote(text), userSays)
		}
	}
	hop.Address = rest
	if host, port, err := net.SplitHostPort(rest); err == nil {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return hop, fmt.Sprintf("holds %s, whose port is not a whole number from 1 to 65535", quote(text))
		}
		hop.Address, hop.Port = host, int(n)
	}
	_, err := netip.ParseAddr(rest)
	_, ok := Address(hop.Address)
	switch {
	case text == "":
		return hop, `holds an empty text: "none" is directly, and null leaves it to ~/.ssh/config`
	case strings.EqualFold(text, directly):
		return hop, `holds "none" beside others, and it stands alone: it is directly, through no host`
	case err == nil && strings.Contains(rest, ":"):
		return hop, fmt.Sprintf("holds %s: an IPv6 address stands in brackets, as in [2001:db8::1]:22", quote(text))
	case !ok && !hostLabelPattern.MatchString(hop.Address):
		return hop, fmt.Sprintf("holds %s, which is not [user@]host[:port] and no name of a proxy or worker", quote(text))
	}
	return hop, ""
}

// String is the hop as a stack file may have it.
func (h Hop) String() string {
	if h.Host != nil {
		return h.Host.Name
	}
	text := h.Address
	if strings.Contains(text, ":") {
		text = "[" + text + "]"
	}
	if h.Port != 0 {
		text += ":" + strconv.Itoa(h.Port)
	}
	if h.User != "" {
		text = h.User + "@" + text
	}
	return text
}

// JumpText is what jump says, on one line; empty: nothing.
func (s SSH) JumpText() string {
	if s.Direct {
		return directly
	}
	var texts []string
	for _, hop := range s.Jump {
		texts = append(texts, hop.String())
	}
	return strings.Join(texts, ",")
}

// SSHFor is the file's own ssh block as it counts for a host that is none of
// the stack's any more: with hops as JumpText gives them, and for an empty text
// with the block's own, as far as they lead to that address and port.
func (s *Stack) SSHFor(address string, port int, jumpText string) (SSH, error) {
	ssh := s.SSH
	if jumpText == "" {
		ssh.Jump, ssh.Direct = ssh.before(&Host{Address: address, SSH: SSH{Port: port}})
		return ssh, nil
	}
	j, problem := parseJump(strings.Split(jumpText, ","))
	if problem == "" {
		ssh.goThrough(j)
		problem = s.nameHops(&ssh)
	}
	if problem != "" {
		return s.SSH, fmt.Errorf("jump %s", problem)
	}
	return ssh, nil
}

// goThrough sets the hops of a way, each with the key of this ssh block.
func (s *SSH) goThrough(j jump) {
	s.Direct, s.Jump = j.direct, slices.Clone(j.hops)
	for i := range s.Jump {
		s.Jump[i].IdentityFile = s.IdentityFile
	}
}
