package remote

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"time"
)

// Wait tells of a host that is waited for.
type Wait struct {
	Host string // the target's name
	For  string // "it to let users log in: it is booting"
}

// Between two attempts to reach a host that may still be booting. sshd counts a
// refused account against the caller (PerSourcePenalties), and ufw limit refuses
// who has come six times in 30 s, those that it refuses counted too: so there are
// few attempts, and the last one comes when the others are forgotten.
var (
	whileBooting = []time.Duration{10 * time.Second, 20 * time.Second, 30 * time.Second} // by pam_nologin
	whileRefused = []time.Duration{3 * time.Second, 28 * time.Second}                    // sshd is not up yet, or ufw limits
)

// passing are systemd's words in /run/nologin: it has pam_nologin let in nobody
// but root while a host boots or goes down. Whatever else stands there was
// written by somebody, who knows how long it is to last.
var passing = regexp.MustCompile("System is booting up|System is going down")

// openPatiently opens a connection, on the way to t, until a host has booted that
// says it boots or goes down, and tries one a few times that refuses
// connections. One that goes down is not there for a while.
func (d *Dialer) openPatiently(ctx context.Context, t Target, way route, via *hop) (*sshMachine, error) {
	check, err := d.hostKeyCheck(way)
	if err != nil {
		return nil, err
	}
	began, why := time.Now(), ""
	host, sshd := "it", "sshd"
	if way.isHop {
		host, sshd = way.target.Name, "the sshd of "+way.target.Name
	}
	for attempt := 0; ; attempt++ {
		machine, err := d.open(ctx, way, via, check)
		var refused *AuthError
		var away *UnreachableError
		pauses, waits := whileBooting, host+" to let users log in: "
		switch {
		case errors.As(err, &refused) && refused.Reason == ReasonAccount && passing.MatchString(refused.Banner):
			why = passing.FindString(refused.Banner)
		case !errors.As(err, &away):
			return machine, err
		case why == "" && away.Reason == ReasonRefused:
			pauses, waits = whileRefused, sshd+" to take connections: "+string(ReasonRefused)
		case why == "":
			return nil, err
		}
		if attempt >= len(pauses) {
			return nil, gaveUp(err, time.Since(began), why)
		}
		d.waits(t, waits+why)
		if err := pause(ctx, pauses[attempt]); err != nil {
			return nil, fmt.Errorf("wait for %s: %w", way.target.Address, err)
		}
	}
}

// waits tells what a host is waited for.
func (d *Dialer) waits(t Target, what string) {
	if d.OnWait != nil {
		d.OnWait(Wait{Host: t.Name, For: what})
	}
}

// gaveUp adds how long a host was waited for, and what it said, if it did.
func gaveUp(err error, waited time.Duration, why string) error {
	if why == "" {
		return err
	}
	return fmt.Errorf("%w (waited %.0f s for it, since it said: %s; there, systemctl list-jobs tells what for)", err, waited.Seconds(), why)
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
