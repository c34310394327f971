package e2e_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/relayctl/relayctl/test/lab"
)

// accountFiles are written anew, with the same lines, when a user comes and
// goes; those with a hyphen are the copies that useradd and userdel keep.
var accountFiles = []string{
	"/etc/passwd", "/etc/passwd-", "/etc/shadow", "/etc/shadow-",
	"/etc/group", "/etc/group-", "/etc/gshadow", "/etc/gshadow-",
}

const showAccounts = "cat /etc/passwd /etc/group"

// TestLeave takes workers and API keys out of the stack file.
func TestLeave(t *testing.T) {
	s := newSite(t)
	first, second := s.Workers[0], s.Workers[1]
	laptop := "api_key \"laptop\" {}\n"
	// Things of somebody else on the second worker, where ours will stand.
	lab.MustRun(t, second, "useradd --system --create-home relay && install -d -m 0750 -g relay /etc/relay && echo mine > /etc/relay/notes")
	bare, accounts := s.snapshots(accountFiles...), lab.MustRun(t, first, showAccounts)
	s.apply()

	s.step("a worker leaves", func() {
		s.writeStack(s.stackOf(s.proxy(), s.worker(second), laptop))
		want(s.t, s.mustRelayctl("plan"), "gpu-1", "left the stack", "- unit relay-worker", "- user relay",
			"- file /etc/relay/workers.d/gpu-1.json", "↻ reload relay-server")
		s.apply()
		s.mustBeDone()
		s.mustBeAsBare(first, bare)
		if got := lab.MustRun(s.t, first, showAccounts); got != accounts {
			s.t.Errorf("accounts are now:\n%s", got)
		}
		s.mustKnow("gpu-2.json")
		s.mustAnswer(s.client(), s.key("laptop"), "stub")
	})
	s.step("one comes back as another leaves", func() {
		s.writeStack(s.stackOf(s.proxy(), s.worker(first), laptop))
		want(s.t, s.mustRelayctl("plan"), "gpu-2", "left the stack", "found by relayctl, so left as it is", "user relay", "directory /etc/relay")
		s.apply()
		s.mustBeDone()
		s.mustBeAsBare(second, bare)
		s.mustKnow("gpu-1.json")
		if got := lab.MustRun(s.t, second, "id -un relay; cat /etc/relay/notes"); got != "relay\nmine" {
			s.t.Errorf("what was found is now %q", got)
		}
	})
	s.step("a worker that is off leaves", func() {
		s.writeStack(s.stack())
		s.apply()
		if err := first.Stop(s.t.Context()); err != nil {
			s.t.Fatal(err)
		}
		s.writeStack(s.stackOf(s.proxy(), s.worker(second), laptop))
		said := s.mustRelayctl("plan")
		want(s.t, said, "- file /etc/relay/workers.d/gpu-1.json", "! gpu-1 left the stack and can't be cleaned up", "--forget gpu-1")
		s.apply()
		s.mustKnow("gpu-2.json")
		want(s.t, s.mustRelayctl("plan"), "Everything is as stack.hcl says", "--forget gpu-1")
		want(s.t, s.apply("--forget", "gpu-1"), "! gpu-1 left the stack and is given up")
		if said := s.mustRelayctl("plan"); strings.Contains(said, "gpu-1") {
			s.t.Errorf("gpu-1 is still remembered:\n%s", said)
		}
	})
	s.step("keys", func() { s.keysComeAndGo(second) })
}

// keysComeAndGo adds API keys with limits and takes the first one away.
func (s *site) keysComeAndGo(worker *lab.Host) {
	client, laptop := s.client(), s.key("laptop")
	twoModels := strings.Replace(s.worker(worker), "\n  model ", `
  model "Other/model:1b" {
    backend     = "http://127.0.0.1:8000"
    backend_key = file("`+worker.Name+`.key")
    upstream    = "stub"
  }

  model `, 1)
	s.writeStack(s.stackOf(s.proxy(), twoModels,
		"api_key \"phone\" {\n  models = [\"stub\"]\n}\n",
		"api_key \"old\" {\n  expires = \"2024-02-29\"\n}\n",
		"api_key \"lasting\" {\n  expires = \"2199-12-31\"\n}\n"))
	want(s.t, s.mustRelayctl("plan"), "- key laptop", "+ key phone", "+ key old", "+ key lasting", "shown once")
	s.apply()
	s.mustBeDone()

	phone, old, lasting := s.key("phone"), s.key("old"), s.key("lasting")
	s.mustAnswer(client, phone, "stub")
	s.mustAnswer(client, lasting, "stub")
	s.mustAnswer(client, lasting, "Other/model:1b")
	for _, refused := range []struct {
		why, key, model string
		status          int
		code            string
	}{
		{"taken out of the file", laptop, "stub", http.StatusUnauthorized, "invalid_api_key"},
		{"expired", old, "stub", http.StatusUnauthorized, "invalid_api_key"},
		{"no key", "", "stub", http.StatusUnauthorized, "invalid_api_key"},
		{"not for this key", phone, "Other/model:1b", http.StatusNotFound, "model_not_found"},
		{"unknown", lasting, "other", http.StatusNotFound, "model_not_found"},
	} {
		status, body := s.ask(client, refused.key, refused.model)
		var told struct {
			Error struct{ Message, Type, Code string }
		}
		err := json.Unmarshal([]byte(body), &told)
		if err != nil || status != refused.status || told.Error.Code != refused.code || told.Error.Message == "" {
			s.t.Errorf("%s: status %d: %s", refused.why, status, body)
		}
	}
	for key, want := range map[string]bool{phone: false, lasting: true} {
		status, body := s.send(client, http.MethodGet, "/v1/models", key, "")
		if status != http.StatusOK || strings.Contains(body, "Other/model:1b") != want || !strings.Contains(body, "stub") {
			s.t.Errorf("/v1/models: status %d: %s", status, body)
		}
	}
}

// mustKnow fails unless the relay knows just these workers.
func (s *site) mustKnow(entries ...string) {
	s.t.Helper()
	if got := strings.Fields(lab.MustRun(s.t, s.Edge, "ls /etc/relay/workers.d")); !slices.Equal(got, entries) {
		s.t.Errorf("the relay knows %q, want %q", got, entries)
	}
}

// mustBeAsBare compares a host with what it was before any apply.
func (s *site) mustBeAsBare(h *lab.Host, bare map[string]lab.Snapshot) {
	s.t.Helper()
	after, err := h.Snapshot(accountFiles...)
	if err != nil {
		s.t.Fatal(err)
	}
	if diff := bare[h.Name].Diff(after); len(diff) > 0 {
		s.t.Errorf("%s is not as it was:\n%s", h.Name, strings.Join(diff, "\n"))
	}
	if _, err := h.Run(s.t.Context(), "pgrep --uid relay || pgrep --full relay-"); err == nil {
		s.t.Errorf("something of ours still runs on %s", h.Name)
	}
}
