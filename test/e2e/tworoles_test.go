package e2e_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/relayctl/relayctl/test/lab"
)

// TestTwoRoles has the proxy and a worker on one machine, reached by SSH.
func TestTwoRoles(t *testing.T) {
	s := newSite(t)
	s.startEngine(s.Edge)
	second := s.freeAddress()
	lab.MustRun(t, s.Edge, "ip address add "+second+"/24 dev host0")

	s.step("one address", func() { s.twoRoles(s.roleAt(s.Edge.Addr)) })
	s.step("two addresses of one machine", func() {
		s.twoRoles(s.roleAt(second))
		lab.MustRun(s.t, s.Edge, "ip address del "+second+"/24 dev host0")
		s.mustBeDone() // nobody dials it any more
	})
	s.step("beside a worker of its own machine", s.besideAnother)
	s.step("a worker moves there and back", s.movesAndBack)
}

// twoRoles lives through a stack whose worker gpu-1 is on the proxy's machine.
func (s *site) twoRoles(worker string) {
	s.writeStack(s.stackOf(s.proxy(), worker, laptop))
	want(s.t, s.mustRelayctl("plan"), "1 host looked at", "edge, gpu-1 "+s.Edge.Addr+" ", "+ unit relay-worker", "(made by apply on edge)")
	s.apply()
	s.mustBeDone()
	s.mustServeBothRoles(s.Edge)
	client := s.client()
	s.mustStream(client)
	want(s.t, s.mustRelayctl("status"), "all well", "edge, gpu-1 up relay-server", "relay-worker", "stub 1 of 1")
	want(s.t, s.mustRelayctl("rotate-secret", "--yes"), "gpu-1 reconnected with the new one", "old secrets revoked")
	s.mustBeDone()
	s.mustStream(client)

	s.writeStack(s.stackOf(s.proxy(), laptop))
	want(s.t, s.mustRelayctl("plan"), "edge "+s.Edge.Addr+" ", "- unit relay-worker", "- file /etc/relay/workers.d/gpu-1.json")
	s.apply()
	s.mustBeDone()
	s.mustBeProxyOnly(s.Edge)
	if said := s.mustRelayctl("plan"); strings.Contains(said, "gpu-1") {
		s.t.Errorf("gpu-1 is still remembered:\n%s", said)
	}
}

// besideAnother has a second worker, on a machine of its own: a reload of Caddy
// closes its connection, and leaves the one within the proxy's machine alone.
func (s *site) besideAnother() {
	other := s.Workers[1]
	blocks := s.stackOf(s.proxy(), s.roleAt(s.Edge.Addr), s.worker(other), laptop)
	s.writeStack(blocks)
	s.apply()
	s.mustBeDone()
	here, there := s.connection("gpu-1"), s.connection(other.Name)
	if !here.Direct || there.Direct {
		s.t.Errorf("direct: %+v and %+v", here, there)
	}
	s.writeStack(strings.Replace(blocks, "  tls \"internal\" {}\n", "  tls \"internal\" {}\n\n  relay {\n    request_timeout = \"50m\"\n  }\n", 1))
	want(s.t, s.mustRelayctl("plan"), "reload caddy", "drops 1 worker connection,")
	s.apply()
	s.mustBeDone()
	if got := s.connection("gpu-1"); got.Since != here.Since {
		s.t.Error("the connection within the proxy's machine did not stay")
	}
	if got := s.connection(other.Name); got.Since == there.Since {
		s.t.Error("Caddy closed no connection: the test shows nothing")
	}
	s.mustStream(s.client())
	s.writeStack(s.stackOf(s.proxy(), laptop))
	s.apply()
}

// relayConnection is a worker's connection as the relay tells of it.
type relayConnection struct {
	Name, Since string
	Direct      bool
}

// connection waits for a worker's: it may have been refused before the relay
// knew it, and be about to come back.
func (s *site) connection(worker string) (found relayConnection) {
	s.t.Helper()
	s.await(s.t, worker+" is connected", func() bool {
		said := lab.MustRun(s.t, s.Edge, "curl --silent --fail --unix-socket /run/relay/admin.sock http://relay/v1/status")
		var status struct{ Workers []relayConnection }
		if err := json.Unmarshal([]byte(said), &status); err != nil {
			s.t.Fatal(err)
		}
		at := slices.IndexFunc(status.Workers, func(c relayConnection) bool { return c.Name == worker && c.Since != "" })
		if at >= 0 {
			found = status.Workers[at]
		}
		return at >= 0
	})
	return found
}

// movesAndBack moves a worker from a machine of its own to the proxy's.
func (s *site) movesAndBack() {
	first := s.Workers[0]
	bare := s.snapshots(accountFiles...)
	alone := s.stackOf(s.proxy(), s.worker(first), laptop)
	s.writeStack(alone)
	s.apply()
	s.mustBeDone()

	s.writeStack(s.stackOf(s.proxy(), s.roleAt(s.Edge.Addr), laptop))
	want(s.t, s.mustRelayctl("plan"), "edge, gpu-1 "+s.Edge.Addr+" ", "gpu-1 "+first.Addr+" ", "left the stack, gpu-1 is on edge now")
	s.apply()
	s.mustBeDone()
	s.mustBeAsBare(first, bare)
	s.mustServeBothRoles(s.Edge)
	s.mustStream(s.client())

	s.writeStack(alone)
	s.apply()
	s.mustBeDone()
	s.mustBeProxyOnly(s.Edge, "/etc/relay/workers.d/gpu-1.json")
	s.mustStream(s.client())
}

