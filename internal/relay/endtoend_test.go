package relay_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"

	"github.com/relayctl/relayctl/internal/protocol"
	"github.com/relayctl/relayctl/internal/secret"
)

func TestUnaryPassesByteForByte(t *testing.T) {
	r := startRelay(t, newStack(t).load(t))
	connectedWorker(t, r, "gpu-1", echoEngine(t).URL, 4, "m")
	body := "{ \"model\":\"m\",  \"messages\":[\"\\u00e9\xff\"]}\r\n"
	q, err := http.NewRequest(http.MethodPost, r.URL+"/v1/chat/completions?a=%2f%2E&b=c+d&&x", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("X-Api-Key", laptopKey.Reveal())
	q.Header.Set("Cookie", "session=1")
	q.Header.Set("Api-Key", laptopKey.Reveal())
	q.Header.Set("X-Forwarded-For", "1.2.3.4")
	q.Header.Set("OpenAI-Beta", "x")
	response, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	got, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK || string(got) != body {
		t.Fatalf("got %d %q, %v", response.StatusCode, got, err)
	}
	h := response.Header
	if target := h.Get("Openai-Seen-Target"); target != "/v1/chat/completions?a=%2f%2E&b=c+d&&x" {
		t.Errorf("the engine saw %s", target)
	}
	if h.Get("Openai-Seen-Authorization") != "Bearer engine-key" {
		t.Errorf("the engine saw the key %q", h.Get("Openai-Seen-Authorization"))
	}
	seen := h.Get("Openai-Seen-Header")
	if strings.Contains(seen, laptopKey.Reveal()) || strings.Contains(seen, "session=1") || strings.Contains(seen, "1.2.3.4") {
		t.Errorf("the engine saw what is none of its business: %s", seen)
	}
	if !strings.Contains(seen, "Openai-Beta:[x]") || !strings.Contains(seen, "Accept-Encoding:[identity]") {
		t.Errorf("the engine did not see OpenAI-Beta, or that nothing is to be compressed: %s", seen)
	}
	if !strings.HasPrefix(h.Get("X-Request-Id"), "req_") {
		t.Errorf("request id is %q", h.Get("X-Request-Id"))
	}
}

// streamEngine streams n events, each when step allows; a nil step streams at
// once.
func streamEngine(t testing.TB, n int, step <-chan struct{}) string {
	return startEngine(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range n {
			if step != nil {
				select {
				case <-step:
				case <-r.Context().Done():
					return
				}
			}
			fmt.Fprintf(w, "data: {\"id\":\"1\",\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"t%d \"}}]}\n\n", i)
			w.(http.Flusher).Flush()
		}
		io.WriteString(w, "data: [DONE]\n\n")
	}).URL
}

func TestOpenAIClient(t *testing.T) {
	r := startRelay(t, newStack(t).load(t))
	connectedWorker(t, r, "gpu-2", streamEngine(t, 20, nil), 4, "m")
	client := openai.NewClient(option.WithBaseURL(r.URL+"/v1"), option.WithAPIKey(laptopKey.Reveal()), option.WithMaxRetries(0))
	stream := client.Chat.Completions.NewStreaming(t.Context(), openai.ChatCompletionNewParams{
		Model:    "m",
		Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage("hello")},
	})
	var text strings.Builder
	for stream.Next() {
		text.WriteString(stream.Current().Choices[0].Delta.Content)
	}
	if err := stream.Err(); err != nil {
		t.Fatal(err)
	}
	if got := text.String(); !strings.HasPrefix(got, "t0 t1 ") || !strings.HasSuffix(got, "t19 ") {
		t.Fatalf("got %q", got)
	}
	models, err := client.Models.List(t.Context())
	if err != nil || len(models.Data) != 3 || models.Data[0].ID != "m" {
		t.Fatalf("models: %+v, %v", models, err)
	}
	if model, err := client.Models.Get(t.Context(), "m"); err != nil || model.RawJSON() != models.Data[0].RawJSON() {
		t.Fatalf("model: %+v, %v", model, err)
	}
}

func TestTokensAreNotHeldBack(t *testing.T) {
	step := make(chan struct{})
	r := startRelay(t, newStack(t).load(t))
	connectedWorker(t, r, "gpu-2", streamEngine(t, 3, step), 4, "m")
	got := make(chan string)
	go func() {
		defer close(got)
		response, err := post(t, t.Context(), r.URL, laptopKey, `{"model":"m","stream":true}`)
		if err != nil {
			t.Error(err)
			return
		}
		defer response.Body.Close()
		buf := make([]byte, 4096)
		for {
			n, err := response.Body.Read(buf)
			if n > 0 {
				got <- string(buf[:n])
			}
			if err != nil {
				return
			}
		}
	}()
	for i := range 3 {
		step <- struct{}{}
		select {
		case chunk := <-got:
			if !strings.Contains(chunk, fmt.Sprintf(`"t%d "`, i)) {
				t.Fatalf("chunk %d is %q", i, chunk)
			}
		case <-time.After(time.Minute):
			t.Fatalf("token %d did not come", i)
		}
	}
	for range got {
	}
}

