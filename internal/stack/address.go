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

var zonePattern = regexp.MustCompile(`^[A-Za-z0-9._-]*$`)

// parseHost brings a host name or an IP address into the one form that is
// compared and printed. It refuses what only looks like an IP address, and
// addresses that no single host has. An address may have a zone.
func parseHost(s string) (host string, ok bool) {
	bare := s
	if inside, found := strings.CutPrefix(s, "["); found && strings.HasSuffix(inside, "]") {
		bare = strings.TrimSuffix(inside, "]")
	}
	if ip, err := netip.ParseAddr(bare); err == nil {
		return ip.Unmap().String(), !ip.IsUnspecified() && !ip.IsMulticast() && zonePattern.MatchString(ip.Zone())
	}
	host = strings.TrimSuffix(s, ".")
	if strings.ContainsFunc(host, func(r rune) bool { return r > unicode.MaxASCII }) {
		ascii, err := idna.Lookup.ToASCII(host)
		if err != nil {
			return "", false
		}
		host = ascii
	}
	lower := strings.ToLower(host)
	isName := hostPattern.MatchString(lower) && len(lower) <= 253 && !looksLikeIP.MatchString(lower[strings.LastIndexByte(lower, '.')+1:])
	return host, isName
}

// Address brings where a host is reached into the form that it has in a Stack,
// and reports whether it is an address at all. Capitals stay: a name may be an
// alias of ssh's configuration, where they count.
func Address(s string) (string, bool) {
	host, ok := parseHost(s)
	if strings.EqualFold(host, Local) {
		host = Local
	}
	return host, ok
}

// address takes where a host is reached by SSH.
func address() form {
	return textThat(`a host name, an IP address, or "local" for this machine`, ". A user and a port go into an ssh block", Address)
}

// domain takes what clients and the certificate name, in lower case.
func domain() form {
	return textThat("a host name or an IP address", ". Clients come to it by https, at port 443", func(s string) (string, bool) {
		host, ok := parseHost(s)
		return strings.ToLower(host), ok && !strings.Contains(host, "%")
	})
}

// loopback takes where relay-server listens, at a port that a program without
// privileges may open; localhost is an address. Caddy in front of it is the only
// way in from elsewhere.
func loopback() form {
	return textThat(`a loopback address and a port from 1024 to 65535, such as "127.0.0.1:8080"`, "", func(s string) (netip.AddrPort, bool) {
		if port, ok := strings.CutPrefix(strings.ToLower(s), "localhost:"); ok {
			s = "127.0.0.1:" + port
		}
		at, err := netip.ParseAddrPort(s)
		ok := err == nil && at.Addr().IsLoopback() && at.Addr().Zone() == "" && at.Port() >= 1024
		return netip.AddrPortFrom(at.Addr().Unmap(), at.Port()), ok
	})
}

// origin takes the URL of an engine, down to what comes before /v1: the rest of
// the path is the client's.
func origin() form {
	const says = `an http or https URL, such as "http://127.0.0.1:11434"`
	return text(says, func(s string) (string, string) {
		u, _ := url.Parse(s)
		made, ok := parseOrigin(s)
		switch {
		case ok:
			return made, ""
		case u != nil && u.User != nil:
			return "", "holds a user name or password, and keys belong into backend_key: it has to be " + says
		}
		return "", "is not an engine's URL: it has to be " + says + ", without a query, without what comes behind /v1, and of one host, which 0.0.0.0 is not"
	})
}

// endpoints are the paths behind /v1 that people copy with the URL.
var endpoints = regexp.MustCompile(`/(completions|models|embeddings)$`)

// parseOrigin brings an engine's URL into the form scheme://host[:port][/path],
// without a /v1 at its end.
func parseOrigin(s string) (string, bool) {
	u, err := url.Parse(s)
	if err != nil || u.Opaque != "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil ||
		u.RawQuery != "" || u.ForceQuery || strings.Contains(s, "#") {
		return "", false
	}
	path := strings.TrimSuffix(strings.TrimRight(u.Path, "/"), "/v1")
	host, ok := parseHost(u.Hostname())
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	// An escape may change when the path is passed on.
	if !ok || strings.HasSuffix(u.Host, ":") || u.Port() != "" && (err != nil || port == 0) ||
		endpoints.MatchString(path) || strings.Contains(strings.ToLower(u.RawPath), "%2f") || strings.ContainsFunc(path, unseen) {
		return "", false
	}
	made := url.URL{Scheme: u.Scheme, Host: strings.ToLower(host), Path: strings.TrimRight(path, "/")}
	if strings.Contains(host, ":") {
		made.Host = "[" + host + "]" // and the name of a zone as it is
	}
	if u.Port() != "" {
		made.Host += ":" + strconv.FormatUint(port, 10)
	}
	return made.String(), true
}
