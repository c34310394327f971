package e2e_test

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/relayctl/relayctl/test/lab"
)

// TestRotateSecret replaces the secrets of workers under constant load, killed
// in each phase, and holds that no request fails and that the old secrets are
// worth nothing afterwards.
func TestRotateSecret(t *testing.T) {
	s := appliedSite(t)
	services := s.services()

	s.step("all at once", func() {
		load := s.startLoad(6, 4)
		old := s.keepSecrets()
		said := s.mustRelayctl("rotate-secret", "--yes")
		want(s.t, said, "gpu-1", "gpu-2", "new secret made, known to the relay beside the old one",
			"reconnected with the new one", "old secrets revoked", "none failed")
		if !regexp.MustCompile(`[1-9][0-9]* requests? ran meanwhile`).MatchString(said) {
			s.t.Error("no request was counted")
		}
		s.mustBeRotated(load.client, old)
		load.mustBeUnharmed()
	})
	for _, phase := range s.phases() {
		s.step("killed when "+phase.name, func() {
			load := s.startLoad(4, 2)
			old := s.keepSecrets()
			s.killWhen([]string{"rotate-secret", "--yes"}, phase.reached)
			if phase.unfinished {
				want(s.t, s.relayctl("plan").out, "its rotation is not finished", "relayctl rotate-secret --worker gpu-1")
				want(s.t, s.relayctl("status").out, "the rotation of its secret is not finished")
			}
			if phase.apply {
				s.apply()
				if n := len(s.hashes("gpu-1")); n != 2 {
					s.t.Errorf("apply left %d hashes of gpu-1, want both", n)
				}
			}
			s.mustRelayctl("rotate-secret", "--yes")
			s.mustBeRotated(load.client, old)
			load.mustBeUnharmed()
		})
	}
	if diff := cmp.Diff(services, s.services()); diff != "" {
		t.Errorf("a rotation restarted something (-before +after):\n%s", diff)
	}
}

// phase is a moment of a rotation, told by what stands on the hosts.
type phase struct {
	name       string
	reached    func() bool
	unfinished bool // plan and status show it
	apply      bool // an ordinary apply comes between
}

func (s *site) phases() []phase {
	gpu := s.Workers[0]
	next := func() string { return s.content(gpu, "/var/lib/relayctl/secrets/worker.next") }
	ended := func() func() bool { // of one rotation: it is told by its beginning
		begun := false
		return func() bool {
			begun = begun || next() != ""
			return begun && next() == ""
		}
	}
	present, revoked := ended(), ended()
	return []phase{
		{name: "the next secret is made", reached: func() bool { return next() != "" }, unfinished: true},
		{name: "the relay's file has both", reached: func() bool { return len(s.hashes("gpu-1")) == 2 }, unfinished: true, apply: true},
		{name: "the worker's file has the next", unfinished: true, apply: true,
			reached: func() bool { return next() != "" && next() == s.content(gpu, "/etc/relay/worker.secret") }},
		{name: "the next is the present one", reached: present},
		{name: "the relay's file has one again", reached: func() bool { return revoked() && len(s.hashes("gpu-1")) == 1 }},
	}
}

// content is a file of a host; empty where there is none.
func (s *site) content(h *lab.Host, path string) string {
	content, err := os.ReadFile(filepath.Join(h.Root, path))
	if err != nil {
		return ""
	}
	return string(content)
}

// hashes are those by which the relay knows a worker.
func (s *site) hashes(worker string) []string {
	var entry struct{ Hashes []string }
	if json.Unmarshal([]byte(s.content(s.Edge, "/etc/relay/workers.d/"+worker+".json")), &entry) != nil {
		return nil // it is being swapped
	}
	return entry.Hashes
}

// killWhen runs relayctl and kills it as soon as something is so.
func (s *site) killWhen(args []string, is func() bool) {
	s.t.Helper()
	cmd := s.command(args...)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		cmd.Wait() // killed, as a rule
	}()
	look := time.NewTicker(2 * time.Millisecond)
	defer look.Stop()
	for reached := false; !reached; {
		select {
		case <-look.C:
			reached = is()
		case <-ended:
			s.t.Errorf("relayctl ended before it could be killed:\n%s", said.String())
			reached = true
		}
	}
	cmd.Process.Kill()
	<-ended
	s.said.Write(said.Bytes())
	s.t.Logf("relayctl %s, killed:\n%s", strings.Join(args, " "), said.String())
}

// keepSecrets keeps a copy of every worker's present secret for the test.
func (s *site) keepSecrets() map[string]string {
	s.t.Helper()
	secrets := map[string]string{}
	for _, w := range s.Workers {
		secrets[w.Name] = strings.TrimSpace(s.content(w, "/var/lib/relayctl/secrets/worker"))
		if secrets[w.Name] == "" {
			s.t.Fatalf("%s has no secret", w.Name)
		}
		s.secrets = append(s.secrets, secrets[w.Name])
	}
	return secrets
}

