package engine

import "time"

// For tests.
var (
	Newer    = newer
	OnlyRoot = onlyRoot
	ClockOff = clockOff
	WayTo    = wayTo
)

// TellConnecting tells that a host is being connected, as a Session does.
func TellConnecting(host string, events func(Event)) (waitFor func(what string), stop func()) {
	t := &teller{events: events}
	return func(what string) { t.tell(Event{Host: host, Phase: Waiting, Text: what}) }, t.during(Event{Host: host, Phase: Connecting})
}

// NewRemoteDialer is what reaches hosts by SSH, with some patience for a start.
func NewRemoteDialer(config Config, patience time.Duration) (Dialer, error) {
	dialer, err := newRemoteDialer(config, &teller{events: config.Events})
	if err != nil {
		return nil, err
	}
	dialer.patience = patience
	return dialer, nil
}
