package remote_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/relayctl/relayctl/internal/remote"
)

// nothing is heard but answers to pings.
func nothing() int64 { return 0 }

func TestKeepAliveGivesUpAfterThreeMisses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin, dead := time.Now(), make(chan struct{})
		err := remote.KeepAlive(t.Context(), 10*time.Second, 3, func() error {
			<-dead
			return nil
		}, nothing)
		close(dead)
		// The first ping goes out after 10 s; the ticks at 20, 30 and 40 s miss it.
		if took := time.Since(begin); !errors.Is(err, context.DeadlineExceeded) || took != 40*time.Second {
			t.Errorf("gave up after %v with %v, want 40s", took, err)
		}
	})
}

func TestKeepAliveStaysWhileAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		var pings atomic.Int64
		err := remote.KeepAlive(ctx, 10*time.Second, 3, func() error {
			pings.Add(1)
			select {
			case <-time.After(25 * time.Second): // late, never three ticks late
			case <-ctx.Done():
			}
			return nil
		}, nothing)
		if err != nil || pings.Load() != 120 {
			t.Errorf("%d pings in an hour, %v; want one every 30s", pings.Load(), err)
		}
	})
}

// On a slow line the ping waits behind a program that is being sent, whose
// receipt is told all the while.
func TestKeepAliveHearsWhatElseComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin, dead := time.Now(), make(chan struct{})
		err := remote.KeepAlive(t.Context(), 10*time.Second, 3, func() error {
			<-dead
			return nil
		}, func() int64 { return int64(min(time.Since(begin), 5*time.Minute)) })
		close(dead)
		if took := time.Since(begin); !errors.Is(err, context.DeadlineExceeded) || took != 5*time.Minute+30*time.Second {
			t.Errorf("gave up after %v with %v, want 30s after the last sign", took, err)
		}
	})
}

func TestKeepAliveEndsWithTheConnection(t *testing.T) {
	broken := errors.New("broken")
	synctest.Test(t, func(t *testing.T) {
		err := remote.KeepAlive(t.Context(), 10*time.Second, 3, func() error { return broken }, nothing)
		if !errors.Is(err, broken) {
			t.Errorf("error is %v, want the ping's", err)
		}
	})
}
