package engine_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/relayctl/relayctl/internal/engine"
	"github.com/relayctl/relayctl/internal/plan"
)

// rememberAlso has the proxy host say that it remembers another host.
func (h *home) rememberAlso(entry map[string]any) {
	h.t.Helper()
	hosts := []any{entry}
	for _, host := range h.edge.record().Manifest().Hosts {
		hosts = append(hosts, host)
	}
	h.edge.writeLine(map[string]any{"hosts": map[string]any{"hosts": hosts}})
}

// journey notes whom the engine dials, and what it had told until then.
type journey struct {
	home *home
	mu   sync.Mutex
	went []engine.Target
	told map[string]string // what was said of a host before it was dialled
}

func travel(h *home) *journey {
	j := &journey{home: h, told: map[string]string{}}
	h.config.Dialer = j
	return j
}

func (j *journey) Dial(ctx context.Context, target engine.Target) (*engine.Conversation, error) {
	j.mu.Lock()
	j.went = append(j.went, target)
	for _, event := range j.home.heard(target.Name, engine.Left) {
		j.told[target.Name] = event.Text
	}
	j.mu.Unlock()
	return j.home.network.Dial(ctx, target)
}

// to is how a host was dialled; false: it was not.
func (j *journey) to(address string) (engine.Target, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	at := slices.IndexFunc(j.went, func(t engine.Target) bool { return t.Address == address })
	if at < 0 {
		return engine.Target{}, false
	}
	return j.went[at], true
}

// What the proxy host remembers is not followed where only the stack file can
// say it, or where it is no place at all. Such a host is named, and can be
// given up.
func TestRememberedHostsThatAreNotFollowed(t *testing.T) {
	for name, entry := range map[string]map[string]any{
		"this machine":              {"address": "local"},
		"this machine in capitals":  {"address": "LOCAL"},
		"this machine by its name":  {"address": "localhost"},
		"by a name below it":        {"address": "x.localhost"},
		"by its full name":          {"address": "localhost.localdomain"},
		"by loopback":               {"address": "127.0.0.2", "port": 22},
		"by loopback of IPv6":       {"address": "::1"},
		"by loopback in IPv6":       {"address": "::ffff:127.0.0.1"},
		"by no address":             {"address": "0.0.0.0"},
		"by a number":               {"address": "2130706433"},
		"by an old form":            {"address": "127.1"},
		"an option":                 {"address": "-oProxyCommand=sh"},
		"with a user in it":         {"address": "root@10.0.0.99"},
		"with a port in it":         {"address": "10.0.0.99:22"},
		"with control characters":   {"address": "10.0.0.99\n"},
		"nothing":                   {"address": ""},
		"a port out of range":       {"address": "10.0.0.99", "port": 65536},
		"a port below zero":         {"address": "10.0.0.99", "port": -1},
		"a user that is an option":  {"address": "10.0.0.99", "user": "-oProxyCommand=sh"},
		"a user with a space":       {"address": "10.0.0.99", "user": "root x"},
		"a user with a command":     {"address": "10.0.0.99", "user": "$(sh)"},
		"a user with an escape":     {"address": "10.0.0.99", "user": "root\x1b[2J"},
		"behind an option":          {"address": "10.0.0.99", "jump": "-oProxyCommand=sh"},
		"behind a command":          {"address": "10.0.0.99", "jump": "gw;sh"},
		"behind an escape":          {"address": "10.0.0.99", "jump": "gw\x1b[2J"},
		"behind this machine":       {"address": "10.0.0.99", "jump": "local"},
		"behind a port of it":       {"address": "10.0.0.99", "jump": "127.0.0.1:2222"},
		"behind it by its name":     {"address": "10.0.0.99", "jump": "gw,localhost"},
		"behind an odd user":        {"address": "10.0.0.99", "jump": "john.doe@gw"},
		"behind a user's command":   {"address": "10.0.0.99", "jump": "$(sh)@gw"},
		"behind a host's other way": {"address": "10.0.0.99", "jump": "root@edge"},
		"behind far too many":       {"address": "10.0.0.99", "jump": strings.Repeat("a,", 10) + "b"},
		"behind nothing":            {"address": "10.0.0.99", "jump": ","},
		"this machine behind one":   {"address": "127.0.0.1", "port": 2222, "jump": "gw"},
		"a name that is no label":   {"address": "10.0.0.99", "name": "../gpu"},
		"a name with an escape":     {"address": "10.0.0.99", "name": "gpu\x1b[2J"},
		"a name of ours, seemingly": {"address": "10.0.0.99", "name": "gpu-1\u200b"},
		"no name":                   {"address": "10.0.0.99", "name": ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHome(t)
				h.mustApply()
				if _, named := entry["name"]; !named {
					entry["name"] = "gpu-9"
				}
				h.rememberAlso(entry)
				j := travel(h)
				planned := h.plan()
				if len(j.went) != 3 {
					t.Errorf("dialled %+v", j.went)
				}
				if len(planned.Stays) != 1 || !errors.Is(planned.Stays[0], engine.ErrNotFollowed) || !planned.Empty() {
					t.Fatalf("stays %v", planned.Stays)
				}
				forget := planned.Stays[0].Host
				if plan.Printable(forget, true) != forget || forget == "" || strings.HasPrefix(forget, "gpu-1") {
					t.Errorf("it is called %q", forget)
				}
				h.config.Forget = []string{forget}
				h.mustApply()
				h.config.Forget = nil
				if planned := h.plan(); len(planned.Stays) > 0 || len(planned.Unknown) > 0 {
					t.Errorf("it stays %v", planned.Stays)
				}
			})
		})
	}
}

