package stack

import (
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// hostPattern is a host name of RFC 1123, without its overall length, which is
// at most 253.
var hostPattern = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)

// parseHost brings a host name or an IP address into the one form that is
// compared and printed. It refuses what only looks like an IP address, zones,
// and addresses that no single host has.
func parseHost(s string) (host string, ok bool) {
	if ip, err := netip.ParseAddr(s); err == nil {
		zone := ip.Zone()
		ip = ip.Unmap()
		return ip.String(), zone == "" && !ip.IsUnspecified() && !ip.IsMulticast()
	}
	s = strings.ToLower(s)
	last := s[strings.LastIndexByte(s, '.')+1:]
	if _, err := strconv.ParseUint(last, 0, 64); err == nil {
		return "", false // "10.0.0", "256.1.1.1", "0x7f.1"
	}
	return s, len(s) <= 253 && hostPattern.MatchString(s)
}

// address takes where a host is reached by SSH.
func address() form {
	const says = `a host name, an IP address, or "local" for this machine`
	return text(says, func(s string) string {
		if _, ok := parseHost(s); !ok {
			return "is not " + says
		}
		return ""
	})
}

// domain takes what clients and the certificate name.
func domain() form {
	const says = "a host name or an IP address"
	return text(says, func(s string) string {
		if strings.Contains(s, "://") {
			return "is a URL: the domain is only its host name"
		}
		if _, ok := parseHost(s); !ok {
			return "is not " + says
		}
		return ""
	})
}

// lowestPort is the first port that a program without privileges may open.
const lowestPort = 1024

// loopback takes where relay-server listens. Caddy in front of it is the only
// way in from elsewhere.
func loopback() form {
	const says = `a loopback address and a port from 1024 to 65535, such as "127.0.0.1:8080"`
	return text(says, func(s string) string {
		at, err := netip.ParseAddrPort(s)
		switch {
		case err != nil || at.Addr().Zone() != "" || at.Port() < lowestPort:
			return "is not " + says
		case !at.Addr().IsLoopback():
			return "is open to other machines: it has to be " + says
		}
		return ""
	})
}

// origin takes the URL of an engine, down to its port: the path of each
// request is the client's.
func origin() form {
	const says = `an http or https URL without a path, such as "http://127.0.0.1:11434"`
	return text(says, func(s string) string {
		if _, problem := parseOrigin(s); problem != "" {
			return problem + ": it has to be " + says
		}
		return ""
	})
}

// parseOrigin brings an engine's URL into the form scheme://host[:port], or
// says what is wrong with it.
func parseOrigin(s string) (result, problem string) {
	u, err := url.Parse(s)
	if err != nil || u.Opaque != "" || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return "", "is not an engine's URL"
	}
	switch {
	case u.User != nil:
		return "", "holds a user name or password, and keys belong into backend_key"
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.Contains(s, "#"):
		return "", "has a query or a fragment"
	case strings.TrimSuffix(u.EscapedPath(), "/") == "/v1":
		return "", "has a path, and /v1 comes from the client's request"
	case u.Path != "" && u.Path != "/":
		return "", "has a path"
	}
	host, ok := parseHost(u.Hostname())
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	if !ok || strings.HasSuffix(u.Host, ":") || u.Port() != "" && (err != nil || port == 0) {
		return "", "does not name a host and a port"
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if u.Port() != "" {
		host += ":" + strconv.FormatUint(port, 10)
	}
	return u.Scheme + "://" + host, ""
}
