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

// SilenceWatch reads what the other end says and notices when it has gone
// silent. Each end has one.
type SilenceWatch struct {
	from  io.Reader
	bytes chan struct{} // some came
}

// NewSilenceWatch reads from r.
func NewSilenceWatch(r io.Reader) *SilenceWatch {
	return &SilenceWatch{from: r, bytes: make(chan struct{}, 1)}
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

// Wait returns an error after Silence without a byte, and nil when ctx ends.
func (w *SilenceWatch) Wait(ctx context.Context) error {
	silence := time.NewTimer(Silence)
	defer silence.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-w.bytes:
			silence.Reset(Silence)
		case <-silence.C:
			return fmt.Errorf("no byte for %v", Silence)
		}
	}
}
