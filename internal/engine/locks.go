package engine

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"

	"github.com/relayctl/relayctl/internal/hostapi"
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
