package relay_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/relayctl/relayctl/internal/protocol"
	"github.com/relayctl/relayctl/internal/relay"
)

// TestWorkerThatReconnectsForEver with a long text in its greeting fills no log.
func TestWorkerThatReconnectsForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		var mu sync.Mutex
		b, stop := inMemoryLogging(t, newStack(t), slog.New(slog.NewTextHandler(lockedWriter{&mu, &log}, nil)))
		hello := protocol.WorkerHello{Name: "gpu-1", Program: "evil\n" + strings.Repeat("x", 20_000), Models: []protocol.Offer{offer("m", 1)}}
		taken := 0
		for range 1000 {
			if w, err := b.tryJoin(workerSecret("gpu-1"), hello, hang); err == nil {
				taken++
				w.stop()
			}
			time.Sleep(10 * time.Millisecond)
		}
		if taken < 30 || taken > 60 {
			t.Errorf("%d of 1000 connections in 10 s were taken", taken)
		}
		if _, err := b.tryJoin(workerSecret("gpu-2"), protocol.WorkerHello{Name: "gpu-2"}, hang); err != nil {
			t.Errorf("another worker: %v", err)
		}
		time.Sleep(time.Minute)
		w, err := b.tryJoin(workerSecret("gpu-1"), hello, hang)
		if err != nil {
			t.Fatalf("a minute later: %v", err)
		}
		synctest.Wait()
		for _, worker := range b.Status().Workers {
			if worker.Name == "gpu-1" && (len(worker.Program) > 64 || !strings.HasPrefix(worker.Program, "evilxxx")) {
				t.Errorf("its program is %q", worker.Program)
			}
		}
		w.stop()
		stop()
		mu.Lock()
		defer mu.Unlock()
		if log.Len() > 100_000 || log.Len() == 0 {
			t.Errorf("the log has %d bytes", log.Len())
		}
	})
}

// TestWorkersCapacityIsCapped by its entry, whatever it announces.
func TestWorkersCapacityIsCapped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newStack(t)
		st.workers[0].Concurrency = map[string]int{"m": 2}
		b, stop := inMemory(t, st)
		var mu sync.Mutex
		served, free := 0, make(chan struct{})
		w := b.join("gpu-1", func(ctx context.Context, s *protocol.Stream) {
			mu.Lock()
			served++
			mu.Unlock()
			<-free
			answerWith("{}")(ctx, s)
		}, offer("m", 4096), offer("renamed", 1))
		var all []<-chan reply
		for range 10 {
			all = append(all, b.askLater(t.Context(), askM))
		}
		synctest.Wait()
		if served != 2 {
			t.Errorf("%d requests run at once", served)
		}
		var offers []relay.WorkerModelStatus
		for _, worker := range b.Status().Workers {
			if worker.Name == "gpu-1" {
				offers = worker.Models
			}
		}
		if len(offers) != 2 || offers[0].Concurrency != 2 || offers[1].Concurrency != 1 {
			t.Errorf("the status says %+v", offers)
		}
		close(free)
		for _, reply := range all {
			<-reply
		}
		w.stop()
		stop()
	})
}
