package remote

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// Wait tells of a host that is waited for.
type Wait struct {
	Host string // the target's name
	For  string // "it to let users log in: it is booting"
}

// While a host boots or goes down, systemd has pam_nologin let in nobody but
// root, which passes by itself. sshd counts each refusal against the caller for
// 5 s (PerSourcePenalties), so to ask again any sooner would end in a ban.
const (
	bootPatience = time.Minute
	bootPause    = 6 * time.Second
)

// dialPatiently dials until a host has booted that says it boots or goes down.
// One that goes down is not there for a while.
func (d *Dialer) dialPatiently(ctx context.Context, t Target) (*Host, error) {
	began, why := time.Now(), ""
	for {
		host, err := d.dialOnce(ctx, t)
		var refused *AuthError
		var away *UnreachableError
		switch {
		case errors.As(err, &refused) && refused.passesBy() != "":
			why = refused.passesBy()
		case why == "" || !errors.As(err, &away):
			return host, err
		}
		waited := time.Since(began)
		switch {
		case waited+bootPause <= bootPatience:
		case away != nil:
			return nil, fmt.Errorf("%w (before, it said: %s)", err, why)
		default:
			refused.Waited = waited
			return nil, err
		}
		if d.OnWait != nil {
			d.OnWait(Wait{Host: t.Name, For: "it to let users log in: " + why})
		}
		if err := pause(ctx, bootPause); err != nil {
			return nil, fmt.Errorf("wait for %s to let users log in: %w", t.Address, err)
		}
	}
}

// pause waits; the error is the cause of ctx, where that ends first.
func pause(ctx context.Context, long time.Duration) error {
	timer := time.NewTimer(long)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// passing are systemd's words in /run/nologin. Whatever else stands there was
// written by somebody, who knows how long it is to last.
var passing = []string{"System is booting up", "System is going down"}

// passesBy is for what reason a host, which knows the key, refuses the account
// just now and will let it in by itself; "" where it will not.
func (e *AuthError) passesBy() string {
	for _, words := range passing {
		if e.Reason == ReasonAccount && strings.Contains(e.Banner, words) {
			return words
		}
	}
	return ""
}
