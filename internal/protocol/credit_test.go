package protocol_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/relayctl/relayctl/internal/protocol"
)

// ledger watches one connection and holds every stream to its credit: at no
// time may the bytes sent exceed the window and what was returned of it.
type ledger struct {
	t      *testing.T
	mu     sync.Mutex
	flight map[string]int // bytes sent and not returned, by direction and stream
	most   int
}

func (l *ledger) watch(sender, receiver string) func([]byte) {
	return func(msg []byte) {
		l.mu.Lock()
		defer l.mu.Unlock()
		if len(msg) > protocol.MaxMessage {
			l.t.Errorf("message of %d bytes", len(msg))
		}
		for _, f := range frames(l.t, msg) {
			switch f.Type {
			case protocol.TypeBody:
				key := fmt.Sprint(sender, f.Stream)
				l.flight[key] += len(f.Payload)
				l.most = max(l.most, l.flight[key])
				if l.flight[key] > protocol.Window {
					l.t.Errorf("%s has %d bytes in flight", key, l.flight[key])
				}
			case protocol.TypeCredit:
				l.flight[fmt.Sprint(receiver, f.Stream)] -= int(binary.BigEndian.Uint32(f.Payload))
			}
		}
	}
}

// TestCreditHolds runs streams of random sizes with readers and writers of
// random pace in both directions: every byte arrives, in order, and no sender
// ever exceeds its credit.
func TestCreditHolds(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { creditHolds(t, rand.New(rand.NewPCG(seed, 1))) })
		})
	}
}

func creditHolds(t *testing.T, random *rand.Rand) {
	relay, worker, a, b := pair(echoPiecewise)
	l := &ledger{t: t, flight: make(map[string]int)}
	a.seen, b.seen = l.watch("relay", "worker"), l.watch("worker", "relay")
	stopRelay, relayEnded := runConn(relay)
	_, workerEnded := runConn(worker)
	var clients sync.WaitGroup
	for range 1 + random.IntN(8) {
		body := make([]byte, random.IntN(6*protocol.Window))
		for i := range body {
			body[i] = byte(random.Uint32())
		}
		pause := time.Duration(random.IntN(3)) * time.Millisecond
		clients.Go(func() {
			s, err := relay.Open(protocol.RequestHead{}, body)
			if err != nil {
				t.Error(err)
				return
			}
			if got, err := readSlowly(t.Context(), s, pause); err != nil || !bytes.Equal(got, body) {
				t.Errorf("%d bytes came back as %d, %v", len(body), len(got), err)
			}
		})
	}
	clients.Wait()
	stopRelay()
	<-relayEnded
	<-workerEnded
	t.Logf("at most %d bytes of a stream in flight", l.most)
}

// echoPiecewise answers while it reads.
func echoPiecewise(ctx context.Context, s *protocol.Stream) {
	if s.Respond(ctx, protocol.ResponseHead{Status: 200}, nil, false) != nil {
		return
	}
	for {
		chunk, err := s.Next(ctx)
		if err != nil {
			s.Write(ctx, nil, true)
			return
		}
		if s.Write(ctx, chunk, false) != nil {
			return
		}
	}
}

func readSlowly(ctx context.Context, s *protocol.Stream, pause time.Duration) (all []byte, err error) {
	for {
		chunk, err := s.Next(ctx)
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		all = append(all, chunk...)
		time.Sleep(pause)
	}
}

// TestSlowReaderHoldsNobodyElse: the sender of a stream that nobody reads
// stops at the window, and another stream goes on.
func TestSlowReaderHoldsNobodyElse(t *testing.T) {
	written := 0
	flood := func(ctx context.Context, s *protocol.Stream) {
		if s.Request().ID != "flood" {
			echo(ctx, s)
			return
		}
		s.Respond(ctx, protocol.ResponseHead{Status: 200}, nil, false)
		for s.Write(ctx, make([]byte, 1000), false) == nil {
			written += 1000
		}
	}
	inBubble(t, flood, func(t *testing.T, relay, _ *protocol.Conn, _, _ *end) {
		if _, err := relay.Open(protocol.RequestHead{ID: "flood"}, nil); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if limit := protocol.Window + 64<<10 + 1000; written < protocol.Window || written > limit {
			t.Errorf("%d bytes were written for a reader that took none; window and buffer hold %d", written, limit)
		}
		s, err := relay.Open(protocol.RequestHead{}, []byte("hello"))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := readAll(t.Context(), s); err != nil || string(got) != "hello" {
			t.Errorf("got %q, %v", got, err)
		}
	})
}
