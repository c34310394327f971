package engine_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/relayctl/relayctl/test/lab/engine"
)

// limit bounds every wait of these tests.
const limit = 20 * time.Second

const key = "0123456789abcdef0123456789abcdef"

func newStub(t *testing.T, c engine.Config) *engine.Stub {
	t.Helper()
	if c.Models == nil {
		c.Models = []string{"tiny", "alias"}
	}
	stub, err := engine.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return stub
}

// serveHandler serves a stub without load time.
func serveHandler(t *testing.T, c engine.Config) (*engine.Stub, string) {
	t.Helper()
	stub := newStub(t, c)
	server := httptest.NewServer(stub.Handler())
	t.Cleanup(server.CloseClientConnections)
	t.Cleanup(server.Close)
	t.Cleanup(stub.Unhang)
	return stub, server.URL
}

// running is a stub that Serve serves.
type running struct {
	*engine.Stub
	url    string
	stop   context.CancelFunc
	served chan error
}

func serve(t *testing.T, c engine.Config) running {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c.Listen = listener.Addr().String()
	listener.Close()
	ctx, cancel := context.WithCancel(t.Context())
	r := running{newStub(t, c), "http://" + c.Listen, cancel, make(chan error, 1)}
	go func() { r.served <- r.Serve(ctx) }()
	return r
}

// await asks until the stub listens.
func (r running) await(t *testing.T) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for {
		resp, err := http.Get(r.url + "/health")
		if err == nil {
			resp.Body.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the stub does not listen: %v", err)
		}
	}
}

func (r running) ended(t *testing.T) error {
	t.Helper()
	select {
	case err := <-r.served:
		return err
	case <-time.After(limit):
		t.Fatal("Serve has not returned")
		return nil
	}
}

func chatBody(more string) string {
	return `{"model":"tiny","messages":[{"role":"user","content":"say one two"}]` + more + `}`
}

func post(t *testing.T, ctx context.Context, url, body string) (*http.Response, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+key)
	return http.DefaultClient.Do(req)
}

func mustPost(t *testing.T, url, body string) (int, string) {
	t.Helper()
	resp, err := post(t, t.Context(), url, body)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

func TestKeyGuardsOnlyWhatVLLMGuards(t *testing.T) {
	_, url := serveHandler(t, engine.Config{Key: key})
	tests := []struct {
		method, path, key string
		want              int
	}{
		{"GET", "/health", "", 200},
		{"GET", "/ping", "", 200},
		{"GET", "/version", "", 200},
		{"GET", "/metrics", "", 200},
		{"POST", "/invocations", "", 200},
		{"GET", "/v1/models", "", 401},
		{"GET", "/v1/models", "Bearer wrong", 401},
		{"GET", "/v1/models", "Basic " + key, 401},
		{"GET", "/v1/models", "Bearer " + key, 200},
		{"POST", "/v1/chat/completions", "", 401},
		{"POST", "/v1/chat/completions", "Bearer " + key, 200},
		{"GET", "/v2/anything", "", 401},
		{"GET", "/inference/anything", "", 401},
		{"GET", "/v1/nothing", "Bearer " + key, 404},
		{"GET", "/v1/chat/completions", "Bearer " + key, 405},
		{"OPTIONS", "/v1/models", "", 405},
	}
	for _, test := range tests {
		t.Run(test.method+" "+test.path+" with "+test.key, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), test.method, url+test.path, strings.NewReader(chatBody("")))
			if err != nil {
				t.Fatal(err)
			}
			if test.key != "" {
				req.Header.Set("Authorization", test.key)
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if resp.StatusCode != test.want {
				t.Errorf("status %d, want %d", resp.StatusCode, test.want)
			}
		})
	}
}

func TestErrorsHaveVLLMsForm(t *testing.T) {
	_, url := serveHandler(t, engine.Config{Key: key})
	tests := []struct{ name, body, want string }{
		{"unknown model", `{"model":"nope","messages":[{"role":"user","content":"x"}]}`,
			`404 {"error":{"message":"The model ` + "`nope`" + ` does not exist. Valid aliases: tiny, alias.","type":"NotFoundError","param":"model","code":404}}`},
		{"no messages", `{"model":"tiny"}`,
			`400 {"error":{"message":"there are no messages","type":"BadRequestError","param":"messages","code":400}}`},
		{"told to fail", chatBody(`,"stub":{"status":503}`),
			`503 {"error":{"message":"told to fail","type":"InternalServerError","param":null,"code":503}}`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			status, text := mustPost(t, url+"/v1/chat/completions", test.body)
			if diff := cmp.Diff(test.want, fmt.Sprintf("%d %s", status, strings.TrimSpace(text))); diff != "" {
				t.Errorf("answer (-want +got):\n%s", diff)
			}
		})
	}
}

