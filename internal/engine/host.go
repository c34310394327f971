package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
)

// host is one host of a session and the conversation with it.
type host struct {
	Target
	hello hostapi.Hello
	// clockOff is how far its clock is ahead of this machine's.
	clockOff time.Duration
	client   *hostapi.Client
	stop     context.CancelFunc
	gone     context.Context // ends with the conversation
}

// dialHost begins the conversation with one host.
func dialHost(ctx context.Context, a attempt) (*host, *HostError) {
	began := time.Now()
	conversation, err := a.begin()
	if err != nil {
		failure := a.target.fail(err.Error(), fmt.Errorf("%w: %w", ErrNotConnected, err))
		var adviser interface{ Advice() string }
		if errors.As(err, &adviser) {
			failure.Hint = adviser.Advice()
		}
		return nil, failure
	}
	h := &host{Target: a.target, hello: conversation.Hello}
	h.clockOff = clockOff(h.hello.Machine.Clock, began, time.Now())
	if failure := h.refuse(); failure != nil {
		conversation.Stream.Close()
		return nil, failure
	}
	h.client = hostapi.NewClient(conversation.Stream)
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	gone, end := context.WithCancel(context.WithoutCancel(ctx))
	h.stop, h.gone = stop, gone
	go func() {
		defer end()
		h.client.Run(running) // why it ended, every request that waits is told
	}()
	return h, nil
}

// refuse says why a host that greeted may not be worked on.
func (h *host) refuse() *HostError {
	machine := h.hello.Machine
	switch {
	case h.hello.Protocol != hostapi.ProtocolVersion:
		return h.fail(fmt.Sprintf("relay-host %s speaks protocol %d, this relayctl speaks %d",
			h.hello.Version, h.hello.Protocol, hostapi.ProtocolVersion), ErrNewer)
	case !machine.IsSupported():
		failure := h.fail(fmt.Sprintf("%s on %s is not supported", machine.Pretty, machine.Arch), ErrUnsupported)
		failure.Hint = "Hosts run " + plan.SupportedSystems + ", on amd64 or arm64."
		return failure
	case machine.Init != "":
		failure := h.fail(fmt.Sprintf("systemd does not run on it: pid 1 is %s", machine.Init), ErrUnsupported)
		failure.Hint = "relayctl runs what it sets up as systemd services. A container will do only where systemd is its pid 1."
		return failure
	case h.hello.UID != 0:
		return h.fail(fmt.Sprintf("relay-host runs as user %d, not as root", h.hello.UID), nil)
	}
	return nil
}

// close ends the conversation and waits for its end.
func (h *host) close() {
	h.stop()
	<-h.gone.Done()
}

// fail makes an error that concerns the host as a whole.
func (t Target) fail(summary string, cause error) *HostError {
	return &HostError{Host: t.Name, Origin: t.Origin, Summary: summary, Cause: cause}
}
