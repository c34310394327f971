package hostapi

import (
	"context"
	"fmt"
	"io"
	"time"
)

// Times of the conversation.
const (
	PingEvery = 5 * time.Second  // between pings
	Silence   = 30 * time.Second // without a byte: the other end is gone
)

// late is how much later than it is due a timer has to fire for this process to
// have been stopped meanwhile.
const late = 5 * time.Second

// SilenceWatch reads what the other end says and notices when it has gone
// silent. Each end has one.
type SilenceWatch struct {
	from  io.Reader
	other string        // who that is
	bytes chan struct{} // some came
}

// NewSilenceWatch reads from r what other says.
func NewSilenceWatch(r io.Reader, other string) *SilenceWatch {
	return &SilenceWatch{from: r, other: other, bytes: make(chan struct{}, 1)}
}

// Read implements io.Reader.
func (w *SilenceWatch) Read(p []byte) (int, error) {
	n, err := w.from.Read(p)
	if n > 0 {
		select {
		case w.bytes <- struct{}{}:
		default: // Wait has still to hear of the last ones
		}
	}
	return n, err
}

// Wait returns an error after Silence without a byte, and nil when ctx ends. A
// silence in which this process was stopped itself, as on a machine that was
// asleep, tells nothing of the other end: it counts from then on.
func (w *SilenceWatch) Wait(ctx context.Context) error {
	silence := time.NewTimer(Silence)
	defer silence.Stop()
	begun := time.Now()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-w.bytes:
		case <-silence.C:
			if time.Since(begun) < Silence+late {
				return fmt.Errorf("nothing was heard of %s for %v", w.other, Silence)
			}
		}
		begun = time.Now()
		silence.Reset(Silence)
	}
}
