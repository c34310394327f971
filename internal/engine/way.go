package engine

import (
	"fmt"

	"github.com/relayctl/relayctl/internal/plan"
	"github.com/relayctl/relayctl/internal/remote"
	"github.com/relayctl/relayctl/internal/stack"
)

// targetOf says how a host of the stack is reached.
func targetOf(h *stack.Host) Target {
	hops, direct := h.SSH.Way()
	var jump []Target
	for _, hop := range hops {
		jump = append(jump, hopOf(hop))
	}
	return placeOf(h).through(jump, direct)
}

// placeOf is a host of the stack without what leads to it.
func placeOf(h *stack.Host) Target {
	role := plan.RoleWorker
	if h.Role == stack.RoleProxy {
		role = plan.RoleProxy
	}
	return Target{
		Member: plan.Member{
			Name: h.Name, Address: h.Address, User: h.SSH.User, Port: h.SSH.Port, Sudo: string(h.SSH.Sudo), Jump: h.SSH.JumpText(),
		},
		IdentityFile: h.SSH.IdentityFile, HostKey: h.SSH.HostKey, Role: role,
		Origin: plan.Origin{File: h.Range.Filename, Line: h.Range.Start.Line, Block: fmt.Sprintf("%s %q", h.Role, h.Name)},
	}
}

// hopOf is a hop without what leads to it. One that is no host of the stack has
// no role.
func hopOf(hop stack.Hop) Target {
	if hop.Host != nil {
		return placeOf(hop.Host)
	}
	return Target{
		Member:       plan.Member{Name: hop.String(), Address: hop.Address, User: hop.User, Port: hop.Port},
		IdentityFile: hop.IdentityFile,
	}
}

// through leads to a target by hops. direct is about the first of them, and
// without any about the target.
func (t Target) through(jump []Target, direct bool) Target {
	t.Jump, t.Direct = jump, direct
	if len(jump) > 0 {
		jump[0].Direct, t.Direct = direct, false
	}
	return t
}

// wayTo is a target as it is dialled. What another host remembers is not taken
// on trust: the keys of a host that left the stack file have to be known, and
// those of all that lead to it.
func wayTo(t Target) remote.Target {
	way := remote.Target{
		Name: t.Name, Address: t.Address, User: t.User, Port: t.Port,
		IdentityFile: t.IdentityFile, BesidesOthers: t.Role == "", HostKey: t.HostKey, Sudo: remote.Sudo(t.Sudo),
		Direct: t.Direct, KnownOnly: t.Role == plan.RoleDeparted,
	}
	for _, hop := range t.Jump {
		next := wayTo(hop)
		next.KnownOnly = way.KnownOnly
		way.Jump = append(way.Jump, next)
	}
	return way
}
