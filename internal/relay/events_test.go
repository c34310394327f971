package relay_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"

	"github.com/relayctl/relayctl/internal/protocol"
)

// TestEventsPassUnchanged whatever their form, and in whatever pieces they come.
func TestEventsPassUnchanged(t *testing.T) {
	streams := map[string]string{
		"LF":                  "data: 1\n\ndata: [DONE]\n\n",
		"CR LF":               "data: 1\r\n\r\ndata: [DONE]\r\n\r\n",
		"CR":                  "data: 1\r\rdata: [DONE]\r\r",
		"several lines":       "event: x\nid: 1\ndata: {\ndata: }\n\ndata: [DONE]\n\n",
		"comments":            ": hello\n\n: still there\n\ndata: [DONE]\n\n",
		"UTF-8":               "data: \U0001F600é\n\ndata: [DONE]\n\n",
		"no last blank line":  "data: 1\n\ndata: [DONE]\n",
		"no last line end":    "data: 1\n\ndata: [DONE]",
		"no DONE":             `data: {"choices":[{"finish_reason":"stop"}]}` + "\n\n",
		"usage in the end":    `data: {"choices":[{"finish_reason":"stop"}]}` + "\n\n" + `data: {"choices":[],"usage":{"total_tokens":3}}` + "\n\n",
		"the engine's error":  `data: {"error":{"message":"out of memory"}}` + "\n\n",
		"more after DONE":     "data: 1\n\ndata: [DONE]\n\n: bye\n\n",
		"an event of 1 MB":    "data: " + strings.Repeat("x", 1<<20) + "\n\ndata: [DONE]\n\n",
		"an event over 4 MiB": "data: " + strings.Repeat("x", 5<<20) + "\n\ndata: [DONE]\n\n",
	}
	for name, stream := range streams {
		for _, size := range []int{1, 2, 3, 7, 16 << 10, 1 << 20} {
			if len(stream) > 1<<20 && size < 16<<10 {
				continue
			}
			synctest.Test(t, func(t *testing.T) {
				b, stop := inMemory(t, newStack(t))
				w := b.join("gpu-1", func(ctx context.Context, s *protocol.Stream) {
					rest := []byte(stream)
					head := protocol.ResponseHead{Status: 200, Header: []protocol.Field{{"Content-Type", "text/event-stream; charset=utf-8"}}}
					n := min(size, len(rest))
					err := s.Respond(ctx, head, rest[:n], n == len(rest))
					for rest = rest[n:]; len(rest) > 0 && err == nil; rest = rest[n:] {
						if len(stream) < 1000 {
							synctest.Wait() // so that each piece comes alone
						}
						n = min(size, len(rest))
						err = s.Write(ctx, rest[:n], n == len(rest))
					}
				}, offer("m", 1))
				if got := b.ask(t.Context(), laptopKey, askM); got.body != stream || got.err != nil {
					t.Errorf("%s in pieces of %d: got %.200q, %v", name, size, got.body, got.err)
				}
				w.stop()
				stop()
			})
		}
	}
}

// listenRaw has serve take every connection to an address, HOST:PORT, until the
// test ends.
func listenRaw(t testing.TB, serve func(net.Conn)) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serve(c)
		}
	}()
	return l.Addr().String()
}

// rawEngine answers every connection's first request with these bytes, and
// closes it.
func rawEngine(t testing.TB, answer string) (url string) {
	t.Helper()
	return "http://" + listenRaw(t, func(c net.Conn) {
		defer c.Close()
		if readRequest(c) == nil {
			fmt.Fprint(c, answer)
		}
	})
}

