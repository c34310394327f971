package relay_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
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
	if target := h.Get("X-Seen-Target"); target != "/v1/chat/completions?a=%2f%2E&b=c+d&&x" {
		t.Errorf("the engine saw %s", target)
	}
	if h.Get("X-Seen-Authorization") != "Bearer engine-key" {
		t.Errorf("the engine saw the key %q", h.Get("X-Seen-Authorization"))
	}
	seen := h.Get("X-Seen-Header")
	if strings.Contains(seen, laptopKey.Reveal()) || strings.Contains(seen, "session=1") || strings.Contains(seen, "1.2.3.4") {
		t.Errorf("the engine saw what is none of its business: %s", seen)
	}
	if !strings.Contains(seen, "Openai-Beta:[x]") {
		t.Errorf("the engine did not see OpenAI-Beta: %s", seen)
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
		case <-time.After(5 * time.Second):
			t.Fatalf("token %d did not come", i)
		}
	}
	for range got {
	}
}
