package relay_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/relayctl/relayctl/internal/protocol"
)

func contains(text, part string) bool { return strings.Contains(text, part) }

// TestConnectIsRefusedBeforeAnyUpgrade: a plain status and a JSON error.
func TestConnectIsRefusedBeforeAnyUpgrade(t *testing.T) {
	upgrade := map[string]string{
		"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
		"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Protocol": protocol.Subprotocol,
		"Authorization": "Bearer " + workerSecret("gpu-1").Reveal(),
	}
	tests := []struct {
		name   string
		change map[string]string // "" takes a field away
		method string
		status int
		code   string
	}{
		{"no upgrade", map[string]string{"Upgrade": "", "Connection": ""}, "GET", 426, "upgrade_required"},
		{"no upgrade and no secret", map[string]string{"Upgrade": "", "Connection": "", "Authorization": ""}, "GET", 426, "upgrade_required"},
		{"no secret", map[string]string{"Authorization": ""}, "GET", 401, "invalid_secret"},
		{"wrong secret", map[string]string{"Authorization": "Bearer x"}, "GET", 401, "invalid_secret"},
		{"an API key", map[string]string{"Authorization": "Bearer " + laptopKey.Reveal()}, "GET", 401, "invalid_secret"},
		{"the secret as an API key", map[string]string{"Authorization": "", "X-Api-Key": workerSecret("gpu-1").Reveal()}, "GET", 401, "invalid_secret"},
		{"no subprotocol", map[string]string{"Sec-WebSocket-Protocol": ""}, "GET", 400, "unknown_subprotocol"},
		{"other subprotocol", map[string]string{"Sec-WebSocket-Protocol": "relay.v9"}, "GET", 400, "unknown_subprotocol"},
		{"bad handshake", map[string]string{"Sec-WebSocket-Key": "x"}, "GET", 400, "bad_handshake"},
		{"foreign origin", map[string]string{"Origin": "https://evil.example"}, "GET", 403, "bad_handshake"},
		{"POST", nil, "POST", 405, "wrong_method"},
	}
	r := startRelay(t, newStack(t).load(t))
	for _, test := range tests {
		q, err := http.NewRequest(test.method, r.URL+protocol.ConnectPath, nil)
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range upgrade {
			q.Header.Set(name, value)
		}
		for name, value := range test.change {
			if q.Header.Set(name, value); value == "" {
				q.Header.Del(name)
			}
		}
		status, body := do(t, q)
		if status != test.status || errorCode(t, body) != test.code {
			t.Errorf("%s: got %d %s", test.name, status, body)
		}
	}
}

func TestWorkerIsNamedByItsSecret(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, stop := inMemory(t, newStack(t))
		_, err := b.tryJoin(workerSecret("gpu-1"), protocol.WorkerHello{Name: "gpu-2"}, hang)
		var closed *protocol.CloseError
		if !errors.As(err, &closed) || closed.Code != protocol.CloseName || !contains(closed.Text, `"gpu-1"`) {
			t.Errorf("got %v", err)
		}
		stop()
	})
}

func TestWorkerServesOnlyWhatItMay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, stop := inMemory(t, newStack(t))
		time.Sleep(time.Minute)
		w := b.join("gpu-1", answerWith(`{}`), offer("m", 1), offer("other", 1), offer("in valid", 1))
		if notes := fmt.Sprint(w.hello.Notes); !contains(notes, `"other"`) || !contains(notes, `"in valid"`) || contains(notes, `"m"`) {
			t.Errorf("the worker was told %s", notes)
		}
		if got := b.ask(t.Context(), laptopKey, `{"model":"other"}`); got.status != 503 {
			t.Errorf("got %+v", got)
		}
		if got := b.ask(t.Context(), laptopKey, askM); got.status != 200 {
			t.Errorf("got %+v", got)
		}
		w.stop()
		stop()
	})
}

// TestReload: keys and workers come and go, and what stays is not disturbed.
func TestReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newStack(t)
		b, stop := inMemory(t, st)
		one := b.join("gpu-1", answerWith(`{"from":1}`), offer("m", 1), offer("other", 1))
		two := b.join("gpu-2", answerWith(`{"from":2}`), offer("m", 1))
		time.Sleep(time.Minute)

		st.keys = st.keys[1:]                    // the laptop's goes
		st.workers = st.workers[:1]              // and gpu-2
		st.workers[0].Models = []string{"other"} // gpu-1 may serve something else
		st.relay["queue_timeout"], st.relay["max_queue"] = "1s", 1
		settings := st.load(t)
		if err := b.Reload(settings); err != nil {
			t.Fatal(err)
		}
		var closed *protocol.CloseError
		if err := <-two.ended; !errors.As(err, &closed) || closed.Code != protocol.CloseRevoked {
			t.Errorf("the worker that left the stack ended with %v", err)
		}
		if got := b.ask(t.Context(), laptopKey, askM); got.status != 401 {
			t.Errorf("the revoked key got %+v", got)
		}
		if got := b.ask(t.Context(), narrowKey, `{"model":"other"}`); got.body != `{"from":1}` {
			t.Errorf("got %+v", got)
		}
		if got := b.ask(t.Context(), narrowKey, askM); got.status != 404 {
			t.Errorf("a model that left the stack got %+v", got)
		}
		if got := b.Status().Settings; got != settings.Digest {
			t.Errorf("digest in force is %s, want %s", got, settings.Digest)
		}
		select {
		case err := <-one.ended:
			t.Errorf("the worker that stayed ended with %v", err)
		default:
		}
		one.stop()
		two.stop()
		stop()
	})
}

// TestRotatedSecret: both are good for a while, then the old connection ends.
func TestRotatedSecret(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newStack(t)
		b, stop := inMemory(t, st)
		next := workerSecret("gpu-1-next")
		old := b.join("gpu-1", answerWith(`{"by":"old"}`), offer("m", 1))
		st.workers[0].Hashes = append(st.workers[0].Hashes, next.Hash())
		if err := b.Reload(st.load(t)); err != nil {
			t.Fatal(err)
		}
		if got := b.ask(t.Context(), laptopKey, askM); got.body != `{"by":"old"}` {
			t.Errorf("got %+v", got)
		}
		renewed, err := b.tryJoin(next, protocol.WorkerHello{Name: "gpu-1", Instance: "gpu-1", Models: []protocol.Offer{offer("m", 1)}}, answerWith(`{"by":"new"}`))
		if err != nil {
			t.Fatal(err)
		}
		<-old.ended
		st.workers[0].Hashes = []string{next.Hash()}
		if err := b.Reload(st.load(t)); err != nil {
			t.Fatal(err)
		}
		if got := b.ask(t.Context(), laptopKey, askM); got.body != `{"by":"new"}` {
			t.Errorf("got %+v", got)
		}
		if _, err := b.tryJoin(workerSecret("gpu-1"), protocol.WorkerHello{Name: "gpu-1"}, hang); err == nil {
			t.Error("the old secret still lets in")
		}
		renewed.stop()
		stop()
	})
}
