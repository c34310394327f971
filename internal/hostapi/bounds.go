package hostapi

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/relayctl/relayctl/internal/plan"
)

// relay-host runs on a machine that may be anybody's by now. Signs of life show
// that it is there, not that a request will ever end; so each has a bound in
// all, and what a conversation says beside its answers has one, too.

// ErrEndless means that relayctl ended a conversation that would not have ended
// by itself: a request took too long, or relay-host said too much.
var ErrEndless = errors.New("relayctl does not wait any longer")

// bound is how long a request may take in all, and how long it may go on once
// its caller has given it up. relay-host finishes the step that it is in by
// itself, whether anybody waits or not.
type bound struct{ total, grace time.Duration }

const (
	// lookTime is for looking: some seconds at most on a host that is well,
	// and some 30 for each of the commands that may hang there.
	lookTime = 3 * time.Minute
	// askMargin is what a request with a time of its own may take beside that.
	askMargin = time.Minute
	// putTime is for one program, 10 MiB at most, at 50 kbit/s.
	putTime = 30 * time.Minute
	// endTime is for taking the end of an apply down.
	endTime = 2 * time.Minute

	stopTime     = 10 * time.Second // to stop what changes nothing
	stopStepTime = 2 * time.Minute  // to finish a step
)

// applyTime is for all steps of one request, as long as each of them may take.
func applyTime(steps []plan.Change) time.Duration {
	total := lookTime
	for _, change := range steps {
		total += change.ID.Kind.Describe().Takes()
	}
	return total
}

// within ends the conversation when a request is not over in time.
func (c *Client) within(ctx context.Context, op Op, b bound) (over func()) {
	var ended atomic.Bool
	last := time.Now().Add(b.total)
	timer := time.AfterFunc(b.total, func() {
		why := "took longer than " + plan.Seconds(b.total)
		if time.Now().Before(last) {
			why = fmt.Sprintf("did not stop within %s when it was told to", plan.Seconds(b.grace))
		}
		if !ended.Load() {
			c.giveUp(fmt.Errorf("its %q %s: %w", op, why, ErrEndless))
			c.stream.Close() // unblocks the read, and every write
		}
	})
	stop := context.AfterFunc(ctx, func() {
		if b.grace < time.Until(last) {
			timer.Reset(b.grace)
		}
	})
	return func() {
		ended.Store(true) // for the timer that is just set
		stop()
		timer.Stop()
	}
}

// chatter bounds what relay-host says beside the answers that are waited for:
// progress, and answers to nobody. It may say much at once, as of an apply of
// many small steps, but not for long.
type chatter struct{ *rate.Limiter }

const (
	chatterAtOnce = 10_000 // lines
	chatterRate   = 100    // lines a second that are forgiven
	lineSize      = 1 << 10
)

func newChatter() chatter { return chatter{rate.NewLimiter(chatterRate, chatterAtOnce)} }

// hear takes a line of so many bytes.
func (c chatter) hear(bytes int) error {
	if !c.AllowN(time.Now(), 1+bytes/lineSize) {
		return fmt.Errorf("it sends more progress than anybody could read: %w", ErrEndless)
	}
	return nil
}

// How much of a text for people is passed on, in bytes, and how many lines of a
// log.
const (
	maxText     = 4 << 10
	maxLogLines = 200 // the most that is asked for, too
)

// cut bounds a text for people.
func cut(text string) string {
	if len(text) <= maxText {
		return text
	}
	return strings.ToValidUTF8(text[:maxText], "") + "…"
}

// cutLines bounds the lines of a log: the last of them matter.
func cutLines(lines []string, most int) []string {
	lines = lines[max(0, len(lines)-most):]
	for i := range lines {
		lines[i] = cut(lines[i])
	}
	return lines
}

// cut bounds what progress says.
func (p Progress) cut() Progress {
	p.What, p.By, p.Line, p.Amount.Measure = cut(p.What), cut(p.By), cut(p.Line), plan.Measure(cut(string(p.Amount.Measure)))
	p.Took = max(0, p.Took)
	p.Amount.Total = max(0, p.Amount.Total)
	p.Amount.Done = min(max(0, p.Amount.Done), p.Amount.Total)
	return p
}

// cut bounds what an error says.
func (e *Error) cut() *Error {
	e.Message, e.Hint, e.Log = cut(e.Message), cut(e.Hint), cutLines(e.Log, maxLogLines)
	return e
}
