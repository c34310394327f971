package stack

import (
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/net/idna"
)

// hostPattern is a host name of RFC 1123, without its overall length, which is
// at most 253; and with underscores, which names inside of networks have.
var hostPattern = regexp.MustCompile(`^([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$`)

// looksLikeIP finds the last label of what some programs read as an IPv4
// address: "10.0.0", "256.1.1.1", "0x7f.1".
var looksLikeIP = regexp.MustCompile(`^([0-9]+|0x[0-9a-f]*)$`)

// parseHost brings a host name or an IP address into the one form that is
// compared and printed, or says what is wrong with it, "" being that it is
// neither. It refuses what only looks like an IP address, and addresses that
// no single host has. An address may have a zone.
func parseHost(s string) (host string, ok bool, problem string) {
	bare := s
	if inside, found := strings.CutPrefix(s, "["); found && strings.HasSuffix(inside, "]") {
		bare = strings.TrimSuffix(inside, "]")
	}
	if ip, err := netip.ParseAddr(bare); err == nil {
		switch {
		case ip.IsUnspecified():
			return "", false, "is where a program listens, and no host's own address"
		case ip.IsMulticast():
			return "", false, "is an address of many hosts"
		case strings.ContainsFunc(ip.Zone(), func(r rune) bool { return !isZoneRune(r) }):
			return "", false, ""
		}
		return ip.Unmap().String(), true, ""
	}
	host = strings.TrimSuffix(s, ".")
	if strings.IndexFunc(host, func(r rune) bool { return r > unicode.MaxASCII }) >= 0 {
		ascii, err := idna.Lookup.ToASCII(host)
		if err != nil {
			return "", false, ""
		}
		host = ascii
	}
	lower := strings.ToLower(host)
	if looksLikeIP.MatchString(lower[strings.LastIndexByte(lower, '.')+1:]) || len(lower) > 253 || !hostPattern.MatchString(lower) {
		return "", false, ""
	}
	return host, true, ""
}

func isZoneRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-", r)
}

// parseAddress reads where a host is reached. Capitals stay: a name may be an
// alias of ssh's configuration, where they count.
func parseAddress(s string) (host, problem string) {
	host, ok, problem := parseHost(s)
	switch {
	case ok && strings.EqualFold(host, Local):
		return Local, ""
	case ok:
		return host, ""
	case problem != "":
		return "", problem
	}
	const says = `is not a host name, an IP address, or "local" for this machine`
	user, rest, hasUser := strings.Cut(s, "@")
	name, port, hasPort := strings.Cut(s, ":")
	_, isHost, _ := parseHost(name)
	_, numeric := strconv.ParseUint(port, 10, 16)
	switch {
	case strings.Contains(s, "://"):
		return "", "is a URL: the address is only its host name"
	case hasUser && user != "" && rest != "":
		return "", "holds a user name, which goes into an ssh block: ssh { user = " + quote(user) + " }"
	case hasPort && isHost && numeric == nil:
		return "", "holds a port, which goes into an ssh block: ssh { port = " + port + " }"
	}
	return "", says
}

// Address brings where a host is reached into the form that it has in a Stack,
// and reports whether it is an address at all.
func Address(s string) (string, bool) {
	host, problem := parseAddress(s)
	return host, problem == ""
}

// address takes where a host is reached by SSH.
func address() form {
	return text(`a host name, an IP address, or "local" for this machine`, func(s string) string {
		_, problem := parseAddress(s)
		return problem
	})
}

// parseDomain reads what clients and the certificate name, in lower case.
func parseDomain(s string) (host, problem string) {
	host, ok, problem := parseHost(s)
	host = strings.ToLower(host)
	switch name, port, hasPort := strings.Cut(s, ":"); {
	case ok && strings.Contains(host, "%"):
		return "", "has a zone, which no certificate can name"
	case ok:
		return host, ""
	case problem != "":
		return "", problem
	case strings.Contains(s, "://"):
		return "", "is a URL: the domain is only its host name"
	case strings.HasPrefix(s, "*."):
		return "", "stands for many names, and a stack has one: the certificate is made for it alone"
	case strings.Contains(s, "/"):
		return "", "has a path: the domain is only a host name"
	case hasPort && !strings.Contains(port, ":") && name != "":
		return "", "has a port: clients come in at 443"
	}
	return "", "is not a host name or an IP address"
}

// domain takes what clients and the certificate name.
func domain() form {
	return text("a host name or an IP address", func(s string) string {
		_, problem := parseDomain(s)
		return problem
	})
}

// lowestPort is the first port that a program without privileges may open.
const lowestPort = 1024

// parseListen reads an address and a port; localhost is one.
func parseListen(s string) (netip.AddrPort, error) {
	if port, ok := strings.CutPrefix(strings.ToLower(s), "localhost:"); ok {
		s = "127.0.0.1:" + port
	}
	return netip.ParseAddrPort(s)
}

// loopback takes where relay-server listens. Caddy in front of it is the only
// way in from elsewhere.
func loopback() form {
	const says = `a loopback address and a port from 1024 to 65535, such as "127.0.0.1:8080"`
	return text(says, func(s string) string {
		at, err := parseListen(s)
		switch {
		case strings.HasPrefix(s, ":") || err == nil && !at.Addr().IsLoopback():
			return "is open to other machines: it has to be " + says
		case err != nil || at.Addr().Zone() != "":
			return "is not " + says
		case at.Port() < lowestPort:
			return "has a port that only root may open, which the relay is not: it has to be " + says
		}
		return ""
	})
}

// origin takes the URL of an engine, down to what comes before /v1: the rest of
// the path is the client's.
func origin() form {
	const says = `an http or https URL, such as "http://127.0.0.1:11434"`
	return text(says, func(s string) string {
		if _, problem := parseOrigin(s); problem != "" {
			return problem + ": it has to be " + says
		}
		return ""
	})
}

// parseOrigin brings an engine's URL into the form scheme://host[:port][/path],
// without a /v1 at its end, or says what is wrong with it.
func parseOrigin(s string) (result, problem string) {
	u, err := url.Parse(s)
	if err != nil || u.Opaque != "" || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return "", "is not an engine's URL"
	}
	path := strings.TrimSuffix(strings.TrimRight(u.Path, "/"), "/v1")
	switch {
	case u.User != nil:
		return "", "holds a user name or password, and keys belong into backend_key"
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.Contains(s, "#"):
		return "", "has a query or a fragment"
	case strings.HasSuffix(path, "/completions"), strings.HasSuffix(path, "/models"), strings.HasSuffix(path, "/embeddings"):
		return "", "goes too far: what comes behind /v1 is in the client's request"
	case strings.Contains(strings.ToLower(u.RawPath), "%2f") || strings.ContainsFunc(path, unseen):
		return "", "has a path with escapes that would change when it is passed on"
	}
	host, ok, problem := parseHost(u.Hostname())
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	switch {
	case problem != "":
		return "", "names " + u.Hostname() + ", which " + problem + " (an engine on the worker's own machine is at 127.0.0.1)"
	case !ok || strings.HasSuffix(u.Host, ":") || u.Port() != "" && (err != nil || port == 0):
		return "", "does not name a host and a port"
	}
	made := url.URL{Scheme: u.Scheme, Host: strings.ToLower(host), Path: strings.TrimRight(path, "/")}
	if strings.Contains(host, ":") {
		made.Host = "[" + host + "]" // and the name of a zone as it is
	}
	if u.Port() != "" {
		made.Host += ":" + strconv.FormatUint(port, 10)
	}
	return made.String(), ""
}
