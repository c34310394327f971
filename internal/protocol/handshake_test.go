package protocol_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/relayctl/relayctl/internal/protocol"
)

func TestHello(t *testing.T) {
	a, b := pipe()
	mine := protocol.WorkerHello{Program: "relay-worker 1", Name: "gpu-1", Instance: "i", Models: []protocol.Offer{{Name: "m", Concurrency: 16, Kind: "chat"}}}
	done := make(chan error, 1)
	go func() {
		hello, err := protocol.Receive(t.Context(), a)
		if err == nil {
			err = protocol.Answer(t.Context(), a, hello, protocol.RelayHello{Program: "relay-server 1", Notes: []string{"a <note>"}})
		}
		mine.Protocol, mine.Window = protocol.Versions{Min: 1, Max: 1}, protocol.Window
		if diff := cmp.Diff(mine, hello); diff != "" {
			t.Errorf("worker's hello (-want +got):\n%s", diff)
		}
		done <- err
	}()
	theirs, err := protocol.Greet(t.Context(), b, mine)
	if err := errors.Join(err, <-done); err != nil {
		t.Fatal(err)
	}
	want := protocol.RelayHello{Protocol: protocol.Versions{Min: 1, Max: 1}, Use: 1, Program: "relay-server 1", Window: protocol.Window, Notes: []string{"a <note>"}}
	if diff := cmp.Diff(want, theirs); diff != "" {
		t.Errorf("relay's hello (-want +got):\n%s", diff)
	}
}

func TestRelayRefusesHello(t *testing.T) {
	tests := []struct {
		name, hello, code, text string
	}{
		{"newer worker", `{"protocol":{"min":2,"max":3},"window":262144}`, "version", "relay speaks 1 to 1, worker 2 to 3"},
		{"no version", `{"window":262144}`, "version", "worker 0 to 0"},
		{"tiny window", `{"protocol":{"min":1,"max":2},"window":1}`, "protocol", "window of 1"},
		{"huge window", `{"protocol":{"min":1,"max":1},"window":99999999}`, "protocol", "window of 99999999"},
		{"no concurrency", `{"protocol":{"min":1,"max":1},"window":262144,"models":[{"name":"m"}]}`, "protocol", `model "m": concurrency 0`},
		{"model twice", `{"protocol":{"min":1,"max":1},"window":262144,"models":[{"name":"m","concurrency":1},{"name":"m","concurrency":1}]}`, "protocol", "twice"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			a, b := pipe()
			refused := make(chan error, 1)
			go func() {
				_, err := protocol.Receive(t.Context(), a)
				refused <- err
			}()
			b.write(t, protocol.Frame{Type: protocol.TypeHello, Payload: []byte(test.hello)})
			f := b.next(t, protocol.TypeClose)
			var said *protocol.CloseError
			if err := <-refused; !errors.As(err, &said) || string(said.Code) != test.code || !strings.Contains(said.Text, test.text) {
				t.Errorf("relay returned %v", err)
			}
			if !strings.Contains(string(f.Payload), test.code) {
				t.Errorf("worker was told %s", f.Payload)
			}
		})
	}
}

func TestWorkerHearsWhyItIsRefused(t *testing.T) {
	a, b := pipe()
	go func() {
		a.read(t)
		protocol.Refuse(a, protocol.CloseName, "this secret is another's")
	}()
	_, err := protocol.Greet(t.Context(), b, protocol.WorkerHello{})
	var said *protocol.CloseError
	if !errors.As(err, &said) || said.Code != protocol.CloseName || said.Sent || said.Text != "this secret is another's" {
		t.Fatalf("got %v", err)
	}
}

func TestWorkerRefusesVersionItDoesNotKnow(t *testing.T) {
	a, b := pipe()
	told := make(chan string, 1)
	go func() {
		a.read(t)
		a.write(t, protocol.Frame{Type: protocol.TypeHello, Payload: []byte(`{"use":2,"window":262144}`)})
		told <- string(a.next(t, protocol.TypeClose).Payload)
	}()
	_, err := protocol.Greet(t.Context(), b, protocol.WorkerHello{})
	var said *protocol.CloseError
	if !errors.As(err, &said) || said.Code != protocol.CloseVersion || !said.Sent {
		t.Fatalf("got %v", err)
	}
	if text := <-told; !strings.Contains(text, "worker speaks 1 to 1, relay 2 to 2") {
		t.Fatalf("relay was told %s", text)
	}
}

func TestSilentPeerIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		a, _ := pipe()
		_, err := protocol.Receive(t.Context(), a)
		if took := time.Since(start); !errors.Is(err, context.DeadlineExceeded) || took != protocol.HelloTimeout {
			t.Errorf("relay: %v after %v", err, took)
		}
		start = time.Now()
		_, b := pipe()
		_, err = protocol.Greet(t.Context(), b, protocol.WorkerHello{}) // nobody even reads
		if took := time.Since(start); !errors.Is(err, context.DeadlineExceeded) || took != protocol.HelloTimeout {
			t.Errorf("worker: %v after %v", err, took)
		}
	})
}

func TestFirstMessageMustBeHello(t *testing.T) {
	for _, f := range []protocol.Frame{
		{Type: protocol.TypePing, Payload: make([]byte, 8)},
		{Type: protocol.TypeHello, Payload: []byte("no JSON")},
	} {
		a, b := pipe()
		go b.write(t, f)
		if _, err := protocol.Receive(t.Context(), a); !errors.Is(err, protocol.ErrFrame) {
			t.Errorf("after a frame of type %d: %v", f.Type, err)
		}
	}
}
