package stack

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

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
	l.settleWays(s)
	return s
}

// buildHost lays a host's own ssh block over that of the file.
func (l *loader) buildHost(s *section, role Role, base *section) Host {
	return Host{
		Place:   s.Place,
		Role:    role,
		Name:    s.label,
		Address: get[string](s, "address"),
		SSH:     l.layered(SSH{Place: s.Place, Sudo: SudoAuto}, base, s.only("ssh")),
	}
}

// layered lays ssh blocks over each other, attribute by attribute.
func (l *loader) layered(ssh SSH, blocks ...*section) SSH {
	for _, s := range blocks {
		if s == nil {
			continue
		}
		ssh.Place = s.Place.over(ssh.Place)
		ssh.User = cmp.Or(get[string](s, "user"), ssh.User)
		ssh.Port = cmp.Or(get[int](s, "port"), ssh.Port)
		ssh.HostKey = cmp.Or(get[string](s, "host_key"), ssh.HostKey)
		if path := get[string](s, "identity_file"); path != "" {
			ssh.IdentityFile = l.resolve(path)
		}
		if _, given := s.attrs["sudo"]; given {
			ssh.Sudo = Sudo(get[string](s, "sudo"))
		}
		if _, given := s.attrs["jump"]; given {
			ssh.goThrough(get[jump](s, "jump"))
		}
	}
	return ssh
}

func (l *loader) buildProxy(s, base *section) *Proxy {
	p := &Proxy{
		Host:   l.buildHost(s, RoleProxy, base),
		Domain: get[string](s, "domain"),
		Server: Server(get[string](s, "server")),
	}
	if tls := s.only("tls"); tls != nil {
		p.TLS = TLS{Place: tls.Place, Mode: TLSMode(tls.label)}
	}
	relay := s.only("relay")
	if relay == nil {
		relay = &section{schema: relayBlock(), Place: Place{Range: s.Range}, values: map[string]any{}}
		relay.fillIn()
	}
	p.Relay = Relay{
		Place:            relay.Place,
		Listen:           get[netip.AddrPort](relay, "listen"),
		FirstByteTimeout: get[time.Duration](relay, "first_byte_timeout"),
		IdleTimeout:      get[time.Duration](relay, "idle_timeout"),
		RequestTimeout:   get[time.Duration](relay, "request_timeout"),
		QueueTimeout:     get[time.Duration](relay, "queue_timeout"),
		MaxQueue:         get[int](relay, "max_queue"),
	}
	return p
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
	return &Model{
		Place:       s.Place,
		Name:        s.label,
		Backend:     get[string](s, "backend"),
		BackendKey:  get[secret.Value](s, "backend_key"),
		Upstream:    cmp.Or(get[string](s, "upstream"), s.label),
		Kind:        Kind(get[string](s, "kind")),
		Concurrency: get[int](s, "concurrency"),
	}
}

func buildAPIKey(s *section) *APIKey {
	return &APIKey{
		Place:   s.Place,
		Name:    s.label,
		Value:   get[secret.Value](s, "value"),
		Models:  get[[]string](s, "models"),
		Expires: get[time.Time](s, "expires"),
	}
}

// only finds the nested section of a kind that there can be one of.
func (s *section) only(name string) *section {
	i := slices.IndexFunc(s.sections, func(nested *section) bool { return nested.schema.name == name })
	if i < 0 {
		return nil
	}
	return s.sections[i]
}

// get is the value of an attribute, which its form reads as a T; zero where there
// is none.
func get[T any](s *section, name string) T {
	value, _ := s.values[name].(T)
	return value
}
