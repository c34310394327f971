package engine_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/relayctl/relayctl/internal/engine"
)

// While a host is waited for that is being connected, the signs of life tell
// that, not that it is being connected.
func TestSignsOfLifeTellWhatIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []string
		waitFor, stop := engine.TellConnecting("edge", func(event engine.Event) {
			told = append(told, string(event.Phase)+" "+event.Text)
		})
		time.Sleep(6 * time.Second) // simulated
		waitFor("it to boot")
		time.Sleep(5 * time.Second)
		stop()
		if want := []string{"connecting ", "connecting ", "waiting it to boot", "waiting it to boot"}; !slices.Equal(told, want) {
			t.Errorf("told %q, want %q", told, want)
		}
	})
}