// TestWorkerHeadersAreNotTrusted: what belongs to one hop, or speaks for the
// site, does not reach the client, whoever forgot to leave it out.
func TestWorkerHeadersAreNotTrusted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, stop := inMemory(t, newStack(t))
		w := b.join("gpu-1", func(ctx context.Context, s *protocol.Stream) {
			s.Respond(ctx, protocol.ResponseHead{Status: 429, Header: []protocol.Field{
				{"Content-Type", "application/json"}, {"Retry-After", "7"}, {"X-Ratelimit-Limit", "5"}, {"Openai-Version", "1"},
				{"Openai-Model", "a"}, {"Openai-Model", "b"}, {"X-Two", "a"}, {"Access-Control-Allow-Origin", "*"},
				{"Set-Cookie", "a=b"}, {"Transfer-Encoding", "chunked"}, {"Connection", "close, Server-Timing"}, {"Server-Timing", "1"},
				{"Location", "https://evil.example"}, {"Strict-Transport-Security", "max-age=0"}, {"Server", "uvicorn"},
				{"X-Request-Id", "the engine's"}, {"Content-Length", "3"}, {"Content-Length", "4"},
				{"X-Split", "a\r\nX-Injected: 1"}, {"X Space", "1"}, {"", "1"},
			}}, []byte(`{"slow":"down"}`), true)
		}, offer("m", 4))
		got := b.ask(t.Context(), laptopKey, askM)
		if got.status != 429 || got.body != `{"slow":"down"}` || got.err != nil {
			t.Errorf("got %+v", got)
		}
		var names []string
		for name := range got.header {
			names = append(names, name)
		}
		slices.Sort(names)
		want := []string{"Content-Length", "Content-Type", "Date", "Openai-Model", "Openai-Version", "Retry-After", "X-Ratelimit-Limit", "X-Request-Id"}
		if diff := cmp.Diff(want, names); diff != "" {
			t.Errorf("header fields (-want +got):\n%s", diff)
		}
		if got.header.Get("Content-Length") != "15" || len(got.header.Values("Openai-Model")) != 2 || got.header.Get("X-Request-Id") == "the engine's" {
			t.Errorf("header %v", got.header)
		}
		w.stop()
		stop()
	})
}

// TestUpstreamName: the engine hears its own name for the model, and nothing
// else of the body changes.
func TestUpstreamName(t *testing.T) {
	r := startRelay(t, newStack(t).load(t))
	s := workerSettings(t, "gpu-1", r.URL, echoEngine(t).URL, 4, "renamed")
	s.Models[0].Upstream = "llama3.2:3b-instruct"
	s.Models[0].Key = secret.Value{}
	_, up, _ := startWorker(t, s, nil)
	<-up
	status, h, body := ask(t, r.URL, laptopKey, `{ "x":"renamed",  "model" : "renamed","n":1.0}`)
	if want := `{ "x":"renamed",  "model" : "llama3.2:3b-instruct","n":1.0}`; status != 200 || body != want {
		t.Errorf("got %d %s", status, body)
	}
	if got := h.Get("Openai-Seen-Authorization"); got != "" {
		t.Errorf("an engine without a key was sent %q", got)
	}
}

// TestEngineThatIsNotThere fails its own requests only, and those go to
// another worker where there is one.
func TestEngineThatIsNotThere(t *testing.T) {
	r := startRelay(t, newStack(t).load(t))
	s := workerSettings(t, "gpu-1", r.URL, echoEngine(t).URL, 4, "m", "renamed")
	s.Models[0].Backend = mustURL(t, closedAddress(t))
	_, up, _ := startWorker(t, s, nil)
	<-up
	if status, h, body := ask(t, r.URL, laptopKey, askM); status != 503 || errorCode(t, body) != "engine_unreachable" || h.Get("Retry-After") == "" {
		t.Errorf("got %d %s", status, body)
	}
	if status, _, _ := ask(t, r.URL, laptopKey, `{"model":"renamed"}`); status != 200 {
		t.Errorf("the other model got %d", status)
	}
	connectedWorker(t, r, "gpu-2", echoEngine(t).URL, 4, "m")
	if status, _, body := ask(t, r.URL, laptopKey, askM); status != 200 || body != askM {
		t.Errorf("with another worker: %d %s", status, body)
	}
}

func TestEngineThatMisbehaves(t *testing.T) {
	tests := []struct {
		name   string
		engine http.HandlerFunc
		status int
		code   string
	}{
		{"redirects", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://169.254.169.254/latest", http.StatusTemporaryRedirect)
		}, 502, "engine_failed"},
		{"breaks off before its head", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, 502, "engine_failed"},
		{"answers an error", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(400)
			io.WriteString(w, `{"error":{"message":"no","type":"BadRequestError","code":"theirs"}}`)
		}, 400, "theirs"},
	}
	for _, test := range tests {
		r := startRelay(t, newStack(t).load(t))
		connectedWorker(t, r, "gpu-1", startEngine(t, test.engine).URL, 4, "m")
		if status, _, body := ask(t, r.URL, laptopKey, askM); status != test.status || errorCode(t, body) != test.code {
			t.Errorf("an engine that %s: %d %s", test.name, status, body)
		}
	}
}

