package service

import (
	"cmp"
	"context"
	"log/slog"
	"os"
	"sync"

	"github.com/coreos/go-systemd/v22/daemon"
)

// notify tells the service manager, if there is one; nothing can be done about
// a failure.
func notify(state string) { daemon.SdNotify(false, state) }

// Standing is how a service stands, as its manager is told.
type Standing struct {
	mu            sync.Mutex
	digest, state string
	refused       error // why newer settings are not in force
}

// Serve serves until ctx ends or serve returns, and has the settings read again
// at each hup; after an error what was before stays in force. serve returns when
// its context ends.
func (s *Standing) Serve(ctx context.Context, hup <-chan os.Signal, log *slog.Logger, serve func(context.Context) error, reload func() error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	served := make(chan error, 1)
	go func() { served <- serve(ctx) }()
	notify("READY=1\nSTATUS=" + s.line())
	for {
		select {
		case <-hup:
			notify("RELOADING=1\n" + daemon.SdNotifyMonotonicUsec())
			err := reload()
			if err != nil {
				log.Error("reload refused, the settings of before stay in force", "err", err)
			}
			s.mu.Lock()
			s.refused = err
			s.mu.Unlock()
			notify("READY=1\nSTATUS=" + s.line())
		case <-ctx.Done():
			notify("STOPPING=1")
			return <-served
		case err := <-served:
			return err
		}
	}
}

// Settle takes note of the settings in force by their digest, "" where they were
// given by hand.
func (s *Standing) Settle(digest string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.digest = digest
}

// Tell tells how the service stands beside its settings, if there is something to
// say.
func (s *Standing) Tell(state string) {
	s.mu.Lock()
	s.state = state
	s.mu.Unlock()
	notify("STATUS=" + s.line())
}

func (s *Standing) line() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Status(s.digest, s.state, s.refused)
}

// Status is one line for the service manager: the digest of the settings in
// force, how the service stands, and why newer settings are not in force.
func Status(digest, state string, refused error) string {
	text := "settings " + cmp.Or(digest, "by hand")
	if state != "" {
		text += "; " + state
	}
	if refused != nil {
		text += "; reload refused: " + refused.Error()
	}
	line := []byte(text)
	for i, c := range line {
		if c < ' ' {
			line[i] = ' '
		}
	}
	return string(line)
}
