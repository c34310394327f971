package host_test

import (
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
)

func TestAskOnlyThisMachine(t *testing.T) {
	m := newMachine(t)
	for _, url := range []string{
		"http://10.0.0.1/", "http://example.com/", "http://[fe80::1]/", "http://0.0.0.0/", "http://169.254.169.254/latest",
		"ftp://127.0.0.1/", "http://127.0.0.1.evil.com/", "http://user@10.0.0.1:80@127.0.0.2.x/", "://",
	} {
		_, err := m.host().Ask(t.Context(), hostapi.Ask{Method: "GET", URL: url, Timeout: time.Second})
		if code(err) != hostapi.CodeBadRequest {
			t.Errorf("%s: the error is %v", url, err)
		}
	}
	for _, timeout := range []time.Duration{0, -1, time.Hour} {
		_, err := m.host().Ask(t.Context(), hostapi.Ask{Method: "GET", URL: "http://127.0.0.1/", Timeout: timeout})
		if code(err) != hostapi.CodeBadRequest {
			t.Errorf("timeout %v: the error is %v", timeout, err)
		}
	}
}

func TestAskWithTheProbeKey(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newMachine(t)
		s := m.lock()
		s.bring(resource(plan.KindSecret, plan.SecretProbe))
		m.Serve("127.0.0.1:8080", func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(300 * time.Millisecond)
			http.Redirect(w, r, "/elsewhere?"+r.Header.Get("Authorization")+"&"+r.Header.Get("X-A")+"&"+r.Host, http.StatusFound)
		})
		answer, err := s.host.Ask(t.Context(), hostapi.Ask{
			Method: "POST", URL: "http://localhost:8080/v1", Host: "llm.example.com", Probe: true,
			Header: map[string]string{"X-A": "b"}, Body: []byte("{}"), Timeout: time.Second,
		})
		if err != nil {
			t.Fatal(err)
		}
		key, err := s.host.Reveal()
		if err != nil {
			t.Fatal(err)
		}
		if want := "/elsewhere?Bearer " + key.Key + "&b&llm.example.com"; answer.Status != http.StatusFound || answer.Header["Location"] != want {
			t.Errorf("the answer is %d, %v", answer.Status, answer.Header)
		}
		if answer.FirstByte != 300*time.Millisecond {
			t.Errorf("the first byte took %v", answer.FirstByte)
		}
	})
}

func TestAskOfASocketThatHangs(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newMachine(t)
		m.ServeSocket("/run/a.sock", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		_, err := m.host().Ask(t.Context(), hostapi.Ask{Socket: "/run/a.sock", Method: "GET", URL: "http://a/", Timeout: 3 * time.Second})
		if err == nil || err.Error() != "ask /run/a.sock: no answer within 3 s" {
			t.Errorf("the error is %v", err)
		}
	})
}

func TestAskTakesABoundedAnswer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newMachine(t)
		m.Serve("127.0.0.1:80", func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, strings.Repeat("x", hostapi.MaxAnswer+1))
		})
		answer, err := m.host().Ask(t.Context(), hostapi.Ask{Method: "GET", URL: "http://127.0.0.1", Timeout: time.Minute})
		if err != nil || len(answer.Body) != hostapi.MaxAnswer {
			t.Errorf("%d bytes came, %v", len(answer.Body), err)
		}
	})
}

// The one root that is given is trusted, and no other.
func TestAskTrustsTheGivenRootAlone(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.TLS.ServerName) }))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	root := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	m := newMachine(t)
	s := m.lock()
	s.bring(resource(plan.KindCA, plan.CAInternal, plan.AttrDomain, "example.com"))
	other := m.observe().Find(plan.ID{Kind: plan.KindCA, Name: plan.CAInternal}).Have[plan.AttrPublic]
	ask := hostapi.Ask{Method: "GET", URL: server.URL, Host: "example.com", RootCA: root, Timeout: 10 * time.Second}
	h := networked(m)
	if answer, err := h.Ask(t.Context(), ask); err != nil || string(answer.Body) != "example.com" {
		t.Errorf("the answer is %q, %v", answer.Body, err)
	}
	for name, root := range map[string]string{"another root": other, "the machine's": ""} {
		ask.RootCA = root
		if _, err := h.Ask(t.Context(), ask); err == nil {
			t.Errorf("%s is trusted", name)
		}
	}
}