// One that is followed is told before it is dialled, and reached with what the
// operator's side knows: no key, no host key and no way to root is taken from
// another host.
func TestRememberedHostsAreReachedByTheOperatorsMeans(t *testing.T) {
	const defaults = "ssh {\n  user = \"ops\"\n  identity_file = \"/keys/ours\"\n  sudo = \"none\"\n}\n"
	for _, test := range []struct{ name, file, identity, sudo string }{
		{"by ssh's own", homeStack, "", "auto"},
		{"by the file's", defaults + homeStack, "/keys/ours", "none"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHome(t)
				h.mustApply()
				h.config.Stack = load(t, test.file)
				h.rememberAlso(map[string]any{
					"name": "gpu-9", "address": "10.0.0.99", "user": "debian", "port": 2200, "sudo": "auto",
					"identity_file": "/root/.ssh/id_rsa", "host_key": "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU",
				})
				j := travel(h)
				planned := h.plan()
				way, went := j.to("10.0.0.99")
				if !went || way.IdentityFile != test.identity || way.HostKey != "" || way.Sudo != test.sudo || way.User != "debian" || way.Port != 2200 {
					t.Errorf("dialled %+v", way)
				}
				if j.told["gpu-9"] != "edge remembers it at 10.0.0.99" {
					t.Errorf("told before: %q", j.told["gpu-9"])
				}
				if len(planned.Stays) != 1 || planned.Stays[0].Host != "gpu-9" {
					t.Errorf("stays %v", planned.Stays)
				}
			})
		})
	}
}

// Keys and host keys are not handed to the proxy host either.
func TestMeansAreNotRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		h.config.Stack = load(t, "ssh {\n  identity_file = \"/keys/ours\"\n}\n"+homeStack)
		h.mustApply()
		if journal := h.edge.read(journalPath); strings.Contains(journal, "/keys/ours") || !h.edge.remembers("10.0.0.22") {
			t.Errorf("it remembers %s", journal)
		}
	})
}

// A worker that was local is followed only by a proxy that is local itself.
func TestLocalWorkerThatLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		h.network["local"] = h.gpu2
		h.config.Stack = load(t, strings.Replace(homeStack, "10.0.0.22", "local", 1))
		h.mustApply()
		h.config.Stack = load(t, homeWithout)
		dials := h.gpu2.dials
		if planned := h.plan(); h.gpu2.dials != dials || len(planned.Stays) != 1 {
			t.Errorf("dialled %d times, stays %v", h.gpu2.dials-dials, planned.Stays)
		}
	})
}

// More hosts than a stack can have left are not dialled one after the other.
func TestFarTooManyRememberedHosts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		h.mustApply()
		var many []string
		for range 1001 {
			many = append(many, `{"name":"gpu-9","address":"10.0.0.99"}`)
		}
		h.edge.lie = lieOnce(`"hosts":[`, `"hosts":[`+strings.Join(many, ",")+",")
		j := travel(h)
		planned := h.plan()
		if _, went := j.to("10.0.0.99"); went || len(planned.Failed) != 1 || !errors.Is(planned.Failed[0], engine.ErrReport) {
			t.Errorf("failed %v", planned.Failed)
		}
	})
}
