package engine_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/relayctl/relayctl/internal/engine"
)

// Who waits for one host's lock holds none that comes after it by name:
// somebody who holds the first may be waiting for the second.
func TestNothingIsHeldWhileAnEarlierLockIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		release := h.gpu1.holdLock("eve@laptop")
		waited := 0
		h.config.Events = func(event engine.Event) {
			if event.Phase == engine.Locking && event.Host == "gpu-1" {
				waited++
				h.gpu2.holdLock("eve@laptop")() // fails the test where it can't
			}
		}
		go func() {
			<-time.After(20 * time.Second)
			release()
		}()
		h.mustApply()
		if waited == 0 {
			t.Error("nobody waited")
		}
	})
}