// TestEngineThatReadsNotAll of a request and has answered is heard: large bodies
// are refused so, wrong keys, and requests while a model loads.
func TestEngineThatReadsNotAll(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Read(make([]byte, 2000))
			io.WriteString(c, "HTTP/1.1 413 Payload Too Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}")
			c.Close() // with a reset, since there is more to read
		}
	}()
	r := startRelay(t, newStack(t).load(t))
	connectedWorker(t, r, "gpu-1", "http://"+l.Addr().String(), 4, "m")
	body := `{"model":"m","x":"` + strings.Repeat("x", 5<<20) + `"}`
	for range 10 {
		if status, _, answer := ask(t, r.URL, laptopKey, body); status != http.StatusRequestEntityTooLarge || answer != "{}" {
			t.Fatalf("got %d %s", status, answer)
		}
	}
}

// TestEngineHearsOfAClientThatLeaves, at every stage, soon.
func TestEngineHearsOfAClientThatLeaves(t *testing.T) {
	for _, streaming := range []bool{false, true} {
		reached, left := make(chan struct{}, 1), make(chan struct{}, 1)
		engine := startEngine(t, func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			if streaming {
				w.Header().Set("Content-Type", "text/event-stream")
				io.WriteString(w, "data: 1\n\n")
				w.(http.Flusher).Flush()
			}
			reached <- struct{}{}
			<-r.Context().Done()
			left <- struct{}{}
		})
		r := startRelay(t, newStack(t).load(t))
		connectedWorker(t, r, "gpu-1", engine.URL, 1, "m")
		ctx, leave := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			if response, err := post(t, ctx, r.URL, laptopKey, askM); err == nil {
				io.Copy(io.Discard, response.Body)
				response.Body.Close()
			}
		}()
		<-reached
		leave()
		select {
		case <-left:
		case <-time.After(time.Minute):
			t.Errorf("streaming %v: the engine still works after a minute", streaming)
		}
		<-done
	}
}

// TestHalfClosedClientGetsNoAnswer rather than an empty one: who ends its side of
// the connection counts as gone.
func TestHalfClosedClientGetsNoAnswer(t *testing.T) {
	engine := startEngine(t, func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	})
	r := startRelay(t, newStack(t).load(t))
	connectedWorker(t, r, "gpu-1", engine.URL, 1, "m")
	c, err := net.Dial("tcp", strings.TrimPrefix(r.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "POST /v1/chat/completions HTTP/1.1\r\nHost: relay\r\nX-Api-Key: %s\r\nContent-Length: %d\r\n\r\n%s", laptopKey.Reveal(), len(askM), askM)
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(c); err != nil || len(got) > 0 {
		t.Errorf("got %q, %v", got, err)
	}
}

// TestManyAtOnce: bodies of many sizes, many clients, two workers; every byte
// comes back to whom it belongs.
func TestManyAtOnce(t *testing.T) {
	r := startRelay(t, newStack(t).load(t))
	engine := echoEngine(t)
	connectedWorker(t, r, "gpu-1", engine.URL, 3, "m")
	connectedWorker(t, r, "gpu-2", engine.URL, 5, "m")
	var clients sync.WaitGroup
	for i := range 40 {
		clients.Go(func() {
			body := fmt.Sprintf(`{"model":"m","client":%d,"x":%q}`, i, strings.Repeat(fmt.Sprint(i), i*i*50))
			if status, _, got := ask(t, r.URL, laptopKey, body); status != 200 || got != body {
				t.Errorf("client %d: %d, %d bytes for %d", i, status, len(got), len(body))
			}
		})
	}
	clients.Wait()
}

// TestRelayAndWorkerComeBack: after a relay's restart and after a rotated
// secret no request is lost.
func TestRelayAndWorkerComeBack(t *testing.T) {
	st := newStack(t)
	st.relay["listen"] = freeAddress(t)
	engine := echoEngine(t)
	r := startRelay(t, st.load(t))
	s := workerSettings(t, "gpu-1", r.URL, engine.URL, 4, "m")
	w, up, _ := startWorker(t, s, nil)
	<-up
	r.stop()
	r = startRelay(t, st.load(t))
	if status, _, body := ask(t, r.URL, laptopKey, askM); status != 200 {
		t.Errorf("right after a restart: %d %s", status, body)
	}
	<-up

	st.workers[0].Hashes = append(st.workers[0].Hashes, workerSecret("next").Hash())
	if err := r.Reload(st.load(t)); err != nil {
		t.Fatal(err)
	}
	renewed := *s
	renewed.Secret = workerSecret("next")
	w.Reload(&renewed)
	<-up
	st.workers[0].Hashes = st.workers[0].Hashes[1:]
	if err := r.Reload(st.load(t)); err != nil {
		t.Fatal(err)
	}
	if status, _, body := ask(t, r.URL, laptopKey, askM); status != 200 {
		t.Errorf("after the rotation: %d %s", status, body)
	}
}
