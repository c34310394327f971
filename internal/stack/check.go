package stack

import (
	"maps"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
)

// caddyAdminPort is where Caddy takes its configuration until the stack has it
// take that elsewhere.
const caddyAdminPort = 2019

// maxModels is how many models a worker may offer: protocol.MaxOffers.
const maxModels = 256

// checkStack checks what no block can know by itself.
func (l *loader) checkStack(s *Stack) {
	l.checkHosts(s)
	l.checkPlaces(s)
	l.checkPorts(s.Proxy)
	for _, w := range s.Workers {
		if len(w.Models) > maxModels {
			l.report(w.Models[maxModels].Range, "Too many models", "A worker offers at most %d models to the relay.", maxModels)
		}
		l.checkSlugs(w)
		l.checkBackends(s.Proxy, w)
	}
	l.checkAPIKeys(s)
}

// checkHosts refuses two hosts of one name.
func (l *loader) checkHosts(s *Stack) {
	names := map[string]*Host{}
	for _, h := range s.Hosts() {
		if first, ok := names[h.Name]; ok && h.Name != "" && first.Role != h.Role {
			l.report(h.Range, "Duplicate name", "%s and %s are told apart by their names: %s %q stands on line %d.",
				first.Role, h.Role, first.Role, first.Name, first.Range.Start.Line)
		}
		names[h.Name] = h
	}
}

// checkPlaces refuses two workers in one place. Those that only turn out to be
// one machine on the spot are found there.
func (l *loader) checkPlaces(s *Stack) {
	for i, w := range s.Workers {
		at := slices.IndexFunc(s.Workers[:i], func(other *Worker) bool { return w.IsAt(&other.Host) })
		if at >= 0 {
			first := s.Workers[at]
			l.report(w.At("address"), "Two workers on one machine",
				"worker %q on line %d has this address too. A machine has one worker: put the models of both into one worker block.",
				first.Name, first.Range.Start.Line)
		}
	}
}

// onProxyHost are the ports that the proxy host's own services listen on beside
// the relay's.
var onProxyHost = map[int]string{
	MetricsPort:    "relay-server shows its metrics there",
	caddyAdminPort: "a Caddy that relayctl did not set up takes its configuration there",
}

// checkPorts refuses a port that something else on the proxy host listens on.
func (l *loader) checkPorts(p *Proxy) {
	taken := maps.Clone(onProxyHost)
	if p.SSH.Port != 0 {
		taken[p.SSH.Port] = "sshd listens there"
	}
	port := int(p.Relay.Listen.Port())
	if use, ok := taken[port]; ok && port != 0 {
		l.report(p.Relay.At("listen"), "Port used twice", "Port %d is taken on the proxy host: %s.", port, use)
	}
}

// checkBackends refuses engines on the proxy's machine at a port that a service
// of the proxy's takes: the relay would be its own engine.
func (l *loader) checkBackends(p *Proxy, w *Worker) {
	if !w.IsAt(&p.Host) {
		return
	}
	taken := maps.Clone(onProxyHost)
	taken[int(p.Relay.Listen.Port())] = "the relay listens there. Give the engine another port, or the relay another listen address"
	for _, m := range w.Models {
		port, ok := loopbackPort(m.Backend)
		if use, isTaken := taken[port]; ok && isTaken && !m.hidden["backend"] {
			l.report(m.At("backend"), "Port used twice", "Port %d is taken on the machine of proxy %q: %s.", port, p.Name, use)
		}
	}
}

// loopbackPort is the port of an engine on the worker's own machine; false: it
// is elsewhere, or the URL is no good.
func loopbackPort(backend string) (port int, ok bool) {
	u, err := url.Parse(backend)
	if err != nil {
		return 0, false
	}
	ip, err := netip.ParseAddr(u.Hostname())
	if u.Hostname() != "localhost" && (err != nil || !ip.IsLoopback()) {
		return 0, false
	}
	port, err = strconv.Atoi(u.Port())
	return port, err == nil
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
		if key.Name == ProbeKey {
			l.report(key.Range, "Name taken", "%s is what relayctl calls its own key, by which it asks models for a token.", quote(key.Name))
		}
		for _, name := range key.Models {
			if slices.Contains(known, name) {
				continue
			}
			who := "named " + quote(name)
			if key.hidden["models"] {
				who = "of a name in here, which is not shown"
			}
			l.report(key.At("models"), "Unknown model", "No worker has a model %s. %s", who, Suggest(name, known))
		}
		if key.Value.IsZero() || !key.Value.IsKnown() {
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
