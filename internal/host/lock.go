package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/relayctl/relayctl/internal/host/machine"
	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
)

// Times of waiting for anything.
const (
	tellEvery    = 5 * time.Second        // at least this often, what is waited for is told
	lockInterval = 200 * time.Millisecond // between tries to get a lock that is held
)

// lock is the machine's one lock. The kernel gives it back when the process
// ends, however it ends.
type lock struct{ file *os.File }

// Lock takes the lock, waiting for at most params.Wait, and begins a session.
func (h *Host) Lock(ctx context.Context, params hostapi.Lock, tell func(text string)) (hostapi.Locked, error) {
	if h.session != nil {
		return hostapi.Locked{}, badRequest("the lock is held by this conversation already")
	}
	if params.Stack == "" {
		return hostapi.Locked{}, badRequest("no stack is named")
	}
	if err := h.requireSupported(); err != nil {
		return hostapi.Locked{}, err
	}
	manifest, err := h.loadManifest()
	if err != nil {
		return hostapi.Locked{}, err
	}
	if err := requireOurs(manifest, params.Stack); err != nil {
		return hostapi.Locked{}, err
	}
	held, err := h.waitForLock(ctx, params.Wait, tell)
	if err != nil {
		return hostapi.Locked{}, err
	}
	last, err := h.begin(ctx, held, params)
	if err != nil {
		held.file.Close()
		return hostapi.Locked{}, err
	}
	return hostapi.Locked{Number: h.session.number, Last: last}, nil
}

// begin makes the session of a lock that was just taken, and returns the
// manifest's number. The manifest is read again: whoever held the lock may have
// changed it.
func (h *Host) begin(ctx context.Context, held *lock, params hostapi.Lock) (last int, err error) {
	manifest, err := h.loadManifest()
	if err != nil {
		return 0, err
	}
	if err := requireOurs(manifest, params.Stack); err != nil {
		return 0, err
	}
	claimed := manifest == nil
	if claimed {
		manifest = &plan.Manifest{}
	}
	last = manifest.Number
	sign, err := h.nextSignature(manifest, params)
	if err != nil {
		return 0, err
	}
	if err := held.sign(sign); err != nil {
		return 0, err
	}
	if _, err := os.Stat(h.stored("mac.key")); err == nil {
		h.macKey = nil // another conversation may have kept its own since this one looked
	}
	if err := os.RemoveAll(h.stored("blobs")); err != nil {
		return 0, fmt.Errorf("sweep blobs: %w", err)
	}
	h.session = &session{
		lock: held, stack: params.Stack, number: sign.Number, past: sign.past(), manifest: manifest, claimed: claimed,
		changed: map[plan.ID]int{}, loaded: map[string]int{}, replaced: map[plan.ID]former{},
	}
	if err = h.settleMaking(ctx); err == nil {
		err = h.rememberReached(params.Reached)
	}
	if err != nil {
		h.session = nil
	}
	return last, err
}

// Unlock ends the session and gives the lock back; without one it does nothing.
// A host where nothing was begun has no part in the stack.
func (h *Host) Unlock() error {
	if h.session == nil {
		return nil
	}
	var err error
	if s := h.session; s.claimed && !s.finished && !s.forgotten && s.journal.file == nil && len(s.manifest.Resources) == 0 {
		err = machine.RemoveIfThere(h.stored("manifest.json"))
	}
	h.session.finished = true
	if given := h.letGo(); err == nil {
		err = given
	}
	return err
}

// letGo gives the lock back. The signature stays on it when the work was not
// finished, as it does when relay-host is killed: so the next look finds that.
func (h *Host) letGo() error {
	finished := h.session.finished
	held, forgotten := h.session.lock, h.session.forgotten
	h.session.journal.close()
	h.session = nil
	var err error
	if !forgotten { // else they may be somebody else's by now
		err = os.RemoveAll(h.stored("blobs"))
	}
	if finished {
		if unsigned := held.file.Truncate(0); err == nil {
			err = unsigned
		}
	}
	if closed := held.file.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return fmt.Errorf("give lock back: %w", err)
	}
	return nil
}

func (h *Host) waitForLock(ctx context.Context, wait time.Duration, tell func(string)) (*lock, error) {
	begun, told := time.Now(), time.Time{}
	retry := time.NewTicker(lockInterval)
	defer retry.Stop()
	for {
		held, err := h.tryLock()
		if held != nil || err != nil {
			return held, err
		}
		signed, err := h.signature()
		if err != nil {
			return nil, err
		}
		holder := describeHolder(signed.LockHolder)
		if time.Since(begun) >= wait {
			return nil, &hostapi.Error{
				Code: hostapi.CodeLocked, Message: "locked by " + holder, Step: noStep,
				Hint: "wait until that is done, then try again",
			}
		}
		if time.Since(told) >= tellEvery {
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

// tryLock returns nil when somebody else holds the lock. The file that was
// locked must be the one that has the name now: the last holder may have
// removed it together with everything of ours.
func (h *Host) tryLock() (*lock, error) {
	if err := os.MkdirAll(h.stored(), 0o700); err != nil {
		return nil, fmt.Errorf("make store: %w", err)
	}
	file, err := os.OpenFile(h.stored("lock"), os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // the last holder removes it just now
	}
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	err = unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		file.Close()
		return nil, nil
	}
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("lock: %w", err)
	}
	locked, err := file.Stat()
	if err == nil {
		var named fs.FileInfo
		named, err = os.Stat(h.stored("lock"))
		if err == nil && os.SameFile(locked, named) {
			return &lock{file}, nil
		}
	}
	file.Close()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("look at lock: %w", err)
	}
	return nil, nil
}