func TestModels(t *testing.T) {
	_, url := serveHandler(t, engine.Config{})
	resp, err := http.Get(url + "/v1/models")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var list struct {
		Object string
		Data   []struct{ ID, Object string }
	}
	if err := json.NewDecoder(resp.Body).Decode(&list); err != nil {
		t.Fatal(err)
	}
	if list.Object != "list" || len(list.Data) != 2 || list.Data[0].ID != "tiny" || list.Data[1].ID != "alias" {
		t.Errorf("models are %+v", list)
	}
}

func TestStream(t *testing.T) {
	_, url := serveHandler(t, engine.Config{})
	status, text := mustPost(t, url+"/v1/chat/completions",
		chatBody(`,"stream":true,"stream_options":{"include_usage":true},"max_tokens":2`))
	if status != http.StatusOK {
		t.Fatalf("status %d", status)
	}
	var got []string
	for event := range strings.SplitSeq(strings.TrimSuffix(text, "\n\n"), "\n\n") {
		data, ok := strings.CutPrefix(event, "data: ")
		if !ok {
			t.Fatalf("event %q has no data", event)
		}
		var chunk struct {
			Choices []struct {
				Delta  json.RawMessage
				Finish *string `json:"finish_reason"`
			}
			Usage json.RawMessage
		}
		switch err := json.Unmarshal([]byte(data), &chunk); {
		case err != nil:
			got = append(got, data)
		case len(chunk.Choices) == 0:
			got = append(got, "usage "+string(chunk.Usage))
		case chunk.Choices[0].Finish != nil:
			got = append(got, string(chunk.Choices[0].Delta)+" "+*chunk.Choices[0].Finish)
		default:
			got = append(got, string(chunk.Choices[0].Delta))
		}
	}
	want := []string{
		`{"content":"","role":"assistant"}`, `{"content":"1 "}`, `{"content":"2 "} length`,
		`usage {"prompt_tokens":3,"total_tokens":5,"completion_tokens":2}`, "[DONE]",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func TestWholeAnswer(t *testing.T) {
	_, url := serveHandler(t, engine.Config{Tokens: 3})
	tests := []struct{ name, more, content, finish string }{
		{"counts", "", "1 2 3 ", "stop"},
		{"limited", `,"max_completion_tokens":1`, "1 ", "length"},
		{"longer", `,"stub":{"tokens":5}`, "1 2 3 4 5 ", "stop"},
		{"given", `,"stub":{"answer":"Paris, of course"}`, "Paris, of course", "stop"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, text := mustPost(t, url+"/v1/chat/completions", chatBody(test.more))
			var answer struct {
				Choices []struct {
					Message struct{ Content string }
					Finish  string `json:"finish_reason"`
				}
			}
			if err := json.Unmarshal([]byte(text), &answer); err != nil || len(answer.Choices) != 1 {
				t.Fatalf("answer %s: %v", text, err)
			}
			if c := answer.Choices[0]; c.Message.Content != test.content || c.Finish != test.finish {
				t.Errorf("answer is %q, finished by %s", c.Message.Content, c.Finish)
			}
		})
	}
}

func TestEchoShowsBytesAsTheyCame(t *testing.T) {
	_, url := serveHandler(t, engine.Config{Key: key})
	const target = "/v1//chat/%2e%2e/../a%2Fb?x=%20y&&z;q=1"
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "PUT %s HTTP/1.1\r\nHost: engine\r\nAuthorization: Bearer %s\r\n%s: 1\r\nContent-Length: 3\r\n\r\n\x00\xff\n",
		target, key, engine.EchoHeader)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var got engine.Echo
	if err := json.NewDecoder(resp.Body).Decode(&got); err != nil {
		t.Fatal(err)
	}
	got.Header = nil
	want := engine.Echo{Method: "PUT", Target: target, Host: "engine", Body: []byte("\x00\xff\n")}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("echo (-want +got):\n%s", diff)
	}
}

// startStream begins a stream that gives one token and then waits for long.
func startStream(t *testing.T, ctx context.Context, url string) (*http.Response, *bufio.Reader) {
	t.Helper()
	resp, err := post(t, ctx, url+"/v1/chat/completions", chatBody(`,"stream":true,"stub":{"tokens":2,"interval_ms":3600000}`))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	events := bufio.NewReader(resp.Body)
	for { // until the first token is here
		line, err := events.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(line, `"1 "`) {
			return resp, events
		}
	}
}