// mustBeRotated holds that old secrets are refused, new ones are let in, and
// nothing is left to do.
func (s *site) mustBeRotated(client *http.Client, old map[string]string) {
	s.t.Helper()
	for _, w := range s.Workers {
		present := strings.TrimSpace(s.content(w, "/etc/relay/worker.secret"))
		if present == old[w.Name] || present == "" {
			s.t.Errorf("%s uses the old secret still", w.Name)
		}
		if got := s.knock(client, old[w.Name]); got != http.StatusUnauthorized {
			s.t.Errorf("the old secret of %s gets %d, want 401", w.Name, got)
		}
		// A WebSocket asked for in a protocol that the relay does not speak: a
		// good secret gets as far as that.
		if got := s.knock(client, present); got != http.StatusBadRequest {
			s.t.Errorf("the new secret of %s gets %d, want 400", w.Name, got)
		}
	}
	s.mustBeDone()
}

// knock asks the relay for a worker's connection, in a protocol that it does
// not speak, and returns the status.
func (s *site) knock(client *http.Client, secret string) int {
	s.t.Helper()
	request, err := http.NewRequestWithContext(s.t.Context(), http.MethodGet, "https://"+domain+"/v1/worker/connect", nil)
	if err != nil {
		s.t.Fatal(err)
	}
	for name, value := range map[string]string{
		"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
		"Sec-WebSocket-Protocol": "none", "Authorization": "Bearer " + secret,
	} {
		request.Header.Set(name, value)
	}
	again := s.HTTPClient(&tls.Config{RootCAs: client.Transport.(*http.Transport).TLSClientConfig.RootCAs})
	again.Transport.(*http.Transport).ForceAttemptHTTP2 = false // HTTP/2 has no upgrades of this kind
	defer again.CloseIdleConnections()
	response, err := again.Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	defer response.Body.Close()
	return response.StatusCode
}

// TestRotateKey replaces an API key: both are good for the grace, and one
// whose delivery was cut off is made anew without harm to the old one.
func TestRotateKey(t *testing.T) {
	s := appliedSite(t)
	client, first := s.client(), s.key("laptop")
	rotate := []string{"rotate-secret", "--key", "laptop", "--keys-out", "keys", "--yes"}

	s.step("both are good", func() {
		want(s.t, s.mustRelayctl(rotate...), "The old key is good until", "API key for laptop: written to keys")
		if s.key("laptop") == first {
			s.t.Fatal("the key is the old one")
		}
		s.mustAnswer(client, first, "stub")
		s.mustAnswer(client, s.key("laptop"), "stub")
		s.mustBeDone()
	})
	second := s.key("laptop")
	s.step("killed when the key is handed over", func() {
		s.killWhen(rotate, func() bool { return s.key("laptop") != second })
		s.mustAnswer(client, second, "stub")
		s.mustRelayctl(rotate...)
		s.mustAnswer(client, second, "stub")
		s.mustAnswer(client, s.key("laptop"), "stub")
		s.mustBeDone()
	})
	third := s.key("laptop")
	s.step("killed when its hash is stored", func() {
		before := s.content(s.Edge, "/var/lib/relayctl/keys.json")
		s.killWhen(rotate, func() bool { return s.content(s.Edge, "/var/lib/relayctl/keys.json") != before })
		s.mustAnswer(client, third, "stub")
		s.mustRelayctl(rotate...)
		s.mustAnswer(client, third, "stub")
		s.mustAnswer(client, s.key("laptop"), "stub")
		s.mustBeDone()
	})
	s.step("the grace ends", func() {
		old := s.key("laptop")
		s.mustRelayctl(append(rotate, "--grace", "1s")...)
		s.mustAnswer(client, s.key("laptop"), "stub")
		s.await(s.t, "the old key to end", func() bool {
			status, _ := s.ask(client, old, "stub")
			return status == http.StatusUnauthorized
		})
		s.apply() // takes it out of the relay's file
		s.mustBeDone()
	})
	s.step("a key of the stack file's own", func() {
		s.writeStack(s.stack() + "\nvariable \"phone\" {\n  type      = string\n  sensitive = true\n}\n\napi_key \"phone\" {\n  value = var.phone\n}\n")
		s.writeHome("values", "phone = \""+strings.Repeat("p", 40)+"\"\n")
		r := s.relayctl("rotate-secret", "--key", "phone", "--keys-out", "keys", "--yes", "--var-file", "values")
		if r.code != 1 {
			s.t.Errorf("exit code %d, want 1", r.code)
		}
		want(s.t, r.out, "Change the variable")
	})
}
