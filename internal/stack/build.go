package stack

import (
	"net/netip"
	"time"

	"github.com/zclconf/go-cty/cty"

	"github.com/relayctl/relayctl/internal/secret"
)

// build turns checked sections into a Stack. What was reported as wrong is
// zero in it.
func (l *loader) build(root *section) *Stack {
	base := root.only("ssh")
	s := &Stack{Proxy: &Proxy{}, SSH: l.layered(SSH{Sudo: SudoAuto}, base)}
	for _, nested := range root.sections {
		switch nested.schema.name {
		case "stack":
			s.Name, s.Place = nested.label, nested.Place
		case "proxy":
			s.Proxy = l.buildProxy(nested, base)
		case "worker":
			s.Workers = append(s.Workers, l.buildWorker(nested, base))
		case "api_key":
			s.APIKeys = append(s.APIKeys, buildAPIKey(nested))
		}
	}
	return s
}

func (l *loader) buildHost(s *section, role Role, base *section) Host {
	host, _ := Address(s.text("address"))
	return Host{
		Place:   s.Place,
		Role:    role,
		Name:    s.label,
		Address: host,
		SSH:     l.buildSSH(s, base),
	}
}

// buildSSH lays a host's own ssh block over that of the file.
func (l *loader) buildSSH(host, base *section) SSH {
	return l.layered(SSH{Place: host.Place, Sudo: SudoAuto}, base, host.only("ssh"))
}

// layered lays ssh blocks over each other, attribute by attribute.
func (l *loader) layered(ssh SSH, blocks ...*section) SSH {
	for _, s := range blocks {
		if s == nil {
			continue
		}
		ssh.Place = s.Place
		for name := range s.attrs {
			if _, ok := s.values[name]; !ok {
				continue
			}
			switch name {
			case "user":
				ssh.User = s.text(name)
			case "port":
				ssh.Port = s.whole(name)
			case "identity_file":
				ssh.IdentityFile = l.resolve(s.text(name))
			case "host_key":
				ssh.HostKey, _ = parseHostKey(s.text(name))
			case "sudo":
				ssh.Sudo = Sudo(s.text(name))
			}
		}
	}
	return ssh
}

func (l *loader) buildProxy(s, base *section) *Proxy {
	p := &Proxy{Host: l.buildHost(s, RoleProxy, base), Server: Server(s.text("server"))}
	p.Domain, _ = parseDomain(s.text("domain"))
	if tls := s.only("tls"); tls != nil {
		p.TLS = TLS{Place: tls.Place, Mode: TLSMode(tls.label)}
	}
	relay := s.only("relay")
	if relay == nil {
		relay = &section{schema: relayBlock(), Place: Place{Range: s.Range}, values: map[string]cty.Value{}}
		relay.fillIn()
	}
	p.Relay = buildRelay(relay)
	return p
}

func buildRelay(s *section) Relay {
	listen, _ := parseListen(s.text("listen"))
	return Relay{
		Place:            s.Place,
		Listen:           netip.AddrPortFrom(listen.Addr().Unmap(), listen.Port()),
		FirstByteTimeout: s.duration("first_byte_timeout"),
		IdleTimeout:      s.duration("idle_timeout"),
		RequestTimeout:   s.duration("request_timeout"),
		QueueTimeout:     s.duration("queue_timeout"),
		MaxQueue:         s.whole("max_queue"),
	}
}

func (l *loader) buildWorker(s, base *section) *Worker {
	w := &Worker{Host: l.buildHost(s, RoleWorker, base)}
	for _, nested := range s.sections {
		if nested.schema.name == "model" {
			w.Models = append(w.Models, buildModel(nested))
		}
	}
	return w
}

func buildModel(s *section) *Model {
	backend, _ := parseOrigin(s.text("backend"))
	m := &Model{
		Place:       s.Place,
		Name:        s.label,
		Backend:     backend,
		BackendKey:  s.secret("backend_key"),
		Upstream:    s.text("upstream"),
		Kind:        Kind(s.text("kind")),
		Concurrency: s.whole("concurrency"),
	}
	if m.Upstream == "" {
		m.Upstream = m.Name
	}
	return m
}

func buildAPIKey(s *section) *APIKey {
	key := &APIKey{Place: s.Place, Name: s.label, Value: s.secret("value")}
	if models, ok := s.values["models"]; ok {
		key.Models = texts(models)
	}
	if expires := s.text("expires"); expires != "" {
		key.Expires, _ = parseExpiry(expires)
	}
	return key
}

// only finds the nested section of a kind that there can be one of.
func (s *section) only(name string) *section {
	for _, nested := range s.sections {
		if nested.schema.name == name {
			return nested
		}
	}
	return nil
}

func (s *section) text(name string) string {
	v, ok := s.values[name]
	if !ok {
		return ""
	}
	return v.AsString()
}

func (s *section) secret(name string) secret.Value {
	if s.unknown[name] {
		return secret.Unknown()
	}
	return secret.New(s.text(name))
}

func (s *section) whole(name string) int {
	v, ok := s.values[name]
	if !ok {
		return 0
	}
	n, _ := v.AsBigFloat().Int64()
	return int(n)
}

func (s *section) duration(name string) time.Duration {
	d, _ := parseDuration(s.text(name))
	return d
}
