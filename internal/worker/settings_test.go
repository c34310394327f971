package worker_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/relayctl/relayctl/internal/secret"
	"github.com/relayctl/relayctl/internal/worker"
)

// folder writes files and returns where.
func folder(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for path, content := range files {
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const plainModel = `{"name":"m","backend":"http://127.0.0.1:8000"}`

func TestLoadSettings(t *testing.T) {
	ca := newAuthority(t)
	files := map[string]string{
		"worker.json": `{"managed_by":"relayctl","name":"gpu-1","relay":"https://llm.example.com","ca_file":"ca.pem","secret_file":"worker.secret","models":[
			{"name":"llama3.2:3b","backend":"http://127.0.0.1:11434/v1/","backend_key_file":"backends/x.key","upstream":"llama","concurrency":4,"kind":"chat"},
			` + plainModel + `]}`,
		"ca.pem":         string(ca.pem),
		"worker.secret":  "the-secret\n",
		"backends/x.key": "  the-engine's-key\n",
	}
	s, err := worker.LoadSettings(filepath.Join(folder(t, files), "worker.json"))
	if err != nil {
		t.Fatal(err)
	}
	if s.Name != "gpu-1" || s.Relay.String() != "https://llm.example.com" || s.Roots == nil || s.Secret.Reveal() != "the-secret" || s.DrainTimeout != time.Minute {
		t.Errorf("got %+v", s)
	}
	first, second := s.Models[0], s.Models[1]
	if first.Backend.String() != "http://127.0.0.1:11434" || first.Key.Reveal() != "the-engine's-key" || first.Upstream != "llama" || first.Concurrency != 4 {
		t.Errorf("got %+v", first)
	}
	if second.Concurrency != worker.DefaultConcurrency || second.Kind != "chat" || !second.Key.IsZero() || second.Upstream != "" {
		t.Errorf("got %+v", second)
	}
	whole := sha256.New()
	for _, path := range []string{"ca.pem", "worker.json"} {
		fmt.Fprintf(whole, "%s\x00%x\n", path, sha256.Sum256([]byte(files[path])))
	}
	if digest := hex.EncodeToString(whole.Sum(nil)); s.Digest != digest {
		t.Errorf("digest %s, want %s", s.Digest, digest)
	}
}

func TestLoadSettingsRefuses(t *testing.T) {
	whole := func(models string) string {
		return `{"name":"gpu-1","relay":"https://x","secret_file":"s","models":[` + models + `]}`
	}
	tests := []struct{ name, json, want string }{
		{"unknown member", `{"names":"x"}`, `unknown field "names"`},
		{"more", whole(plainModel) + "{}", "more after the JSON object"},
		{"no name", `{"relay":"https://x","secret_file":"s","models":[` + plainModel + `]}`, `name: "" is no valid name`},
		{"no relay", `{"name":"gpu-1","secret_file":"s","models":[` + plainModel + `]}`, "relay: "},
		{"no secret file", `{"name":"gpu-1","relay":"https://x","models":[` + plainModel + `]}`, "secret_file: is missing"},
		{"secret file gone", `{"name":"gpu-1","relay":"https://x","secret_file":"gone","models":[` + plainModel + `]}`, "no such file"},
		{"empty secret", `{"name":"gpu-1","relay":"https://x","secret_file":"empty","models":[` + plainModel + `]}`, "secret_file: is empty"},
		{"secret of two lines", `{"name":"gpu-1","relay":"https://x","secret_file":"lines","models":[` + plainModel + `]}`, "control character"},
		{"no CA", `{"name":"gpu-1","relay":"https://x","secret_file":"s","ca_file":"s","models":[` + plainModel + `]}`, "no certificate"},
		{"empty CA", `{"name":"gpu-1","relay":"https://x","secret_file":"s","ca_file":"empty","models":[` + plainModel + `]}`, "no certificate"},
		{"relay with a password", `{"name":"gpu-1","relay":"https://u:pw@x","secret_file":"s","models":[` + plainModel + `]}`, "neither user nor query"},
		{"no models", whole(""), "models: there must be"},
		{"model twice", whole(plainModel + "," + plainModel), "twice"},
		{"no model name", whole(`{"name":"a b","backend":"http://x"}`), "no valid model name"},
		{"no backend", whole(`{"name":"m"}`), "backend: "},
		{"another scheme", whole(`{"name":"m","backend":"ftp://x"}`), "no http or https URL"},
		{"too many at once", whole(`{"name":"m","backend":"http://x","concurrency":5000}`), "concurrency"},
		{"below one at once", whole(`{"name":"m","backend":"http://x","concurrency":-1}`), "concurrency"},
		{"another kind", whole(`{"name":"m","backend":"http://x","kind":"embedding"}`), "not supported yet"},
		{"key file gone", whole(`{"name":"m","backend":"http://x","backend_key_file":"gone"}`), "backend_key_file: open"},
		{"no drain", `{"name":"gpu-1","relay":"https://x","secret_file":"s","drain_timeout":"0s","models":[` + plainModel + `]}`, "drain_timeout"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := folder(t, map[string]string{"worker.json": test.json, "s": "very-secret", "empty": "\n", "lines": "very\nsecret"})
			_, err := worker.LoadSettings(filepath.Join(dir, "worker.json"))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want one with %q", err, test.want)
			}
			if err != nil && (strings.Contains(err.Error(), "very") || strings.Contains(err.Error(), "pw")) {
				t.Errorf("the error repeats a secret: %v", err)
			}
		})
	}
}

