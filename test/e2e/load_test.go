package e2e_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// load is constant traffic through the public URL: streams that last for
// seconds, and short requests one after the other.
type load struct {
	t       *testing.T
	client  *http.Client
	key     string
	stop    context.CancelFunc
	running sync.WaitGroup

	mu             sync.Mutex
	streams, short int
	failures       []string
}

// startLoad begins the traffic. Requests are never given up: at the end each
// finishes.
func (s *site) startLoad(streams, short int) *load {
	s.t.Helper()
	ctx, stop := context.WithCancel(s.t.Context())
	l := &load{t: s.t, client: s.client(), key: s.key("laptop"), stop: stop}
	for range streams {
		l.running.Go(func() { l.repeat(ctx, l.stream) })
	}
	for range short {
		l.running.Go(func() { l.repeat(ctx, l.whole) })
	}
	s.t.Cleanup(func() {
		stop()
		l.running.Wait()
	})
	return l
}

func (l *load) repeat(ctx context.Context, ask func() error) {
	for ctx.Err() == nil {
		if err := ask(); err != nil {
			l.mu.Lock()
			l.failures = append(l.failures, err.Error())
			l.mu.Unlock()
		}
	}
}

const streamTokens = 60

func (l *load) stream() error {
	body := fmt.Sprintf(`{"model":"stub","stream":true,"messages":[{"role":"user","content":"Hi"}],"stub":{"tokens":%d,"interval_ms":25}}`, streamTokens)
	text, err := l.post(body)
	if err != nil {
		return fmt.Errorf("stream: %w", err)
	}
	if n := strings.Count(text, `"content":"`); n < streamTokens || !strings.HasSuffix(strings.TrimSpace(text), "data: [DONE]") {
		return fmt.Errorf("a stream was cut after %d tokens: …%s", n, text[max(0, len(text)-200):])
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.streams++
	return nil
}

func (l *load) whole() error {
	text, err := l.post(`{"model":"stub","messages":[{"role":"user","content":"Hi"}],"stub":{"tokens":3,"interval_ms":5}}`)
	if err != nil {
		return fmt.Errorf("short request: %w", err)
	}
	if !strings.Contains(text, `"finish_reason"`) {
		return fmt.Errorf("short request: %s", text)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.short++
	return nil
}

// post makes one request with nobody to give it up.
func (l *load) post(body string) (string, error) {
	request, err := http.NewRequest(http.MethodPost, "https://"+domain+"/v1/chat/completions", strings.NewReader(body))
	if err != nil {
		return "", err
	}
	request.Header.Set("Authorization", "Bearer "+l.key)
	request.Header.Set("Content-Type", "application/json")
	response, err := l.client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d: %s", response.StatusCode, content)
	}
	return string(content), err
}

// mustBeUnharmed ends the traffic, and fails where a request failed or none
// ran.
func (l *load) mustBeUnharmed() {
	l.t.Helper()
	l.stop()
	l.running.Wait()
	l.t.Logf("%d streams and %d short requests went well", l.streams, l.short)
	if l.streams == 0 || l.short == 0 {
		l.t.Error("there was no traffic")
	}
	for _, failure := range l.failures[:min(len(l.failures), 10)] {
		l.t.Error(failure)
	}
	if len(l.failures) > 0 {
		l.t.Errorf("%d requests failed", len(l.failures))
	}
}
