package host

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/relayctl/relayctl/internal/host/record"
	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
)

// lockInterval is the time between tries to get a lock that is held.
const lockInterval = 200 * time.Millisecond

// Lock takes the lock, waiting for at most params.Wait, and begins a session.
func (h *Host) Lock(ctx context.Context, params hostapi.Lock, tell func(what string)) (hostapi.Locked, error) {
	if h.session != nil {
		return hostapi.Locked{}, hostapi.BadRequest("the lock is held by this conversation already")
	}
	if params.Stack == "" {
		return hostapi.Locked{}, hostapi.BadRequest("no stack is named")
	}
	if err := h.requireSupported(); err != nil {
		return hostapi.Locked{}, err
	}
	journal, err := record.Read(h.store.Folder())
	if err != nil {
		return hostapi.Locked{}, err
	}
	if err := requireOurs(journal, params.Stack); err != nil {
		return hostapi.Locked{}, err
	}
	held, err := h.waitForLock(ctx, params.Wait, tell)
	if err != nil {
		return hostapi.Locked{}, err
	}
	last, err := h.begin(ctx, held, params)
	if err != nil {
		h.session = nil
		held.Release()
		return hostapi.Locked{}, err
	}
	return hostapi.Locked{Number: h.session.apply.Number, Last: last}, nil
}

// requireOurs refuses what another stack or a newer relayctl wrote.
func requireOurs(journal *record.Journal, stack string) error {
	manifest := journal.Manifest()
	switch {
	case journal.IsNewer():
		version := "a later version"
		if manifest != nil {
			version = manifest.Version
		}
		return &hostapi.Error{
			Code:    hostapi.CodeNewer,
			Message: fmt.Sprintf("this host was applied by relayctl %s, which is newer", version),
			Step:    hostapi.NoStep,
			Hint:    "use that version of relayctl, or a newer one",
		}
	case manifest != nil && manifest.Stack != stack:
		return &hostapi.Error{
			Code:    hostapi.CodeOtherStack,
			Message: fmt.Sprintf("this host belongs to stack %q", manifest.Stack),
			Step:    hostapi.NoStep,
		}
	}
	return nil
}

// begin makes the session of a lock that was just taken, and returns the
// number of the apply before. The journal is read again: whoever held the lock
// may have written to it. What was cut off before is closed.
func (h *Host) begin(ctx context.Context, held *record.Lock, params hostapi.Lock) (last int, err error) {
	journal, err := record.Read(h.store.Folder())
	if err != nil {
		return 0, err
	}
	if err := requireOurs(journal, params.Stack); err != nil {
		return 0, err
	}
	if err := journal.Open(); err != nil {
		return 0, err
	}
	if err := h.store.Begin(); err != nil {
		return 0, err
	}
	h.session = &session{lock: held, journal: journal}
	if err := h.settlePending(ctx, journal); err != nil {
		return 0, err
	}
	if err := journal.CloseCutOff(); err != nil {
		return 0, err
	}
	if manifest := journal.Manifest(); manifest != nil {
		last = manifest.Number
	}
	h.session.apply = record.Apply{
		Number: max(journal.Next(), params.Number), Run: params.Holder.Run, Stack: params.Stack,
		Version: cmp.Or(params.Version, h.version), Operator: params.Holder.Operator, Command: params.Holder.Command,
		PID: os.Getpid(), Since: time.Now().UTC().Truncate(time.Second),
	}
	if err := journal.Begin(h.session.apply); err != nil {
		return 0, err
	}
	return last, h.rememberReached(params.Reached)
}

// rememberReached takes down other hosts of the stack before anything is done
// to them, so that they are found also when this apply is cut off.
func (h *Host) rememberReached(reached []plan.Member) error {
	var before []plan.Member
	if manifest := h.session.journal.Manifest(); manifest != nil {
		before = manifest.Hosts
	}
	hosts := plan.Remember(before, reached)
	if slices.Equal(hosts, before) {
		return nil
	}
	return h.session.journal.SetHosts(hosts)
}

// Unlock ends the session and gives the lock back; without one it does nothing.
// An apply that did nothing leaves no trace.
func (h *Host) Unlock() error {
	if h.session == nil {
		return nil
	}
	var err error
	if s := h.session; !s.finished && !s.forgotten && len(s.journal.Steps(s.apply.Number)) == 0 {
		err = s.journal.GiveUp()
	}
	if given := h.letGo(); err == nil {
		err = given
	}
	return err
}

// letGo gives the lock back. An apply whose end was not taken down counts as cut
// off, as it does when relay-host is killed.
func (h *Host) letGo() error {
	s := h.session
	h.session = nil
	err := s.journal.Close()
	if !s.forgotten { // else they may be somebody else's by now
		if swept := h.store.SweepBlobs(); err == nil {
			err = swept
		}
	}
	if released := s.lock.Release(); err == nil {
		err = released
	}
	if err != nil {
		return fmt.Errorf("give lock back: %w", err)
	}
	return nil
}

func (h *Host) waitForLock(ctx context.Context, wait time.Duration, tell func(string)) (*record.Lock, error) {
	begun, told := time.Now(), time.Time{}
	retry := time.NewTicker(lockInterval)
	defer retry.Stop()
	for {
		held, err := record.TryLock(h.store.Folder())
		if held != nil || err != nil {
			return held, err
		}
		journal, err := record.Read(h.store.Folder())
		if err != nil {
			return nil, err
		}
		holder := describeHolder(journal)
		if time.Since(begun) >= wait {
			return nil, &hostapi.Error{
				Code: hostapi.CodeLocked, Message: "locked by " + holder, Step: hostapi.NoStep,
				Hint: "wait until that is done, then try again",
			}
		}
		if time.Since(told) >= hostapi.TellEvery {
			told = time.Now()
			tell("locked by " + holder)
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-retry.C:
		}
	}
}

func describeHolder(journal *record.Journal) string {
	holder, begun := journal.Begun()
	if !begun {
		return "somebody who just came"
	}
	return fmt.Sprintf("%s (%s since %s, pid %d)",
		holder.Operator, holder.Command, holder.Since.Format("15:04:05 MST"), holder.PID)
}

// holderOf is who has begun, as relayctl is told.
func holderOf(apply record.Apply) *hostapi.LockHolder {
	return &hostapi.LockHolder{Operator: apply.Operator, PID: apply.PID, Command: apply.Command, Since: apply.Since, Run: apply.Run}
}