// TestCutAnswerIsSeenAsOne by a client of today, also where the connection was
// closed as if the answer had come to its end.
func TestCutAnswerIsSeenAsOne(t *testing.T) {
	event := `data: {"id":"1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{"content":"so "},"finish_reason":null}]}` + "\n\n"
	whole := event + `data: {"id":"1","object":"chat.completion.chunk","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}` + "\n\ndata: [DONE]\n\n"
	events := "Content-Type: text/event-stream\r\n"
	chunked := func(body string) string {
		return fmt.Sprintf("HTTP/1.1 200 OK\r\n%sTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n", events, len(body), body)
	}
	tests := []struct {
		name, answer string
		whole        bool
	}{
		{"chunked, whole", chunked(whole) + "0\r\n\r\n", true},
		{"chunked, cut between events", chunked(event), false},
		{"chunked, cut inside an event", chunked(event + `data: {"id":"1","obj`), false},
		{"chunked, closed properly after a part", chunked(event) + "0\r\n\r\n", false},
		{"chunked, closed properly inside an event", chunked(event+`data: {"id":`) + "0\r\n\r\n", false},
		{"HTTP/1.0, whole", "HTTP/1.0 200 OK\r\n" + events + "\r\n" + whole, true},
		{"HTTP/1.0, cut between events", "HTTP/1.0 200 OK\r\n" + events + "\r\n" + event, false},
		{"HTTP/1.0, cut inside an event", "HTTP/1.0 200 OK\r\n" + events + "\r\n" + event + `data: {"id"`, false},
		{"HTTP/1.1 until close, cut", "HTTP/1.1 200 OK\r\nConnection: close\r\n" + events + "\r\n" + event, false},
		{"chunked, cut after [DONE]", chunked(whole), true},
		{"chunked, cut where one of two choices has ended", chunked(strings.TrimSuffix(whole, "data: [DONE]\n\n") + event), false},
		{"chunked, a part with empty reasons to finish", chunked(strings.Replace(event, "null", `""`, 1)) + "0\r\n\r\n", false},
		{"nothing at all", "HTTP/1.0 200 OK\r\n" + events + "\r\n", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := startRelay(t, newStack(t).load(t))
			connectedWorker(t, r, "gpu-1", rawEngine(t, test.answer), 4, "m")
			client := openai.NewClient(option.WithBaseURL(r.URL+"/v1"), option.WithAPIKey(laptopKey.Reveal()), option.WithMaxRetries(0))
			stream := client.Chat.Completions.NewStreaming(t.Context(), openai.ChatCompletionNewParams{
				Model: "m", Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage("hello")},
			})
			said := ""
			for stream.Next() {
				said += stream.Current().Choices[0].Delta.Content
			}
			err := stream.Err()
			if (err == nil) != test.whole || test.whole && said != "so " {
				t.Errorf("said %q, %v", said, err)
			}
			var refused *openai.Error // where the connection ended before anything was passed on
			if err != nil && !strings.Contains(err.Error(), "engine_failed") && (!errors.As(err, &refused) || refused.StatusCode != http.StatusBadGateway) {
				t.Errorf("the error is %v", err)
			}
		})
	}
}

// TestPartIsNoAnswer where HTTP/1.0 gives no length, nor is nothing. What can't
// be told from a whole answer passes unchanged.
func TestPartIsNoAnswer(t *testing.T) {
	head := "HTTP/1.0 200 OK\r\nContent-Type: application/json; charset=utf-8\r\n\r\n"
	tests := []struct {
		name, answer string
		status       int
	}{
		{"whole", head + `{"choices":[{"message":{"content":"yes"}}]}` + "\n", 200},
		{"cut", head + `{"choices":[{"message":{"content":"yes"}}`, 502},
		{"cut in its text", head + `{"choices":[{"message":{"content":"ye`, 502},
		{"nothing", head, 502},
		{"no JSON, and does not say so", "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nyes", 200},
		{"nothing, and says so", "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 0\r\n\r\n", 502},
		{"compressed, unasked", "HTTP/1.0 200 OK\r\nContent-Encoding: br\r\nContent-Type: application/json\r\n\r\n\x8b\x01\x80", 200},
		{"events, compressed", "HTTP/1.0 200 OK\r\nContent-Encoding: br\r\nContent-Type: text/event-stream\r\n\r\n\x8b\n\n\x80", 200},
		{"an error that is called events", "HTTP/1.0 400 Bad Request\r\nContent-Type: text/event-stream\r\n\r\n" + `{"error":{"message":"too long"}}`, 400},
	}
	for _, test := range tests {
		r := startRelay(t, newStack(t).load(t))
		connectedWorker(t, r, "gpu-1", rawEngine(t, test.answer), 4, "m")
		status, _, body := ask(t, r.URL, laptopKey, askM)
		if status != test.status || status != http.StatusBadGateway && !strings.HasSuffix(test.answer, body) {
			t.Errorf("%s: got %d %s", test.name, status, body)
		}
	}
}
