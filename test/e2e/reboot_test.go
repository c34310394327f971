package e2e_test

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/relayctl/relayctl/test/lab"
)

// TestReboot restarts the hosts of a finished stack, in order and by taking
// their power, alone and together: everything comes back by itself, and there
// is nothing left to do.
func TestReboot(t *testing.T) {
	s := appliedSite(t)
	before := &rebooted{client: s.client(), ca: s.mustRelayctl("ca"), keys: s.keysFile()}
	edge, gpu1, gpu2 := s.Edge, s.Workers[0], s.Workers[1]

	s.step("every host in order", func() {
		for _, h := range []*lab.Host{gpu2, edge, gpu1} {
			if err := h.Reboot(t.Context()); err != nil {
				s.t.Fatal(err)
			}
		}
		s.mustBeBack(before)
	})
	s.step("the power of all is cut, workers boot first", func() {
		s.off((*lab.Host).Kill, edge, gpu1, gpu2)
		s.on(gpu1, gpu2)
		for _, w := range s.Workers {
			if got := lab.MustRun(s.t, w, "systemctl is-active relay-worker"); got != "active" {
				s.t.Errorf("%s: relay-worker is %s without its proxy", w.Name, got)
			}
		}
		s.on(edge)
		s.mustBeBack(before)
	})
	s.step("the proxy alone, in order", func() {
		s.off((*lab.Host).Stop, edge)
		s.on(edge)
		s.mustBeBack(before)
	})
	s.step("the proxy alone, by its power", func() {
		s.off((*lab.Host).Kill, edge)
		s.on(edge)
		s.mustBeBack(before)
	})
	s.step("a worker by its power, the other one serves", func() {
		s.off((*lab.Host).Kill, gpu1)
		s.awaitAnswer(before)
		s.on(gpu1)
		s.mustBeBack(before)
	})
}

// rebooted is what must be the same after any restart.
type rebooted struct {
	client   *http.Client
	ca, keys string
}

func (s *site) keysFile() string {
	s.t.Helper()
	keys, err := os.ReadFile(filepath.Join(s.home, "keys"))
	if err != nil {
		s.t.Fatal(err)
	}
	return string(keys)
}

// off takes hosts down one after the other.
func (s *site) off(how func(*lab.Host, context.Context) error, hosts ...*lab.Host) {
	s.t.Helper()
	for _, h := range hosts {
		if err := how(h, s.t.Context()); err != nil {
			s.t.Fatal(err)
		}
	}
}

func (s *site) on(hosts ...*lab.Host) {
	s.t.Helper()
	for _, h := range hosts {
		if err := h.Start(s.t.Context()); err != nil {
			s.t.Fatal(err)
		}
	}
}

// backLimit is generous: a worker waits at most 30 s between two tries.
const backLimit = 2 * time.Minute

// mustBeBack fails unless the stack comes back by itself, as it was.
func (s *site) mustBeBack(before *rebooted) {
	s.t.Helper()
	s.awaitAnswer(before)
	s.comesBack("all workers are connected", func() bool { return strings.Contains(s.relayctl("status").out, "2 of 2") })
	want(s.t, s.mustRelayctl("status"), "all well")
	want(s.t, s.mustRelayctl("plan", "--detailed-exitcode"), "Everything is as stack.hcl says")
	want(s.t, s.apply(), "stub answered through https://"+domain)
	if s.mustRelayctl("ca") != before.ca {
		s.t.Error("the CA is another")
	}
	if s.keysFile() != before.keys {
		s.t.Error("keys were made anew")
	}
	for _, h := range s.hosts() {
		if failed := lab.MustRun(s.t, h, "systemctl --failed --no-legend"); failed != "" {
			s.t.Errorf("%s: %s", h.Name, failed)
		}
	}
}

// awaitAnswer waits for an answer of the model through the public URL.
func (s *site) awaitAnswer(before *rebooted) {
	s.t.Helper()
	s.comesBack("an answer through the public URL", func() bool {
		response, err := s.post(s.t.Context(), before.client, completions, `{"model":"stub","messages":[{"role":"user","content":"hi"}]}`)
		if err != nil {
			return false // not up yet
		}
		defer response.Body.Close()
		return response.StatusCode == http.StatusOK
	})
}

// comesBack waits until something is so again.
func (s *site) comesBack(what string, is func() bool) {
	s.t.Helper()
	began := time.Now()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for !is() {
		if time.Since(began) > backLimit {
			s.t.Fatalf("%s: not within %v", what, backLimit)
		}
		<-tick.C
	}
	s.t.Logf("%s: after %v", what, time.Since(began).Round(100*time.Millisecond))
}
