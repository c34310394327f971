package stack

import (
	"fmt"
	"slices"
	"strings"
)

// caddyAdminPort is where Caddy takes its configuration, on loopback.
const caddyAdminPort = 2019

// checkStack checks what no block can know by itself.
func (l *loader) checkStack(s *Stack) {
	l.checkHosts(s)
	l.checkPorts(s.Proxy)
	for _, w := range s.Workers {
		l.checkSlugs(w)
	}
	l.checkAPIKeys(s)
}

// checkHosts refuses two hosts of one name, and two entries for one address:
// one machine in two roles is not supported yet. Entries that only turn out to
// be one machine on the spot are found there.
func (l *loader) checkHosts(s *Stack) {
	names, addresses := map[string]*Host{}, map[string]*Host{}
	for _, h := range s.Hosts() {
		if first, ok := names[h.Name]; ok && h.Name != "" && first.Role != h.Role {
			l.report(h.Range, "Duplicate name", "%s and %s are told apart by their names: %s %q stands on line %d.",
				first.Role, h.Role, first.Role, first.Name, first.Range.Start.Line)
		}
		names[h.Name] = h
		if h.Address == "" {
			continue
		}
		key := fmt.Sprintf("%s port %d", h.Address, h.SSH.Port)
		if h.IsLocal() {
			key = Local
		}
		if first, ok := addresses[key]; ok {
			l.report(h.At("address"), "Not supported yet",
				"%s %q on line %d has this address too. One machine in two places of a stack is not supported yet: give each entry a machine of its own.",
				first.Role, first.Name, first.Range.Start.Line)
			continue
		}
		addresses[key] = h
	}
}

// checkPorts refuses a port that something else on the proxy host listens on.
func (l *loader) checkPorts(p *Proxy) {
	taken := map[int]string{
		MetricsPort:    "relay-server shows its metrics there",
		caddyAdminPort: "Caddy takes its configuration there",
	}
	if p.SSH.Port != 0 {
		taken[p.SSH.Port] = "sshd listens there"
	}
	port := int(p.Relay.Listen.Port())
	if use, ok := taken[port]; ok && port != 0 {
		l.report(p.Relay.At("listen"), "Port used twice", "Port %d is taken on the proxy host: %s.", port, use)
	}
}

// checkSlugs refuses models of one host whose files would have one name.
func (l *loader) checkSlugs(w *Worker) {
	first := map[string]*Model{}
	for _, m := range w.Models {
		other, ok := first[m.Slug()]
		if ok && m.Name != "" && other.Name != m.Name {
			l.report(m.Range, "Names too alike",
				"Files of model %q would have the same names as those of model %q on line %d: both become %q.",
				m.Name, other.Name, other.Range.Start.Line, m.Slug())
			continue
		}
		first[m.Slug()] = m
	}
}

// checkAPIKeys refuses keys for models that no worker has, and one secret
// under two names.
func (l *loader) checkAPIKeys(s *Stack) {
	known := s.ModelNames()
	values := map[string]*APIKey{}
	for _, key := range s.APIKeys {
		for _, name := range key.Models {
			if slices.Contains(known, name) {
				continue
			}
			who := "named " + quote(name)
			if key.hidden["models"] {
				who = "of a name in here, which is not shown"
			}
			l.report(key.At("models"), "Unknown model", "No worker has a model %s. %s", who, modelHint(name, known))
		}
		if key.Value.IsZero() {
			continue
		}
		if first, ok := values[key.Value.Hash()]; ok {
			l.report(key.At("value"), "Duplicate key", "This is the same key as that of api_key %q on line %d.",
				first.Name, first.Range.Start.Line)
			continue
		}
		values[key.Value.Hash()] = key
	}
}

// modelHint says which model was probably meant, else which there are.
func modelHint(name string, known []string) string {
	known = slices.DeleteFunc(slices.Clone(known), func(s string) bool { return s == "" })
	if near, ok := nearest(name, known); ok {
		return fmt.Sprintf("Did you mean %q?", near)
	}
	if len(known) == 0 {
		return "No worker has a model."
	}
	return "Models of this stack: " + strings.Join(known, ", ") + "."
}