// TestTwoRolesLocal runs relayctl on the one machine itself.
func TestTwoRolesLocal(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ user, suite, folder string }{
		{"root", lab.Trixie, "/root"},
		{lab.Admin, lab.Bookworm, "/home/" + lab.Admin},
	} {
		t.Run(row.user, func(t *testing.T) {
			s := newBox(t, row.suite)
			program, err := os.ReadFile(relayctlProgram)
			if err == nil {
				err = s.Edge.WriteFile(t.Context(), "/usr/local/bin/relayctl", program, 0o755)
			}
			if err != nil {
				t.Fatal(err)
			}
			(&box{site: s, user: row.user, folder: row.folder}).live()
		})
	}
}

// newBox is a site of one machine, with an engine on it.
func newBox(t *testing.T, suite string) *site {
	s := emptySite(t)
	s.Edge = s.Boot(lab.Spec{Name: "edge", Suite: suite})
	s.Name(domain, s.Edge)
	s.startEngine(s.Edge)
	t.Cleanup(s.searchForSecrets)
	return s
}

// box is a machine on which somebody uses relayctl for the machine itself.
type box struct {
	*site
	user, folder string
}

// run runs relayctl in the user's home, which has to exit with 0.
func (b *box) run(args string) string {
	b.t.Helper()
	line := fmt.Sprintf("cd && relayctl %s 2>&1", args)
	out := lab.MustRun(b.t, b.Edge, fmt.Sprintf("runuser --login %s -c %q", b.user, line))
	b.said.WriteString(out)
	b.t.Logf("relayctl %s\n%s", args, out)
	return out
}

func (b *box) write(name, text string) {
	b.t.Helper()
	path := b.folder + "/" + name
	if err := b.Edge.WriteFile(b.t.Context(), path, []byte(text), 0o600); err != nil {
		b.t.Fatal(err)
	}
	lab.MustRun(b.t, b.Edge, "chown "+b.user+": "+path)
}

func (b *box) live() {
	proxy := strings.Replace(b.proxy(), b.Edge.Addr, "local", 1)
	b.write("engine.key", b.Engines[0].Key)
	b.write("stack.hcl", "stack \"lab\" {}\n\n"+proxy+strings.ReplaceAll(b.roleAt("local"), b.Edge.Name+".key", "engine.key")+laptop)
	want(b.t, b.run("plan"), "1 host looked at", "edge, gpu-1 local ")
	want(b.t, b.run("apply --yes --keys-out keys"), "stub answered through https://"+domain)
	want(b.t, b.run("plan --detailed-exitcode"), "Everything is as stack.hcl says")
	b.mustServeBothRoles(b.Edge)

	keys, err := b.Edge.ReadFile(b.t.Context(), b.folder+"/keys")
	if err != nil {
		b.t.Fatal(err)
	}
	b.writeHome("keys", string(keys))
	client := b.clientThatTrusts(b.run("ca"))
	b.mustStream(client)
	want(b.t, b.run("status"), "all well", "edge, gpu-1 up")
	want(b.t, b.run("rotate-secret --yes"), "gpu-1 reconnected with the new one")
	b.mustStream(client)

	b.write("stack.hcl", "stack \"lab\" {}\n\n"+proxy+laptop)
	b.run("apply --yes --keys-out keys")
	want(b.t, b.run("plan --detailed-exitcode"), "Everything is as stack.hcl says")
	b.mustBeProxyOnly(b.Edge)
}

// roleAt is the block of a worker gpu-1 on the proxy's machine, at an address.
func (s *site) roleAt(address string) string {
	pin := ""
	if address != "local" && address != s.Edge.Addr {
		pin = fmt.Sprintf("  ssh {\n    host_key = %q\n  }\n\n", s.Edge.HostKeys[0])
	}
	return fmt.Sprintf("worker \"gpu-1\" {\n  address = %q\n\n%s  model \"stub\" {\n    backend     = \"http://127.0.0.1:8000\"\n    backend_key = file(%q)\n  }\n}\n",
		address, pin, s.Edge.Name+".key")
}

// mustServeBothRoles holds that relay and worker are connected within the
// machine.
func (s *site) mustServeBothRoles(h *lab.Host) {
	s.t.Helper()
	lab.MustRun(s.t, h, "systemctl is-active relay-server relay-worker caddy")
	lab.MustRun(s.t, h, `grep '"relay": "http://127.0.0.1:8080"' /etc/relay/worker.json && test ! -e /etc/relay/ca.pem`)
	want(s.t, lab.MustRun(s.t, h, "ss --tcp --numeric --processes state established dport = :8080"), "127.0.0.1:8080", "relay-worker")
}

// mustBeProxyOnly holds that nothing of a worker is left beside the proxy, and
// that the relay knows only workers of these files.
func (s *site) mustBeProxyOnly(h *lab.Host, known ...string) {
	s.t.Helper()
	lab.MustRun(s.t, h, "systemctl is-active relay-server caddy")
	left := lab.MustRun(s.t, h, "ls -d /etc/relay/worker.json /etc/relay/worker.secret /etc/relay/backends /etc/relay/workers.d/* "+
		"/etc/systemd/system/relay-worker.service /usr/local/lib/relayctl/relay-worker/current /var/lib/relayctl/secrets/worker* 2>/dev/null; true")
	if left != strings.Join(known, "\n") {
		s.t.Errorf("left on %s: %s", h.Name, left)
	}
}

// mustStream fails unless the model answers with a whole stream of events
// through the public URL.
func (s *site) mustStream(client *http.Client) {
	s.t.Helper()
	response, err := s.post(s.t.Context(), client, completions,
		`{"model":"stub","stream":true,"max_tokens":4,"messages":[{"role":"user","content":"hi"}]}`)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		s.t.Errorf("status %d, %v: %s", response.StatusCode, err, body)
	}
	want(s.t, string(body), "data: {", "data: [DONE]")
}
