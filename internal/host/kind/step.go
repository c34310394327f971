package kind

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/relayctl/relayctl/internal/host/record"
	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
)

// Step is a change that is made.
type Step struct {
	Change   plan.Change
	Resource plan.Resource // with all values settled; only the ID for a removal
	Now      plan.Fact     // as the thing is now
	Applied  *plan.Applied // the manifest's entry; nil: none
	Taken    *plan.TakenOver
	Kept     string // where what stands there is kept; empty: nowhere

	Apply   record.Apply // that it belongs to
	Journal *record.Journal
	Later   []plan.Change // that come after it
	Began   time.Time
	// Stopped is closed when nothing more is to be begun. What has begun goes on
	// to its end: half a step is worse than a late end.
	Stopped <-chan struct{}

	Look func() *Look           // begins a look at the machine
	Hear func(hostapi.Progress) // is told how it goes
}

// MadeBefore reports whether the manifest says that relayctl made the thing.
func (s *Step) MadeBefore() bool { return s.Applied != nil && s.Applied.Made }

// IsMovedAside reports whether the step is about a file that an earlier one
// moved aside.
func (s *Step) IsMovedAside() bool {
	return s.Change.ID.Kind.Describe().Text && s.Applied != nil && !s.Applied.Made && s.Applied.Taken != nil
}

// wants is what an attribute should be; empty: that does not matter.
func (s *Step) wants(attribute string) string { return s.Resource.Want[attribute].Text }

// tell says what the step is at.
func (s *Step) tell(at hostapi.Progress) {
	at.State = hostapi.Waiting
	s.Hear(at)
}

// hearEvery is how soon a line is told that a command printed.
const hearEvery = time.Second

// while does something long, and tells every hostapi.TellEvery that the step is at
// it. Of the lines that work hears on the way the newest is told, once in
// hearEvery.
func (s *Step) while(at hostapi.Progress, work func(hear func(line string)) error) error {
	var heard atomic.Value
	heard.Store("")
	done := make(chan struct{})
	var telling sync.WaitGroup
	telling.Go(func() {
		tick := time.NewTicker(hearEvery)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
			}
			at.Took += hearEvery
			if line := heard.Load().(string); line != at.Line || at.Took%hostapi.TellEvery == 0 {
				at.Line = line
				s.tell(at)
			}
		}
	})
	defer telling.Wait()
	defer close(done)
	return work(func(line string) { heard.Store(line) })
}

// pause waits for some time; the error is why ctx has ended.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}
