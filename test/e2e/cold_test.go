package e2e_test

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/relayctl/relayctl/test/lab"
	"github.com/relayctl/relayctl/test/lab/engine"
)

// TestColdEngine sets up a proxy without workers first, which answers by itself,
// and by nothing else. Then comes an engine that takes longer to load its model
// than status waits, gives the load up when nobody waits for it, and takes no
// limit below 16 tokens: status does no harm, and apply waits.
func TestColdEngine(t *testing.T) {
	s := emptySite(t)
	hosts := s.BootAll(lab.Spec{Name: "edge", Suite: lab.Trixie}, lab.Spec{Name: "gpu-1", Suite: lab.Bookworm})
	s.Edge, s.Workers = hosts[0], hosts[1:]
	s.Name(domain, s.Edge)
	s.know(hosts...)
	t.Cleanup(s.searchForSecrets)
	const laptop = "api_key \"laptop\" {}\n"

	s.step("a proxy without workers", func() {
		s.writeStack(s.stackOf(s.proxy(), laptop))
		want(s.t, s.apply(), "The relay answered through https://"+domain+"; no worker serves a model yet.")
		want(s.t, s.mustRelayctl("status"), "all well")
	})
	s.step("something else under the domain", func() {
		lab.MustRun(s.t, s.Edge, `sed -i 's/@api path .*/@api path \/nowhere/' /etc/caddy/Caddyfile && systemctl reload caddy`)
		r := s.relayctl("status")
		if r.code != 1 {
			s.t.Errorf("status: exit code %d", r.code)
		}
		want(s.t, r.out, domain+" is answered by something else: 404, Content-Type: application/json", "The relay itself is up on edge.")
		s.apply()
	})
	s.step("nothing behind the proxy", func() {
		lab.MustRun(s.t, s.Edge, "systemctl stop relay-server")
		if r := s.relayctl("status"); r.code != 1 || !strings.Contains(r.out, "relay-server does not run") {
			s.t.Errorf("status: exit code %d", r.code)
		}
		s.apply()
	})

	cold, err := s.Workers[0].StartStubEngine(t.Context(), lab.StubOptions{Moods: engine.Moods{Wake: time.Hour, LeastTokens: 16}})
	if err != nil {
		t.Fatal(err)
	}
	s.Engines = []lab.StubEngine{cold}
	s.writeHome("gpu-1.key", cold.Key)
	s.secrets = append(s.secrets, cold.Key)
	load := func() {
		s.t.Helper()
		if err := cold.Load(s.t.Context()); err != nil {
			s.t.Fatal(err)
		}
		if metrics, err := cold.Metrics(s.t.Context()); err != nil || metrics[lab.MetricLoads] != 1 {
			s.t.Errorf("%v loads, want 1: %v", metrics[lab.MetricLoads], err)
		}
	}
	s.step("apply waits for a load", func() {
		s.writeStack(s.stackOf(s.proxy(), s.worker(s.Workers[0]), laptop))
		out := s.applyUntil("still waiting for stub to answer", load)
		want(s.t, out, "stub answered through https://"+domain)
	})
	s.step("status does not stop one", func() {
		if err := cold.Stop(s.t.Context()); err != nil {
			s.t.Fatal(err)
		}
		if err := cold.Start(s.t.Context()); err != nil {
			s.t.Fatal(err)
		}
		for range 2 {
			r := s.relayctl("status")
			if r.code != 1 {
				s.t.Errorf("status: exit code %d", r.code)
			}
			want(s.t, r.out, "stub gave no token within 10 s: it may be loading, or hang", "looks again; the relay goes on asking")
		}
		load()
		want(s.t, s.mustRelayctl("status"), "all well")
	})
}

// applyUntil is runUntil for an apply.
func (s *site) applyUntil(text string, do func()) string {
	s.t.Helper()
	return s.runUntil(text, do, "apply", "--yes", "--keys-out", "keys")
}

// runUntil runs relayctl, which has to say a text and to exit with 0, does
// something once it has said that, and returns what was printed in all.
func (s *site) runUntil(text string, do func(), args ...string) string {
	s.t.Helper()
	cmd := s.command(args...)
	read, write := io.Pipe()
	cmd.Stdout, cmd.Stderr = write, write
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		ended <- cmd.Wait()
		write.Close()
	}()
	var out strings.Builder
	said := false
	for lines := bufio.NewScanner(read); lines.Scan(); {
		fmt.Fprintln(&out, lines.Text())
		if !said && strings.Contains(lines.Text(), text) {
			said = true
			do()
		}
	}
	s.said.WriteString(out.String())
	s.t.Logf("relayctl %s:\n%s", strings.Join(args, " "), out.String())
	if err := <-ended; err != nil || !said {
		s.t.Fatalf("relayctl %s: %v; it said %q: %v", strings.Join(args, " "), err, text, said)
	}
	return out.String()
}
