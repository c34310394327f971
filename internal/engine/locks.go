package engine

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
)

// lockAll takes the locks, the proxy host's first, which is the stack's.
// Without it nothing is done; without another one, that host is left out.
func (a *apply) lockAll(ctx context.Context) error {
	proxy := a.works[0]
	a.run = rand.Text()[:runLength]
	if proxy.lock(ctx, a.lockRequest(proxy, lockWait)); proxy.locked {
		a.lockOthers(ctx)
	}
	if failure := proxy.failure; failure != nil {
		return HostErrors{failure}
	}
	if ctx.Err() != nil {
		a.unlockAll()
		return fmt.Errorf("take the locks: %w", context.Cause(ctx))
	}
	return nil
}

// runLength is how much of a random text tells one apply from all others.
const runLength = 12

// lockRequest asks for a host's lock. The apply has one number on all its
// hosts: the next after all that they know, as far as they were seen. The proxy
// host is told whom the apply reaches before anything is done there.
func (a *apply) lockRequest(w *work, wait time.Duration) hostapi.Lock {
	params := hostapi.Lock{
		Holder: hostapi.LockHolder{Operator: a.config.Operator, Command: w.command, Run: a.run},
		Wait:   wait, Stack: a.config.Stack.Name, Version: a.config.Version, Number: a.works[0].number,
	}
	if w != a.works[0] {
		return params
	}
	for _, seen := range a.planned.sight.seen {
		if manifest := seen.Facts.Manifest; a.isOurs(manifest) && manifest.Number < maxNumber {
			params.Number = max(params.Number, manifest.Number+1)
		}
	}
	params.Reached = a.reached()
	return params
}

// lockOthers takes the other hosts' locks side by side where nobody holds any.
// Else it gives them back and waits for each in turn, by name, so that two
// applies can't wait for each other.
func (a *apply) lockOthers(ctx context.Context) {
	onProxy := func(w *work) bool { return w.at == a.works[0].at } // its lock is taken already
	others := slices.DeleteFunc(slices.Clone(a.works[1:]), onProxy)
	var asks sync.WaitGroup
	for _, work := range others {
		asks.Go(func() { work.lock(ctx, a.lockRequest(work, 0)) })
	}
	asks.Wait()
	isHeld := func(w *work) bool { return w.failure == nil && !w.locked }
	if ctx.Err() != nil || !slices.ContainsFunc(others, isHeld) {
		return
	}
	slices.SortFunc(others, func(x, y *work) int { return strings.Compare(x.outcome.Name, y.outcome.Name) })
	for _, work := range others {
		asks.Go(func() { work.unlock(ctx) })
	}
	asks.Wait()
	for _, work := range others {
		if work.failure == nil && ctx.Err() == nil {
			work.lock(ctx, a.lockRequest(work, lockWait))
		}
	}
}

// unlockAll gives back what is still locked. A host that can't be told gives
// its lock back itself, when the conversation ends.
func (a *apply) unlockAll() {
	ctx, cancel := context.WithTimeout(context.Background(), finishTime)
	defer cancel()
	for _, work := range a.works {
		work.unlock(ctx)
	}
}

// members lists the hosts that the proxy host is to remember: the workers of
// the stack that were ever reached, and those that left it and still have
// things of ours.
func (a *apply) members() []plan.Member {
	remembered := map[string]plan.Member{}
	for _, member := range a.remembered() {
		remembered[member.Name] = member
	}
	members := []plan.Member{} // none at all is something to remember, too
	for _, target := range a.targets {
		before, known := remembered[target.Name]
		switch {
		case target.Role != plan.RoleWorker:
		case a.hosts[target.Name] != nil:
			members = append(members, a.member(target))
		case known:
			members = append(members, before) // the way that led there once
		}
	}
	for _, target := range a.planned.departed {
		if !a.cleaned(target.Name) {
			members = append(members, target.Member)
		}
	}
	return members
}

// remembered lists the hosts that the proxy host remembers, also where it has
// failed since it was planned.
func (a *apply) remembered() []plan.Member {
	if manifest := a.manifest(); manifest != nil {
		return rememberedHosts(manifest)
	}
	return a.planned.remembered
}

// cleaned reports whether nothing of ours is left on a host that left the
// stack.
func (a *apply) cleaned(name string) bool {
	for _, work := range a.works {
		if work.outcome.Name == name {
			return work.outcome.OK
		}
	}
	seen, looked := a.planned.sight.seen[name]
	return looked && seen.Facts.Manifest == nil
}

// remembersOtherwise reports whether the proxy host remembers other hosts, or
// other ways to them, than it should.
func (a *apply) remembersOtherwise() bool {
	manifest := a.manifest()
	return manifest != nil && !slices.Equal(manifest.Hosts, a.members())
}

func (a *apply) manifest() *plan.Manifest {
	return a.planned.sight.seen[a.config.Stack.Proxy.Name].Facts.Manifest
}
