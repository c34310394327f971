package e2e_test

import (
	"maps"
	"net/http"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/relayctl/relayctl/test/lab"
)

// harm is what somebody does to a host behind relayctl's back.
type harm struct {
	name  string
	host  *lab.Host
	line  string   // of bash
	plan  []string // what the plan says of it
	moves []string // services of that host that may be another start after the repair
}

// TestRepair does harm to hosts, one kind after the other, and holds that each
// is planned with its reason, repaired by apply without touching a service
// that has nothing to do with it, and that the keys and the certificate
// authority of the first apply stay good to the end.
func TestRepair(t *testing.T) {
	s := appliedSite(t)
	key, client := s.key("laptop"), s.client()
	for _, harm := range s.harms() {
		s.step(harm.name, func() {
			before := s.services()
			lab.MustRun(s.t, harm.host, harm.line)
			r := s.relayctl("plan", "--detailed-exitcode")
			if r.code != 2 {
				s.t.Errorf("plan: exit code %d, want 2", r.code)
			}
			want(s.t, r.out, append(harm.plan, "Nothing was changed.")...)

			s.apply()
			s.mustBeDone()
			s.movedOnly(before, harm)
			s.mustAnswer(client, key, "stub")
			s.mustBeClosed(client)
		})
	}
	s.mustRelayctl("status")
	if s.key("laptop") != key {
		t.Error("a repair made the key anew")
	}
}

func (s *site) harms() []harm {
	edge, first, second := s.Edge, s.Workers[0], s.Workers[1]
	return []harm{{
		name: "the Caddyfile edited", host: edge,
		line: `sed -i 's/no such path here/edited by hand/' /etc/caddy/Caddyfile`,
		plan: []string{"~ file /etc/caddy/Caddyfile", "edited on the host since apply 1", "0 to create, 1 to change, 0 to remove."},
	}, {
		name: "the Caddyfile edited and loaded", host: edge,
		line: `sed -i 's/no such path here/edited by hand/' /etc/caddy/Caddyfile && systemctl reload caddy`,
		plan: []string{"~ file /etc/caddy/Caddyfile", "edited on the host since apply", "↻ reload caddy", "because /etc/caddy/Caddyfile changes"},
	}, {
		name: "a unit stopped", host: first,
		line:  "systemctl stop relay-worker",
		plan:  []string{"~ unit relay-worker", "stopped → running", "0 to create, 1 to change, 0 to remove."},
		moves: []string{"relay-worker.service"},
	}, {
		name: "a unit disabled", host: edge,
		line: "systemctl disable relay-server",
		plan: []string{"~ unit relay-server", "enabled", "disabled → enabled", "0 to create, 1 to change, 0 to remove."},
	}, {
		name: "a program replaced", host: second,
		line:  "cp /bin/false /tmp/program && mv /tmp/program /usr/local/lib/relayctl/relay-worker/current/relay-worker",
		plan:  []string{"~ program relay-worker", "replaced on the host since apply", "↻ restart relay-worker"},
		moves: []string{"relay-worker.service"},
	}, {
		name: "a program replaced and started", host: second,
		line: "cp /bin/false /tmp/program && mv /tmp/program /usr/local/lib/relayctl/relay-worker/current/relay-worker && " +
			"{ systemctl restart relay-worker; true; }",
		plan:  []string{"~ program relay-worker", "replaced on the host since apply", "~ unit relay-worker", "stopped → running"},
		moves: []string{"relay-worker.service"},
	}, {
		name: "a package removed", host: edge,
		line:  "apt-get -q -y remove caddy",
		plan:  []string{"+ package caddy", "removed on the host since apply", "~ unit caddy", "stopped → running"},
		moves: []string{"caddy.service"},
	}, {
		name: "a package purged", host: edge,
		line:  "apt-get -q -y purge caddy",
		plan:  []string{"+ package caddy", "removed on the host since apply", "+ file /etc/caddy/Caddyfile", "+ unit caddy"},
		moves: []string{"caddy.service"},
	}, {
		name: "settings deleted on the proxy", host: edge,
		line: "rm -r /etc/relay",
		plan: []string{"+ directory /etc/relay ", "+ file /etc/relay/keys.json", "+ file /etc/relay/workers.d/gpu-1.json", "removed on the host since apply"},
	}, {
		name: "settings deleted on a worker", host: first,
		line: "rm -r /etc/relay",
		plan: []string{"+ directory /etc/relay ", "+ file /etc/relay/worker.json", "+ file /etc/relay/worker.secret", "removed on the host since apply"},
	}, {
		name: "a secret changed", host: second,
		line: "tr A-Za-z B-ZAb-za < /etc/relay/worker.secret > /tmp/secret && cat /tmp/secret > /etc/relay/worker.secret && rm /tmp/secret",
		plan: []string{"~ file /etc/relay/worker.secret", "edited on the host since apply"},
	}, {
		name: "the mode of a file changed", host: edge,
		line: "chmod 0644 /etc/relay/keys.json",
		plan: []string{"~ file /etc/relay/keys.json", "mode 0644 → 0640", "changed on the host since apply", "0 to create, 1 to change, 0 to remove."},
	}}
}

// movedOnly fails where another service was started, stopped or restarted than
// those that a harm is about.
func (s *site) movedOnly(before map[string]map[string]string, harm harm) {
	s.t.Helper()
	after := s.services()
	for _, all := range []map[string]map[string]string{before, after} {
		maps.DeleteFunc(all[harm.host.Name], func(unit, _ string) bool { return slices.Contains(harm.moves, unit) })
	}
	if diff := cmp.Diff(before, after); diff != "" {
		s.t.Errorf("services that have nothing to do with it (-before +after):\n%s", diff)
	}
}

// mustBeClosed holds that the proxy forwards nothing but what the relay serves.
func (s *site) mustBeClosed(client *http.Client) {
	s.t.Helper()
	status, body := s.send(client, http.MethodGet, "/metrics", "", "")
	if status != http.StatusNotFound {
		s.t.Errorf("/metrics: status %d", status)
	}
	want(s.t, body, "no such path here")
}