func TestByHand(t *testing.T) {
	full := worker.ByHand{Relay: "https://llm.example.com", Secret: secret.New("s"), Backend: "http://localhost:8000", Models: "a, b:c,", Name: "box"}
	s, err := full.Settings()
	if err != nil {
		t.Fatal(err)
	}
	if s.Name != "box" || len(s.Models) != 2 || s.Models[1].Name != "b:c" || s.Models[0].Concurrency != worker.DefaultConcurrency {
		t.Errorf("got %+v", s)
	}
	tests := []struct {
		name   string
		change func(*worker.ByHand)
		relay  string // of the settings
		error  string
	}{
		{"wss", func(h *worker.ByHand) { h.Relay = "wss://x" }, "https://x", ""},
		{"ws", func(h *worker.ByHand) { h.Relay = "ws://127.0.0.1:8080" }, "http://127.0.0.1:8080", ""},
		{"engine's key", func(h *worker.ByHand) { h.BackendKey = secret.New("k") }, "https://llm.example.com", ""},
		{"no relay", func(h *worker.ByHand) { h.Relay = "" }, "", "PROXY_URL, WORKER_SECRET"},
		{"no secret", func(h *worker.ByHand) { h.Secret = secret.Value{} }, "", "PROXY_URL, WORKER_SECRET"},
		{"no models", func(h *worker.ByHand) { h.Models = "" }, "", "--models"},
		{"only commas", func(h *worker.ByHand) { h.Models = ",," }, "", "models: there must be"},
		{"discovery", func(h *worker.ByHand) { h.Models = "*" }, "", "no valid model name"},
		{"concurrency", func(h *worker.ByHand) { h.Concurrency = "many" }, "", "MAX_CONCURRENCY"},
		{"CA gone", func(h *worker.ByHand) { h.CAFile = "/nowhere/ca.pem" }, "", "PROXY_CA"},
		{"secret with a newline", func(h *worker.ByHand) { h.Secret = secret.New("a\nb") }, "", "WORKER_SECRET: "},
	}
	for _, test := range tests {
		h := full
		test.change(&h)
		s, err := h.Settings()
		switch {
		case test.error != "":
			if err == nil || !strings.Contains(err.Error(), test.error) {
				t.Errorf("%s: %v", test.name, err)
			}
		case err != nil:
			t.Errorf("%s: %v", test.name, err)
		case s.Relay.String() != test.relay:
			t.Errorf("%s: relay %s", test.name, s.Relay)
		}
	}
}
