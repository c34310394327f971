package engine

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/relayctl/relayctl/internal/desired"
	"github.com/relayctl/relayctl/internal/stack"
)

// A machine is one host of a session, whatever stands on it: one conversation,
// one lock, one journal. Where the proxy and a worker are one machine, the host
// has the proxy's name.

// targetsOf lists the machines of a stack as far as its file tells: a worker
// with the proxy's address is on the proxy's, which is reached as the proxy's
// block says.
func targetsOf(s *stack.Stack) []Target {
	targets := []Target{targetOf(&s.Proxy.Host)}
	for _, w := range s.Workers {
		if w.IsAt(&s.Proxy.Host) && targets[0].Worker == "" {
			targets[0].Worker = w.Name
			continue
		}
		targets = append(targets, targetOf(&w.Host))
	}
	return targets
}

// mergeMachines finds entries of the stack that turned out to be one machine.
// Clones share a machine-id, and a machine that restarts meanwhile is no
// danger, so both ids have to be equal. The proxy's conversation goes on, that
// of the worker on its machine is closed.
func (s *Session) mergeMachines() error {
	var apart []Target
	for _, target := range s.targets {
		at := slices.IndexFunc(apart, func(other Target) bool { return s.areOneMachine(other, target) })
		switch {
		case at < 0:
			apart = append(apart, target)
		case at == 0 && apart[0].Worker == "": // the proxy
			apart[0].Worker = target.Name
			s.hangUp(target.Name)
			s.teller.tell(Event{Host: target.Name, Phase: Merged, Text: apart[0].Name})
		default:
			other := cmp.Or(apart[at].Worker, apart[at].Name)
			failure := target.fail("it is the same machine as "+other, ErrSameMachine)
			failure.Hint = fmt.Sprintf("A machine has one worker: put the models of %s and %s into one worker block.", other, target.Name)
			return HostErrors{failure}
		}
	}
	s.targets = apart
	return nil
}

// areOneMachine reports whether two hosts that were reached are one machine.
func (s *Session) areOneMachine(a, b Target) bool {
	x, y := s.hosts[a.Name], s.hosts[b.Name]
	if x == nil || y == nil {
		return false
	}
	m, n := x.hello.Machine, y.hello.Machine
	return m.MachineID != "" && m.BootID != "" && m.MachineID == n.MachineID && m.BootID == n.BootID
}

// hangUp ends the conversation with a host that goes on under another name.
func (s *Session) hangUp(name string) {
	s.hosts[name].close()
	delete(s.hosts, name)
}

// hostOf names the host that a worker of the stack is on.
func (s *Session) hostOf(worker string) string {
	if proxy := s.targets[0]; proxy.Worker == worker {
		return proxy.Name
	}
	return worker
}

// keepWorker leaves a worker on the proxy's machine that stands there and can't
// be worked on by the way of its own entry: whether it is still meant to stand
// there is not known.
func (s *Session) keepWorker(v *observed) {
	proxy := &s.targets[0]
	standing := desired.StandingWorker(v.seen[proxy.Name].Facts)
	failure := v.failed[standing]
	if _, ours := s.config.Stack.Worker(standing); proxy.Worker != "" || failure == nil || !ours {
		return
	}
	proxy.Worker = standing
	told := *failure
	told.Hint = strings.TrimSpace(fmt.Sprintf("%s\nUntil then %s stays where it is, on the machine of %s.", told.Hint, standing, proxy.Name))
	v.failed[standing] = &told
}

// refuseRelayHost takes a worker's host out of what was observed on which the relay
// stands, while its proxy can't be worked on: what is the proxy's there would
// be taken for what nobody wants any more.
func (s *Session) refuseRelayHost(v *observed) {
	proxy := s.targets[0]
	if v.failed[proxy.Name] == nil {
		return
	}
	for _, target := range s.targets[1:] {
		if v.seen[target.Name].Facts.Find(relayUnit).Applied != nil {
			failure := target.fail(fmt.Sprintf("a relay stands there, and %s can't be looked at", proxy.Name), nil)
			failure.Hint = fmt.Sprintf("Nothing is planned there until it is known whether it is the machine of %s.", proxy.Name)
			v.drop(failure)
		}
	}
}
