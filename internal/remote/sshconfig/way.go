package sshconfig

import (
	"net"
	"slices"
	"strconv"
	"strings"
)

// Hop is a host of a ProxyJump.
type Hop struct {
	Query
	Text string // as it is written there
}

// Jump lists the hosts of ProxyJump, the first to be reached first.
func (c Config) Jump() []Hop {
	if c.First("proxyjump", "none") == "none" {
		return nil
	}
	var jump []Hop
	for _, text := range c.List("proxyjump") {
		user, host, port, _ := splitHop(text)
		number, _ := strconv.Atoi(port) // ssh, and Read, refuse what is no number
		jump = append(jump, Hop{Query{Address: host, User: user, Port: number}, text})
	}
	return jump
}

// splitHop takes [user@]host[:port] apart, or an ssh URI.
func splitHop(text string) (user, host, port string, hasPort bool) {
	rest := strings.TrimSuffix(strings.TrimPrefix(text, "ssh://"), "/")
	if at := strings.LastIndexByte(rest, '@'); at >= 0 {
		user, rest = rest[:at], rest[at+1:]
	}
	if host, port, err := net.SplitHostPort(rest); err == nil {
		return user, host, port, true
	}
	return user, strings.Trim(rest, "[]"), "", false
}

// methods are the ways to log in that relayctl knows, in ssh's own order, and
// the keywords that turn them off.
var methods = []struct{ name, keyword string }{
	{"publickey", "pubkeyauthentication"},
	{"keyboard-interactive", "kbdinteractiveauthentication"},
	{"password", "passwordauthentication"},
}

// Methods are the ways to log in, in the order to try them.
func (c Config) Methods() []string {
	var list []string
	for _, method := range methods {
		if c.First(method.keyword, "yes") == "yes" {
			list = append(list, method.name)
		}
	}
	preferred := c.List("preferredauthentications")
	if len(preferred) == 0 {
		return list
	}
	return slices.DeleteFunc(preferred, func(method string) bool { return !slices.Contains(list, method) })
}
