// Package stack turns a stack file into a Stack: it parses the file, evaluates
// its variables, locals and functions, checks every name and value, fills in
// the defaults, and remembers where each thing stands, so that a failure on a
// host can point back at the line that asked for it. It touches no host.
package stack

import (
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"

	"github.com/relayctl/relayctl/internal/secret"
)

// Local is the address of the machine that relayctl itself runs on: such a
// host is reached without SSH.
const Local = "local"

// MetricsPort is where relay-server shows its metrics, on loopback.
const MetricsPort = 8081

// ProbeKey is what the relay calls relayctl's own key: no api_key has this name.
const ProbeKey = "relayctl-probe"

// Stack is one stack file with its defaults filled in.
type Stack struct {
	Place
	Name    string
	Proxy   *Proxy
	Workers []*Worker // in the order of the file
	APIKeys []*APIKey // in the order of the file
	SSH     SSH       // of the file's own ssh block: for hosts that left the file

	// Sources holds the text that the stack was read from.
	Sources *Sources
}

// Place is where a block stands in the stack file.
type Place struct {
	// Range is the block's header: its type and labels.
	Range hcl.Range

	attrs  map[string]hcl.Range
	hidden map[string]bool // attributes whose values are quoted in no message
}

// At is the range of an attribute of the block, or of the block's header where
// the attribute was left out.
func (p Place) At(attribute string) hcl.Range {
	if r, ok := p.attrs[attribute]; ok {
		return r
	}
	return p.Range
}

// over lays a block over another of its kind: what it leaves out stands there.
func (p Place) over(base Place) Place {
	attrs, hidden := maps.Clone(base.attrs), maps.Clone(base.hidden)
	if attrs == nil {
		return p
	}
	maps.Copy(attrs, p.attrs)
	maps.Copy(hidden, p.hidden)
	return Place{Range: p.Range, attrs: attrs, hidden: hidden}
}

// Role says what a host is for.
type Role string

// The roles are named as the blocks of the stack file.
const (
	RoleProxy  Role = "proxy"
	RoleWorker Role = "worker"
)

// Host is what proxies and workers have in common.
type Host struct {
	Place
	Role    Role
	Name    string // unique among all hosts of the stack
	Address string // a host name or an alias of ssh's configuration, an IP address, or Local
	SSH     SSH
}

// IsLocal reports whether the host is the machine that relayctl runs on.
func (h *Host) IsLocal() bool { return h.Address == Local }

// Sudo says how to become root on a host.
type Sudo string

// Values of the sudo attribute.
const (
	SudoAuto     Sudo = "auto"     // root as it is, everybody else by sudo, with a password where it wants one
	SudoPassword Sudo = "password" // the same, and sudo is known to want a password
	SudoNone     Sudo = "none"     // never: the user must be root
)

// SSH says how a host is reached: the ssh block of the host over that of the
// file, attribute by attribute. Empty fields were left out in both, and leave
// the choice to ~/.ssh/config and to the ssh program's own defaults.
type SSH struct {
	Place               // of the host's own block, else of the file's, else of the host
	User         string // "": not said
	Port         int    // 1 to 65535; 0: not said
	IdentityFile string // an absolute path; "": the agent's keys, or those of ~/.ssh/config
	HostKey      string // "SHA256:…" as ssh-keygen -l prints it, with the key's type before it where that was said; "": known_hosts decides
	Sudo         Sudo
	Jump         []Hop // the first to be reached first; none: as ~/.ssh/config says
	Direct       bool  // jump = "none": through no other host, whatever ~/.ssh/config says
}

// Hop is a host that the way to another one leads through.
type Hop struct {
	Host    *Host  // of the stack; nil: it is none of the stack's, and the rest says what it is
	User    string // "": as ~/.ssh/config says
	Address string
	Port    int // 0: as ~/.ssh/config says
	// IdentityFile is offered beside what ~/.ssh/config names for it: the one of
	// the ssh block that names the hop.
	IdentityFile string
}

// Proxy is the host that clients and workers connect to.
type Proxy struct {
	Host
	Domain string // a host name in lower case or an IP address: what certificate and clients name
	Server Server
	TLS    TLS
	Relay  Relay
}

// IP is the domain as an IP address, where it is one.
func (p *Proxy) IP() (netip.Addr, bool) {
	ip, err := netip.ParseAddr(p.Domain)
	return ip, err == nil
}

// URL is where clients reach the stack, without a path: https://llm.example.com.
func (p *Proxy) URL() string {
	host := p.Domain
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return (&url.URL{Scheme: "https", Host: host}).String()
}

// Server is the program that terminates TLS.
type Server string

// Values of the server attribute.
const ServerCaddy Server = "caddy"

// TLSMode is the label of the tls block.
type TLSMode string

// Labels of the tls block.
const TLSInternal TLSMode = "internal" // a CA of the stack's own, kept on the proxy host

// TLS says where the certificate comes from.
type TLS struct {
	Place
	Mode TLSMode
}

// Relay holds the settings of relay-server.
type Relay struct {
	Place
	Listen           netip.AddrPort // on loopback, port 1024 or higher
	FirstByteTimeout time.Duration
	IdleTimeout      time.Duration // between two bytes of an answer
	RequestTimeout   time.Duration // in all; the proxy in front waits longer
	QueueTimeout     time.Duration
	MaxQueue         int // requests waiting per model; 0: none may wait
}

// Worker is a host that answers requests.
type Worker struct {
	Host
	Models []*Model // at least one, in the order of the file
}

// Kind is what a model is asked for.
type Kind string

// Values of the kind attribute.
const KindChat Kind = "chat"

// Model is one model at one worker. Several workers may serve the same one.
type Model struct {
	Place
	Name        string       // what clients say
	Backend     string       // the engine's URL, less /v1 and what follows: http://127.0.0.1:11434
	BackendKey  secret.Value // zero: the engine asks for none
	Upstream    string       // the engine's own name for it: Name, unless the file says otherwise
	Kind        Kind
	Concurrency int // requests that the engine is given at once
}

// Slug is the model's name in the names of files and units. It is unique on a
// host and consists of a-z, 0-9, dot, underscore and hyphen.
func (m *Model) Slug() string { return slug(m.Name) }

func slug(name string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r == '.', r == '_', r == '-':
			return r
		case r >= 'A' && r <= 'Z':
			return r - 'A' + 'a'
		}
		return '-'
	}, name)
}

// APIKey is a key that clients may use.
type APIKey struct {
	Place
	Name   string
	Value  secret.Value // zero: made by relayctl
	Models []string     // empty: all

	// Expires is the first moment at which the key is no longer good; zero:
	// it does not end.
	Expires time.Time
}

// Hosts lists the proxy, then the workers in the order of the file.
func (s *Stack) Hosts() []*Host {
	hosts := []*Host{&s.Proxy.Host}
	for _, w := range s.Workers {
		hosts = append(hosts, &w.Host)
	}
	return hosts
}

// Worker finds a worker by its name.
func (s *Stack) Worker(name string) (*Worker, bool) {
	i := slices.IndexFunc(s.Workers, func(w *Worker) bool { return w.Name == name })
	if i < 0 {
		return nil, false
	}
	return s.Workers[i], true
}

// ModelNames lists the names of all models, sorted, each once.
func (s *Stack) ModelNames() []string {
	var names []string
	for _, w := range s.Workers {
		for _, m := range w.Models {
			names = append(names, m.Name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
