package engine

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"

	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
)

// lockAll takes the locks, the proxy host's first, which is the stack's: who has
// it waits for nobody's apply to the same stack. Without it nothing is done;
// without another one, that host is left out.
func (j *job) lockAll(ctx context.Context) error {
	proxy := j.onProxy()
	j.id = rand.Text()[:runLength]
	if proxy.lock(ctx, j.lockRequest(proxy)); proxy.failure != nil {
		return HostErrors{proxy.failure}
	}
	others := slices.DeleteFunc(slices.Clone(j.parts[1:]), (*hostApply).isGuest) // the proxy host's lock is taken already
	sideBySide(others, 0, func(a *hostApply) { a.lock(ctx, j.lockRequest(a)) })
	if ctx.Err() != nil {
		j.unlockAll()
		return fmt.Errorf("take the locks: %w", context.Cause(ctx))
	}
	return nil
}

// runLength is how much of a random text tells one apply from all others.
const runLength = 12

// lockRequest asks for a host's lock. The apply has one number on all its
// hosts: the next after all that they know, as far as they were seen. The proxy
// host is told whom the apply reaches before anything is done there.
func (j *job) lockRequest(a *hostApply) hostapi.Lock {
	params := hostapi.Lock{
		Holder: hostapi.LockHolder{Operator: j.config.Operator, Command: j.command, Run: j.id},
		Wait:   lockWait, Stack: j.config.Stack.Name, Version: j.config.Version, Number: j.onProxy().number,
	}
	if a != j.onProxy() {
		return params
	}
	for _, seen := range j.planned.observed.seen {
		if manifest := seen.Facts.Manifest; j.isOurs(manifest) && manifest.Number < maxNumber {
			params.Number = max(params.Number, manifest.Number+1)
		}
	}
	params.Reached = j.reached()
	return params
}

// unlockAll gives back what is still locked. A host that can't be told gives
// its lock back itself, when the conversation ends.
func (j *job) unlockAll() {
	ctx, cancel := context.WithTimeout(context.Background(), finishTime)
	defer cancel()
	for _, a := range j.parts {
		a.unlock(ctx)
	}
}

// members lists the hosts that the proxy host is to remember: the workers of
// the stack that were ever reached, and those that left it, as far as they still
// have things of ours.
func (j *job) members() []plan.Member {
	remembered := map[string]plan.Member{}
	for _, member := range j.remembered() {
		remembered[member.Name] = member
	}
	members := []plan.Member{} // none at all is something to remember, too
	for _, target := range slices.Concat(j.targets, j.planned.departed) {
		before, known := remembered[target.Name]
		switch {
		case target.Role == plan.RoleProxy, j.cleaned(target.Name), slices.Contains(j.planned.GivenUp, target.Name):
		case target.Role == plan.RoleDeparted:
			members = append(members, target.Member)
		case j.hosts[target.Name] != nil:
			members = append(members, j.member(target))
		case known:
			members = append(members, before) // the way that led there once
		}
	}
	return members
}

// remembered lists the hosts that the proxy host remembers, also where it has
// failed since it was planned.
func (j *job) remembered() []plan.Member {
	if manifest := j.manifest(); manifest != nil {
		return rememberedHosts(manifest)
	}
	return j.planned.remembered
}

// cleaned reports whether a host had to go, and nothing of ours is left on it.
func (j *job) cleaned(name string) bool {
	if j.left.plan(name).Role != plan.RoleDeparted {
		return false
	}
	for _, a := range j.parts {
		if a.outcome.Name == name {
			return a.outcome.OK
		}
	}
	return j.planned.observed.seen[name].Facts.Manifest == nil
}

// remembersOtherwise reports whether the proxy host remembers other hosts, or
// other ways to them, than it should.
func (j *job) remembersOtherwise() bool {
	manifest := j.manifest()
	return manifest != nil && !slices.Equal(manifest.Hosts, j.members())
}

func (j *job) manifest() *plan.Manifest {
	return j.planned.observed.seen[j.config.Stack.Proxy.Name].Facts.Manifest
}
