package worker_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/relayctl/relayctl/internal/worker"
)

// authority is a CA of a test.
type authority struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	pem         []byte
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	a := &authority{}
	a.certificate, a.key, a.pem = issue(t, &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test root"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, nil)
	return a
}

// issue makes a certificate of template, signed by a, or by itself.
func issue(t testing.TB, template *x509.Certificate, a *authority) (*x509.Certificate, *ecdsa.PrivateKey, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, signer := template, key
	if a != nil {
		parent, signer = a.certificate, a.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return certificate, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// secureRelay serves a refusal behind a certificate of a for host.
func secureRelay(t testing.TB, a *authority, host string) (address string) {
	t.Helper()
	leaf, key, _ := issue(t, &x509.Certificate{SerialNumber: big.NewInt(2), DNSNames: []string{host}}, a)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{leaf.Raw}, PrivateKey: key}}}
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	s.StartTLS()
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// TestOnlyTheStacksAuthorityIsTrusted, and only for the relay's name.
func TestOnlyTheStacksAuthorityIsTrusted(t *testing.T) {
	ours, theirs := newAuthority(t), newAuthority(t)
	tests := []struct {
		name, host string
		signer     *authority
		trust      []byte // "": the system's
		want       string
	}{
		{"ours", "localhost", ours, ours.pem, "status 418"},
		{"another authority", "localhost", theirs, ours.pem, "unknown authority"},
		{"another name", "other.example", ours, ours.pem, "not localhost"},
		{"the system's trust", "localhost", ours, nil, "unknown authority"},
	}
	for _, test := range tests {
		_, port, _ := strings.Cut(secureRelay(t, test.signer, test.host), ":")
		files := map[string]string{"s": "secret", "ca.pem": string(test.trust)}
		ca := ""
		if test.trust != nil {
			ca = `"ca_file":"ca.pem",`
		}
		files["worker.json"] = `{"name":"gpu-1","relay":"https://localhost:` + port + `",` + ca + `"secret_file":"s","models":[` + plainModel + `]}`
		s, err := worker.LoadSettings(filepath.Join(folder(t, files), "worker.json"))
		if err != nil {
			t.Fatal(err)
		}
		if got := firstState(s); !strings.Contains(got, test.want) {
			t.Errorf("%s: %s", test.name, got)
		}
	}
}

// firstState runs a worker until it says how it stands.
func firstState(s *worker.Settings) string {
	ctx, cancel := context.WithCancel(context.Background())
	states := make(chan string, 100)
	w := worker.New(worker.Config{Settings: s, Log: slog.New(slog.DiscardHandler), OnState: func(state string) { states <- state }})
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.Run(ctx)
	}()
	state := <-states
	cancel()
	<-done
	return state
}

// TestRedirectOfTheRelayIsNotFollowed: the secret goes to the named host only.
func TestRedirectOfTheRelayIsNotFollowed(t *testing.T) {
	asked := make(chan string, 10)
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked <- r.Header.Get("Authorization") }))
	defer elsewhere.Close()
	relay := httptest.NewServer(http.RedirectHandler(elsewhere.URL, http.StatusTemporaryRedirect))
	defer relay.Close()
	s := (&handRelay{}).settings(model(t, "m", "http://engine"))
	s.Relay, _ = url.Parse(relay.URL)
	if got := firstState(s); !strings.Contains(got, "status 307") {
		t.Errorf("state %q", got)
	}
	if len(asked) != 0 {
		t.Errorf("the secret went elsewhere: %s", <-asked)
	}
}
