package worker_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/relayctl/relayctl/internal/protocol"
	"github.com/relayctl/relayctl/internal/worker"
)

// TestBodiesAreBoundedTogether, however many a bad relay opens: what is over the
// bound is refused, and what ends makes room again.
func TestBodiesAreBoundedTogether(t *testing.T) {
	const size, fit = 1 << 20, 3
	var here atomic.Int32
	full, free := make(chan struct{}), make(chan struct{})
	engine := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		if here.Add(1) == fit {
			close(full)
		}
		<-free
		w.WriteHeader(http.StatusNoContent)
	}))
	defer engine.Close()
	l, stop := joinWith(t, worker.Config{Memory: fit * size, Log: slog.New(slog.DiscardHandler)}, model(t, "m", engine.URL))
	body := []byte(strings.Repeat(" ", size-13) + `{"model":"m"}`)
	ask := func() error {
		s, err := l.conn.Open(protocol.RequestHead{Model: "m", Method: http.MethodPost, Target: "/v1/chat/completions"}, body)
		if err != nil {
			return err
		}
		return readAnswer(context.Background(), s)
	}
	var running sync.WaitGroup
	for range fit {
		running.Go(func() {
			if err := ask(); err != nil {
				t.Errorf("within the bound: %v", err)
			}
		})
	}
	<-full
	var reset *protocol.ResetError
	for range 3 {
		if err := ask(); !errors.As(err, &reset) || reset.Code != protocol.ResetRefused {
			t.Errorf("beyond the bound: %v", err)
		}
	}
	close(free)
	running.Wait()
	if err := ask(); err != nil {
		t.Errorf("after it: %v", err)
	}
	stop()
}