func TestClientThatLeavesIsNoticed(t *testing.T) {
	stub, url := serveHandler(t, engine.Config{})
	ctx, hangUp := context.WithCancel(t.Context())
	startStream(t, ctx, url)
	if running, _ := stub.Counts(); running != 1 {
		t.Fatalf("%d completions run, want 1", running)
	}
	hangUp()
	wait, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	stub.AwaitIdle(wait)
	if running, cancelled := stub.Counts(); running != 0 || cancelled != 1 {
		t.Errorf("%d run, %d cancelled; want 0 and 1", running, cancelled)
	}
	resp, err := http.Get(url + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	metrics, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		`vllm:num_requests_running{engine="0",model_name="tiny"} 0.0`,
		`stub_requests_cancelled_total{engine="0",model_name="tiny"} 1.0`,
		`stub_requests_running_peak{engine="0",model_name="tiny"} 1.0`,
	} {
		if !strings.Contains(string(metrics), line+"\n") {
			t.Errorf("metrics lack %s:\n%s", line, metrics)
		}
	}
}

func TestHungEngineLooksHealthy(t *testing.T) {
	stub, url := serveHandler(t, engine.Config{})
	control := httptest.NewServer(stub.ControlHandler())
	defer control.Close()
	mustPost(t, control.URL+"/hang", "")

	answered := make(chan string, 1)
	go func() {
		resp, err := post(t, t.Context(), url+"/v1/chat/completions", chatBody(`,"max_tokens":1`))
		if err != nil {
			answered <- err.Error()
			return
		}
		resp.Body.Close()
		answered <- resp.Status
	}()
	for _, path := range []string{"/health", "/v1/models", "/metrics"} {
		resp, err := http.Get(url + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Errorf("%s answers %s", path, resp.Status)
		}
	}
	select {
	case got := <-answered:
		t.Errorf("a hung engine answered: %s", got)
	case <-time.After(100 * time.Millisecond):
	}
	mustPost(t, control.URL+"/unhang", "")
	if got := <-answered; got != "200 OK" {
		t.Errorf("after unhang: %s", got)
	}
}

func TestConnectionsAreRefusedWhileLoading(t *testing.T) {
	r := serve(t, engine.Config{LoadTime: time.Hour})
	if resp, err := http.Get(r.url + "/health"); err == nil {
		resp.Body.Close()
		t.Errorf("a loading engine answered %s", resp.Status)
	}
	r.stop()
	if err := r.ended(t); err != nil {
		t.Errorf("Serve: %v", err)
	}
	r = serve(t, engine.Config{LoadTime: 50 * time.Millisecond})
	r.await(t)
}

func TestDie(t *testing.T) {
	r := serve(t, engine.Config{})
	r.await(t)
	_, events := startStream(t, t.Context(), r.url)
	r.Die()
	if err := r.ended(t); !errors.Is(err, engine.ErrDied) {
		t.Errorf("Serve: %v, want ErrDied", err)
	}
	if rest, err := io.ReadAll(events); err == nil {
		t.Errorf("the stream ended in order with %q", rest)
	}
}

func TestBrokenStream(t *testing.T) {
	_, url := serveHandler(t, engine.Config{})
	resp, err := post(t, t.Context(), url+"/v1/chat/completions", chatBody(`,"stream":true,"stub":{"break_after":2}`))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil || !strings.Contains(string(text), `"2 "`) || strings.Contains(string(text), "[DONE]") {
		t.Errorf("a broken stream gave %q, %v", text, err)
	}
}

func TestStopLetsAnswersEndWithinTheTimeout(t *testing.T) {
	r := serve(t, engine.Config{ShutdownTimeout: limit, Interval: 20 * time.Millisecond})
	r.await(t)
	resp, err := post(t, t.Context(), r.url+"/v1/chat/completions", chatBody(`,"stream":true,"stub":{"tokens":10}`))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	r.stop()
	text, err := io.ReadAll(resp.Body)
	if err != nil || !strings.HasSuffix(string(text), "data: [DONE]\n\n") {
		t.Errorf("the answer ended with %v: %s", err, text)
	}
	if err := r.ended(t); err != nil {
		t.Errorf("Serve: %v", err)
	}
}

func TestStopWithoutTimeoutWaitsForClients(t *testing.T) {
	r := serve(t, engine.Config{})
	r.await(t)
	ctx, hangUp := context.WithCancel(t.Context())
	startStream(t, ctx, r.url)
	r.stop()
	select {
	case err := <-r.served:
		t.Errorf("Serve returned while a client was there: %v", err)
	case <-time.After(100 * time.Millisecond):
	}
	hangUp()
	if err := r.ended(t); err != nil {
		t.Errorf("Serve: %v", err)
	}
}

func TestNewRefusesNonsense(t *testing.T) {
	for _, c := range []engine.Config{
		{},
		{Models: []string{"m"}, Tokens: -1},
		{Models: []string{"m"}, Interval: -time.Second},
	} {
		if _, err := engine.New(c); err == nil {
			t.Errorf("New(%+v) succeeded", c)
		}
	}
}
