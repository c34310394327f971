package engine

import (
	"fmt"
	"slices"
	"time"
)

// Clock is a clock that is off.
type Clock struct {
	Host string        // empty: this machine's, which no host agrees with
	Off  time.Duration // how far it is ahead; below 0: behind
}

// clockTolerance is how far a clock may be off: Caddy dates the certificates
// of an own CA back by a minute, and what is further behind finds them not
// valid yet.
const clockTolerance = time.Minute

// farOff is as far as a clock is told to be off: a host may tell any time, and
// what is further off than a Duration holds can't be reckoned with.
const farOff = 100 * 365 * 24 * time.Hour

// clockOff is how far a host's clock is ahead of this machine's. The host told
// it at some moment between began and ended, so that what the line takes is no
// error; it tells whole seconds. A host that does not tell the time is not off.
func clockOff(told string, began, ended time.Time) time.Duration {
	clock, err := time.Parse(time.RFC3339, told)
	switch {
	case err != nil:
		return 0
	case clock.After(ended):
		return min(clock.Sub(ended), farOff)
	case clock.Add(time.Second).Before(began):
		return max(clock.Add(time.Second).Sub(began), -farOff)
	}
	return 0
}

// clocksOff lists the clocks that are off by more than clockTolerance, in the
// order of the stack. Where all hosts say the same, it is this machine's.
func (s *Session) clocksOff() []Clock {
	var off []Clock
	var by []time.Duration
	for _, target := range s.targets {
		h := s.hosts[target.Name]
		if h == nil {
			continue
		}
		by = append(by, h.clockOff)
		if h.clockOff.Abs() > clockTolerance {
			off = append(off, Clock{Host: target.Name, Off: h.clockOff})
		}
	}
	if len(off) > 1 && len(off) == len(by) && slices.Max(by)-slices.Min(by) < clockTolerance {
		return []Clock{{Off: -by[0]}}
	}
	return off
}

// Summary is one line on the clock, without the host's name.
func (c Clock) Summary() string {
	which := "its clock is " + roughly(c.Off)
	if c.Host == "" {
		which = "the clock of this machine is " + roughly(c.Off)
	}
	if c.Off > 0 {
		return which + " ahead: certificates, and keys that expire, end too early"
	}
	return which + " behind: new certificates count as not valid yet, and apt may refuse its package lists"
}

// Hint says how to set it.
func (c Clock) Hint() string {
	if c.Host == "" {
		return "All hosts agree on another time. Set this machine's clock."
	}
	return "Set it on the host: timedatectl set-ntp true"
}

// roughly is how long something is, in its largest units.
func roughly(d time.Duration) string {
	const day = 24 * time.Hour
	d = d.Abs()
	switch {
	case d >= 2*365*day:
		return fmt.Sprintf("%d years", d/(365*day))
	case d >= 2*day:
		return fmt.Sprintf("%d days", d/day)
	case d >= time.Hour:
		return fmt.Sprintf("%d h %d min", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%d min %d s", d/time.Minute, d%time.Minute/time.Second)
}
