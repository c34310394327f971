package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"

	"github.com/relayctl/relayctl/test/lab"
	"github.com/relayctl/relayctl/test/lab/engine"
)

// TestChat talks to a stack as clients do, through the public name.
func TestChat(t *testing.T) {
	s := appliedSite(t)
	t.Run("openai sdk", s.openAIClient)
	t.Run("curl", s.curl)
	t.Run("byte for byte", s.byteForByte)
	t.Run("closed paths", s.closedPaths)
	t.Run("closed ports", s.closedPorts)
	t.Run("a client hangs up", s.hangUp)
	t.Run("no worker", s.noWorker)
	t.Run("a hung engine", s.hungEngine)
}

const completions = "https://" + domain + "/v1/chat/completions"

func (s *site) openAIClient(t *testing.T) {
	client := openai.NewClient(option.WithBaseURL("https://"+domain+"/v1"), option.WithAPIKey(s.key("laptop")),
		option.WithHTTPClient(s.client()), option.WithMaxRetries(0))
	question := openai.ChatCompletionNewParams{
		Model: "stub", MaxTokens: openai.Int(5),
		Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage("count")},
	}
	stream := client.Chat.Completions.NewStreaming(t.Context(), question)
	streamed, events := "", 0
	for stream.Next() {
		for _, choice := range stream.Current().Choices {
			streamed += choice.Delta.Content
			events++
		}
	}
	if err := stream.Err(); err != nil || events < 5 {
		t.Fatalf("streamed %d events: %v", events, err)
	}
	whole, err := client.Chat.Completions.New(t.Context(), question)
	if err != nil {
		t.Fatal(err)
	}
	if got := whole.Choices[0].Message.Content; got != streamed {
		t.Errorf("the whole answer is %q, the streamed one %q", got, streamed)
	}
	models, err := client.Models.List(t.Context())
	if err != nil || len(models.Data) != 1 || models.Data[0].ID != "stub" {
		t.Errorf("models: %+v, %v", models, err)
	}
	if model, err := client.Models.Get(t.Context(), "stub"); err != nil || model.ID != "stub" {
		t.Errorf("one model: %+v, %v", model, err)
	}
}

func (s *site) curl(t *testing.T) {
	s.writeHome("ca.pem", s.mustRelayctl("ca"))
	s.writeHome("header", "Authorization: Bearer "+s.key("laptop"))
	cmd := s.Command(t.Context(), "curl", "--silent", "--show-error", "--fail", "--no-buffer", "--cacert", "ca.pem",
		"--header", "@header", "--json", `{"model":"stub","stream":true,"max_tokens":4,"messages":[{"role":"user","content":"hi"}]}`, completions)
	cmd.Dir = s.home
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("curl: %v\n%s", err, out)
	}
	want(t, string(out), "data: {", "data: [DONE]")
}

// post sends a completion request with the laptop's key.
func (s *site) post(ctx context.Context, client *http.Client, url, body string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+s.key("laptop"))
	request.Header.Set("Content-Type", "application/json")
	return client.Do(request)
}

func (s *site) byteForByte(t *testing.T) {
	const query = "?stub-echo&a=%2F%20x&b=1+2&&c;d"
	const body = `{ "model" : "stub",  "x":"é\u00e9" , "messages":[{"role":"user","content":"hi"}] }`
	response, err := s.post(t.Context(), s.client(), completions+query, body)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var echo engine.Echo
	if err := json.NewDecoder(response.Body).Decode(&echo); err != nil {
		t.Fatal(err)
	}
	if want := "/v1/chat/completions" + query; echo.Target != want {
		t.Errorf("the engine was asked for %s, not %s", echo.Target, want)
	}
	if string(echo.Body) != body {
		t.Errorf("the engine got %s, not %s", echo.Body, body)
	}
	if strings.Contains(fmt.Sprint(echo.Header), s.key("laptop")) {
		t.Error("the engine got the client's key")
	}
}

func (s *site) closedPaths(t *testing.T) {
	client := s.client()
	for _, path := range []string{"/", "/health", "/metrics", "/invocations", "/v1/../metrics", "/v1/%2e%2e/metrics", "/v1/load_lora_adapter", "//v1/models", "/v1/models/../../metrics"} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+domain, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.URL.Opaque = "//" + domain + path // as it stands, nothing cleaned
		response, err := client.Do(request)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		response.Body.Close()
		if response.StatusCode != http.StatusNotFound {
			t.Errorf("%s answers %s", path, response.Status)
		}
	}
	response, err := client.Get("http://" + domain + "/v1/models")
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if location := response.Header.Get("Location"); response.StatusCode/100 != 3 || location != "https://"+domain+"/v1/models" {
		t.Errorf("port 80 answers %s to %q", response.Status, location)
	}
}

// closedPorts looks for ports that listen beyond loopback: on the proxy those
// of Caddy and sshd, on a worker sshd alone.
func (s *site) closedPorts(t *testing.T) {
	open := func(h *lab.Host) string {
		return lab.MustRun(t, h, `ss -Htln | awk '{print $4}' | grep -v -e '^127\.' -e '^\[::1\]' -e '%lo' | sed 's/.*://' | sort -un | xargs`)
	}
	if got := open(s.Edge); got != "22 80 443" {
		t.Errorf("edge listens on %s", got)
	}
	for _, w := range s.Workers {
		if got := open(w); got != "22" {
			t.Errorf("%s listens on %s", w.Name, got)
		}
	}
	if got := lab.MustRun(t, s.Edge, "ss -Huln 'sport = :443'"); got != "" {
		t.Errorf("edge serves HTTP/3: %s", got)
	}
}

