package e2e_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/relayctl/relayctl/test/lab"
)

// packagesOf are the packages of a host, with what is left of removed ones.
func packagesOf(t *testing.T, h *lab.Host) string {
	t.Helper()
	return lab.MustRun(t, h, `dpkg-query -W -f '${Package} ${db:Status-Abbrev}\n'`)
}

// unitsOf are the units of a host that run or are enabled.
func unitsOf(t *testing.T, h *lab.Host) string {
	t.Helper()
	return lab.MustRun(t, h, `systemctl list-unit-files --no-legend --no-pager | awk '{print $1, $2}' | sort
systemctl list-units --no-legend --no-pager --plain --type=service --state=running | awk '{print $1}' | grep -v -e '^systemd-' -e '^user@' -e '^ssh@' -e '^run-' -e '^session-' | sort`)
}

// whole is all that a host is.
type whole struct {
	files                     map[string]lab.Snapshot
	packages, units, accounts map[string]string
}

func (s *site) whole() whole {
	s.t.Helper()
	w := whole{files: s.snapshots(destroyLeaves...), packages: map[string]string{}, units: map[string]string{}, accounts: map[string]string{}}
	for _, h := range s.hosts() {
		w.packages[h.Name], w.units[h.Name] = packagesOf(s.t, h), unitsOf(s.t, h)
		w.accounts[h.Name] = lab.MustRun(s.t, h, showAccounts)
	}
	return w
}

// destroyLeaves is written by others as things come and go: accounts with the
// same lines, and what apt, dpkg and systemd note for themselves.
var destroyLeaves = append([]string{
	"/etc/ld.so.cache", "/var/cache", "/var/log", "/var/lib/apt", "/var/lib/dpkg", "/var/lib/systemd", "/var/tmp", "/tmp", "/run",
	"/etc/subuid-", "/etc/subgid-", "/etc/subuid", "/etc/subgid",
}, accountFiles...)

// mustBeAgain fails where hosts are not what they were.
func (s *site) mustBeAgain(before whole) {
	s.t.Helper()
	now := s.whole()
	for _, h := range s.hosts() {
		if diff := before.files[h.Name].Diff(now.files[h.Name]); len(diff) > 0 {
			s.t.Errorf("%s has other files:\n%s", h.Name, strings.Join(diff, "\n"))
		}
	}
	for what, pair := range map[string][2]map[string]string{
		"packages": {before.packages, now.packages}, "units": {before.units, now.units}, "accounts": {before.accounts, now.accounts},
	} {
		if diff := cmp.Diff(pair[0], pair[1]); diff != "" {
			s.t.Errorf("other %s (-before +now):\n%s", what, diff)
		}
	}
}

// TestDestroy takes a stack away, and compares the hosts with what they were.
func TestDestroy(t *testing.T) {
	s := newSite(t)
	bare := s.whole()
	s.apply()
	ca := s.mustRelayctl("ca")
	s.step("but for what clients trust", func() {
		said := s.mustRelayctl("destroy", "--yes")
		want(s.t, said, "Takes away from lab (3 hosts)", "- unit relay-server", "- package caddy", "! ca internal", "--purge",
			"Clients of https://"+domain+" get no answer after this")
		if got := lab.MustRun(s.t, s.Edge, "find /var/lib/relayctl -type f | sort"); !strings.Contains(got, "/var/lib/relayctl/ca/internal.pem") {
			s.t.Errorf("kept: %s", got)
		}
		want(s.t, s.mustRelayctl("destroy", "--yes"), "nothing")
	})
	s.step("and set up again", func() {
		s.apply()
		s.mustBeDone()
		if s.mustRelayctl("ca") != ca {
			s.t.Error("the CA is another one")
		}
		s.mustAnswer(s.client(), s.key("laptop"), "stub")
	})
	s.step("killed in the middle", func() {
		if r := s.struckIn(blow{line: "unit relay-worker", fall: s.killRelayctl}, "destroy", "--yes", "--purge"); r.code == 0 {
			s.t.Fatal("not killed")
		}
		s.awaitNoRelayHost()
		s.mustRelayctl("destroy", "--yes", "--purge")
		s.mustBeAgain(bare)
	})
	s.step("a host that is away", func() {
		s.apply()
		off := s.Workers[1]
		if err := off.Stop(s.t.Context()); err != nil {
			s.t.Fatal(err)
		}
		r := s.relayctl("destroy", "--yes", "--purge")
		want(s.t, r.out, "Error: "+off.Name, "--forget "+off.Name)
		if r.code != 1 {
			s.t.Errorf("exit code %d, want 1", r.code)
		}
		lab.MustRun(s.t, s.Edge, "test -e /var/lib/relayctl/journal.jsonl")
		s.mustRelayctl("destroy", "--yes", "--purge", "--forget", off.Name)
		if _, err := s.Edge.Run(s.t.Context(), "test -e /var/lib/relayctl"); err == nil {
			s.t.Error("the proxy host still remembers")
		}
	})
}

// TestDestroyTakenOver gives back what was taken over: nginx serves again.
func TestDestroyTakenOver(t *testing.T) {
	s := newSite(t)
	lab.MustRun(t, s.Edge, `apt-get -q -y --no-install-recommends install nginx
printf 'server {\n  listen 80 default_server;\n  location / { return 200 "shop\\n"; }\n}\n' > /etc/nginx/sites-enabled/default.new
mv /etc/nginx/sites-enabled/default.new /etc/nginx/sites-available/shop
rm /etc/nginx/sites-enabled/default && ln -s /etc/nginx/sites-available/shop /etc/nginx/sites-enabled/shop
systemctl restart nginx && curl -sf http://127.0.0.1/`)
	before := s.whole()
	s.apply("--adopt")
	s.mustBeOff("nginx")
	want(t, s.mustRelayctl("destroy", "--yes", "--purge"), "unit nginx", "as it was")
	s.mustBeAgain(before)
	if got := lab.MustRun(t, s.Edge, "curl -s http://127.0.0.1/"); got != "shop" {
		t.Errorf("nginx serves %q", got)
	}
}
