package relay_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/relayctl/relayctl/internal/protocol"
	"github.com/relayctl/relayctl/internal/secret"
)

// TestNobodyFillsTheLog: what needs no key is summed up, and the lines of
// answered requests are all there.
func TestNobodyFillsTheLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		var mu sync.Mutex
		b, stop := inMemoryLogging(t, newStack(t), slog.New(slog.NewTextHandler(lockedWriter{&mu, &log}, nil)))
		w := b.join("gpu-1", answerWith("{}"), offer("m", 4))
		from := func(source string, path string, key secret.Value) {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, b.URL+path, strings.NewReader(askM))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("X-Forwarded-For", "6.6.6.6, "+source)
			r.Header.Set("X-Api-Key", key.Reveal())
			response, err := b.client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
		}
		for i := range 1000 {
			from("192.0.2.1", "/v1/chat/completions", secret.New("rk_wrong"))
			from("192.0.2.1", "/wp-login.php", secret.New("rk_wrong"))
			from(fmt.Sprintf("2001:db8::%x", i), "/v1/models", secret.New("rk_wrong"))
			if i%100 == 0 {
				from("192.0.2.9", "/v1/chat/completions", laptopKey)
			}
		}
		for range 500 { // workers with a wrong secret
			_, err := b.tryJoin(secret.New("guess"), protocol.WorkerHello{Name: "gpu-1"}, nil)
			if err == nil {
				t.Error("a wrong secret was taken")
			}
		}
		time.Sleep(2 * time.Second)
		mu.Lock()
		text := log.String()
		mu.Unlock()
		if n := strings.Count(text, "outcome=answered"); n != 10 {
			t.Errorf("%d of 10 answered requests have a line", n)
		}
		for _, want := range []string{
			`from=192.0.2.1 requests=2500 codes="invalid_api_key: 1000, unknown_url: 1000, too_many_connections: 470, invalid_secret: 30"`,
			`from=2001:db8::1 requests=1 codes="wrong_method: 1"`, `from=others requests=981`,
		} {
			if !strings.Contains(text, want) {
				t.Errorf("the log lacks %s", want)
			}
		}
		if n := strings.Count(text, "\n"); n > 10+2*21+10 {
			t.Errorf("%d lines:\n%s", n, text)
		}
		if strings.Contains(text, "6.6.6.6") || strings.Contains(text, "rk_") {
			t.Errorf("the log has what a client wrote:\n%.2000s", text)
		}
		w.stop()
		stop()
	})
}

type lockedWriter struct {
	mu *sync.Mutex
	to *bytes.Buffer
}

func (l lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.to.Write(p)
}