// hangUp ends a client in the middle of a long answer: the engine is free soon
// after.
func (s *site) hangUp(t *testing.T) {
	ctx, hangUp := context.WithCancel(t.Context())
	defer hangUp()
	response, err := s.post(ctx, s.client(), completions,
		`{"model":"stub","stream":true,"messages":[{"role":"user","content":"hi"}],"stub":{"tokens":100000,"interval_ms":20}}`)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if _, err := io.ReadFull(response.Body, make([]byte, 64)); err != nil {
		t.Fatal(err)
	}
	if got := s.running(t); got != 1 {
		t.Fatalf("%d requests run at the engines, not 1", got)
	}
	hangUp()
	began := time.Now()
	s.await(t, "the engine is free", func() bool { return s.running(t) == 0 })
	t.Logf("the engine was free %v after the client hung up", time.Since(began).Round(time.Millisecond))
}

// running is how many requests run at the engines.
func (s *site) running(t *testing.T) int {
	t.Helper()
	total := 0.0
	for _, e := range s.Engines {
		metrics, err := e.Metrics(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		total += metrics[lab.MetricRunning]
	}
	return int(total)
}

// await polls until something is so, for at most two minutes: a host that shares
// its processors with many is slow.
func (s *site) await(t *testing.T, what string, is func() bool) {
	t.Helper()
	deadline := time.NewTimer(2 * time.Minute)
	defer deadline.Stop()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("not within two minutes: %s", what)
		}
	}
}

// noWorker stops both workers: a model of the stack that nobody serves now is
// told from one that does not exist, and status says what is wrong.
func (s *site) noWorker(t *testing.T) {
	for _, w := range s.Workers {
		lab.MustRun(t, w, "systemctl stop relay-worker")
	}
	client := s.client()
	s.await(t, "the relay misses its workers", func() bool {
		response, err := s.post(t.Context(), client, completions, `{"model":"stub","messages":[{"role":"user","content":"hi"}]}`)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		return response.StatusCode == http.StatusServiceUnavailable && response.Header.Get("Retry-After") != ""
	})
	response, err := s.post(t.Context(), client, completions, `{"model":"other","messages":[{"role":"user","content":"hi"}]}`)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(response.Body)
	if response.StatusCode != http.StatusNotFound {
		t.Errorf("an unknown model answers %s", response.Status)
	}
	want(t, string(body), `"model_not_found"`)
	r := s.relayctl("status")
	if r.code != 1 {
		t.Errorf("status without workers: exit code %d", r.code)
	}
	want(t, r.out, "need attention", "! gpu-1: ", "! gpu-2: ", "relayctl apply")
	s.apply()
}

// hungEngine makes engines hang while their health stays good.
func (s *site) hungEngine(t *testing.T) {
	for _, e := range s.Engines {
		if err := e.Hang(t.Context()); err != nil {
			t.Fatal(err)
		}
		if out := lab.MustRun(t, e.Host, "curl -s -o /dev/null -w '%{http_code}' "+e.URL+"/health"); out != "200" {
			t.Fatalf("the hung engine's health is %s", out)
		}
	}
	if r := s.relayctl("status"); r.code != 1 {
		t.Errorf("status with hung engines: exit code %d\n%s", r.code, r.out)
	} else {
		want(t, r.out, "stub gave no token within 10 s: it may be loading, or hang")
	}
	s.writeStack(strings.Replace(s.stack(), "  tls \"internal\" {}\n", "  tls \"internal\" {}\n\n  relay {\n    first_byte_timeout = \"15s\"\n  }\n", 1))
	if r := s.relayctl("apply", "--yes"); r.code != 1 {
		t.Errorf("apply with hung engines: exit code %d\n%s", r.code, r.out)
	} else {
		want(t, r.out, "stub: no token within 15 s, as long as a client may wait")
	}
	s.writeStack(s.stack())
	for _, e := range s.Engines {
		if err := e.Unhang(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	s.apply()
	want(t, s.mustRelayctl("status"), "all well")
}

// TestSmallModel gets a sensible answer of a real language model.
func TestSmallModel(t *testing.T) {
	s := appliedSite(t)
	real, err := s.Workers[0].StartSmallModel(t.Context(), lab.SmallModelOptions{Port: 9000})
	if err != nil {
		t.Fatal(err)
	}
	s.secrets = append(s.secrets, real.Key)
	s.writeHome("small.key", real.Key)
	s.writeStack(strings.Replace(s.stack(), "  model \"stub\" {", fmt.Sprintf(`  model %q {
    backend     = %q
    backend_key = file("small.key")
    concurrency = 1
  }

  model "stub" {`, real.Model, real.URL), 1))
	want(t, s.apply(), real.Model+" answered", "stub answered")

	response, err := s.post(t.Context(), s.client(), completions, fmt.Sprintf(
		`{"model":%q,"temperature":0,"max_tokens":16,"messages":[{"role":"user","content":"What is the capital of France?"}]}`, real.Model))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	want(t, string(body), "Paris")
	if _, err := os.Stat(filepath.Join(s.home, "keys")); err != nil {
		t.Error(err)
	}
}
