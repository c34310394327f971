package relay_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/relayctl/relayctl/internal/relay"
	"github.com/relayctl/relayctl/internal/secret"
	"github.com/relayctl/relayctl/internal/worker"
)

// The keys and secrets of the tests' stack.
var (
	laptopKey = secret.New("rk_laptop-laptop-laptop-laptop-laptop-00")
	narrowKey = secret.New("rk_narrow-narrow-narrow-narrow-narrow-00")
	oldKey    = secret.New("rk_old-old-old-old-old-old-old-old-old-0")
	probeKey  = secret.New("rk_probe-probe-probe-probe-probe-probe-0")
)

func workerSecret(name string) secret.Value {
	return secret.New("secret-of-" + name + strings.Repeat("-", 32))
}

// stack is a relay's settings folder.
type stack struct {
	dir     string
	relay   map[string]any
	keys    []relay.KeyEntry
	workers []relay.WorkerFile
}

func newStack(t testing.TB) *stack {
	return &stack{
		dir:   t.TempDir(),
		relay: map[string]any{"managed_by": "relayctl, stack test", "listen": "127.0.0.1:0", "metrics": "off", "admin": "off"},
		keys: []relay.KeyEntry{
			{Name: "laptop", Hash: laptopKey.Hash()},
			{Name: "narrow", Hash: narrowKey.Hash(), Models: []string{"other"}},
			{Name: "old", Hash: oldKey.Hash(), Expires: "1999-12-30"},
			{Name: "probe", Hash: probeKey.Hash(), Probe: true},
		},
		workers: []relay.WorkerFile{
			{Name: "gpu-1", Hashes: []string{workerSecret("gpu-1").Hash()}, Models: []string{"m", "renamed"}},
			{Name: "gpu-2", Hashes: []string{workerSecret("gpu-2").Hash()}, Models: []string{"m", "other"}},
		},
	}
}

// load writes the files and loads them as the program does.
func (st *stack) load(t testing.TB) *relay.Settings {
	t.Helper()
	writeJSON(t, filepath.Join(st.dir, "relay.json"), st.relay)
	writeJSON(t, filepath.Join(st.dir, "keys.json"), map[string]any{"managed_by": "x", "keys": st.keys})
	if err := os.RemoveAll(filepath.Join(st.dir, "workers.d")); err != nil {
		t.Fatal(err)
	}
	for _, w := range st.workers {
		writeJSON(t, filepath.Join(st.dir, "workers.d", w.Name+".json"), w)
	}
	s, err := relay.LoadSettings(st.dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func writeJSON(t testing.TB, path string, v any) {
	t.Helper()
	data, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// running is a relay that serves.
type running struct {
	*relay.Server
	URL  string
	stop func() // stops it and waits
}

func startRelay(t testing.TB, s *relay.Settings) *running {
	t.Helper()
	ls, err := relay.Listen(s.Relay)
	if err != nil {
		t.Fatal(err)
	}
	return serveRelay(t, s, ls, "http://"+ls.API.Addr().String())
}

func serveRelay(t testing.TB, s *relay.Settings, ls relay.Listeners, url string) *running {
	t.Helper()
	return serveLogging(t, s, ls, url, quiet(t))
}

func serveLogging(t testing.TB, s *relay.Settings, ls relay.Listeners, url string, log *slog.Logger) *running {
	t.Helper()
	server := relay.New(relay.Config{Settings: s, Version: "test", Log: log})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := server.Serve(ctx, ls); err != nil {
			t.Errorf("serve: %v", err)
		}
	}()
	stop := sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(stop)
	return &running{server, url, stop}
}

// quiet logs only where a test asks for it with -v.
func quiet(t testing.TB) *slog.Logger {
	if !testing.Verbose() || os.Getenv("RELAY_TEST_LOG") == "" {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// workerSettings are a worker's for models at one engine.
func workerSettings(t testing.TB, name, relayURL, engineURL string, concurrency int, models ...string) *worker.Settings {
	t.Helper()
	s := &worker.Settings{
		Name:         name,
		Relay:        mustURL(t, relayURL),
		Secret:       workerSecret(name),
		DrainTimeout: 10 * time.Second,
	}
	for _, model := range models {
		s.Models = append(s.Models, worker.Model{Name: model, Backend: mustURL(t, engineURL), Concurrency: concurrency, Kind: "chat", Key: secret.New("engine-key")})
	}
	return s
}

func mustURL(t testing.TB, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// startWorker runs a worker until the test's end, or stop.
func startWorker(t testing.TB, s *worker.Settings, dial worker.DialFunc) (w *worker.Worker, connected <-chan struct{}, stop func()) {
	t.Helper()
	up := make(chan struct{}, 100)
	w = worker.New(worker.Config{Settings: s, Version: "test", Log: quiet(t), Dial: dial, OnState: func(state string) {
		if state == "connected" {
			up <- struct{}{}
		}
	}})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.Run(ctx)
	}()
	stop = sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(stop)
	return w, up, stop
}

// connectedWorker is a worker whose relay already lists it.
func connectedWorker(t testing.TB, r *running, name, engineURL string, concurrency int, models ...string) (stop func()) {
	t.Helper()
	_, up, stop := startWorker(t, workerSettings(t, name, r.URL, engineURL, concurrency, models...), nil)
	<-up
	awaitWorkers(t, r, func(st relay.Status) bool {
		for _, w := range st.Workers {
			if w.Name == name && w.Connected && w.State == "serving" {
				return true
			}
		}
		return false
	})
	return stop
}

// awaitWorkers waits for a state of the relay that only its own goroutines
// bring about.
func awaitWorkers(t testing.TB, r *running, ok func(relay.Status) bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !ok(r.Status()) {
		if time.Now().After(deadline) {
			t.Fatalf("the relay does not come to the wanted state: %+v", r.Status())
		}
		time.Sleep(time.Millisecond)
	}
}

// post asks for a completion.
func post(t testing.TB, ctx context.Context, base string, key secret.Value, body string) (*http.Response, error) {
	t.Helper()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/v1/chat/completions", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+key.Reveal())
	return http.DefaultClient.Do(r)
}

// ask asks for a completion and reads all of the answer.
func ask(t testing.TB, base string, key secret.Value, body string) (status int, h http.Header, answer string) {
	t.Helper()
	response, err := post(t, t.Context(), base, key, body)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("read answer: %v, after %q", err, data)
	}
	return response.StatusCode, response.Header, string(data)
}

// errorCode is the code of an error body in OpenAI's shape.
func errorCode(t testing.TB, body string) string {
	t.Helper()
	var e struct {
		Error struct {
			Message, Type, Code string
		}
	}
	if err := json.Unmarshal([]byte(body), &e); err != nil || e.Error.Message == "" || e.Error.Type == "" {
		t.Fatalf("no error in OpenAI's shape: %q", body)
	}
	return e.Error.Code
}

// echoEngine answers with what it was asked.
func echoEngine(t testing.TB) *httptest.Server {
	return startEngine(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Openai-Seen-Target", r.RequestURI)
		w.Header().Set("Openai-Seen-Authorization", r.Header.Get("Authorization"))
		w.Header().Set("Openai-Seen-Header", fmt.Sprint(r.Header))
		w.Write(body)
	})
}

func startEngine(t testing.TB, h http.HandlerFunc) *httptest.Server {
	engine := httptest.NewServer(h)
	t.Cleanup(engine.Close)
	return engine
}

// closedAddress is a URL where nobody listens.
func closedAddress(t testing.TB) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return "http://" + l.Addr().String()
}
