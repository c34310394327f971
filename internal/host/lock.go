package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

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
	if err := h.begin(ctx, held, params); err != nil {
		held.file.Close()
		return hostapi.Locked{}, err
	}
	return hostapi.Locked{Number: h.session.number}, nil
}

// begin makes the session of a lock that was just taken. The manifest is read
// again: whoever held the lock may have changed it.
func (h *Host) begin(ctx context.Context, held *lock, params hostapi.Lock) error {
	manifest, err := h.loadManifest()
	if err != nil {
		return err
	}
	if err := requireOurs(manifest, params.Stack); err != nil {
		return err
	}
	if manifest == nil {
		manifest = &plan.Manifest{}
	}
	holder := params.Holder
	holder.PID = os.Getpid()
	holder.Since = time.Now().UTC().Truncate(time.Second)
	if err := held.sign(holder); err != nil {
		return err
	}
	if _, err := os.Stat(h.stored("mac.key")); err == nil {
		h.macKey = nil // another conversation may have kept its own since this one looked
	}
	if err := os.RemoveAll(h.stored("blobs")); err != nil {
		return fmt.Errorf("sweep blobs: %w", err)
	}
	h.session = &session{
		lock: held, holder: holder, stack: params.Stack, number: manifest.Number + 1, manifest: manifest,
		changed: map[plan.ID]int{}, loaded: map[string]int{}, replaced: map[string]former{},
	}
	if err := h.settleMaking(ctx); err != nil {
		h.session = nil
		return err
	}
	return nil
}

// Unlock ends the session and gives the lock back; without one it does nothing.
func (h *Host) Unlock() error {
	if h.session == nil {
		return nil
	}
	h.session.finished = true
	return h.letGo()
}

// letGo gives the lock back. The signature stays on it when the work was not
// finished, as it does when relay-host is killed: so the next look finds that.
func (h *Host) letGo() error {
	finished := h.session.finished
	held, forgotten := h.session.lock, h.session.forgotten
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
		holder, err := h.signedHolder()
		if err != nil {
			return nil, err
		}
		if time.Since(begun) >= wait {
			return nil, &hostapi.Error{
				Code: hostapi.CodeLocked, Message: "locked by " + describeHolder(holder), Step: noStep,
				Hint: "wait until that is done, then try again",
			}
		}
		if time.Since(told) >= tellEvery {
			told = time.Now()
			tell("locked by " + describeHolder(holder))
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

// sign writes down who holds the lock.
func (l *lock) sign(holder hostapi.LockHolder) error {
	encoded, err := json.Marshal(holder)
	if err != nil {
		return fmt.Errorf("encode lock holder: %w", err)
	}
	if err := l.file.Truncate(0); err != nil {
		return fmt.Errorf("sign lock: %w", err)
	}
	if _, err := l.file.WriteAt(encoded, 0); err != nil {
		return fmt.Errorf("sign lock: %w", err)
	}
	return nil
}

// lockHolder says who else holds the lock, or else who ended in the middle of
// their work; nil: nobody. It tries a shared lock for a moment, which changes
// nothing on the machine.
func (h *Host) lockHolder() (holder, cutOff *hostapi.LockHolder, err error) {
	if h.session != nil {
		return nil, nil, nil
	}
	file, err := os.Open(h.stored("lock"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("open lock: %w", err)
	}
	defer file.Close() // gives the shared lock back
	held := unix.Flock(int(file.Fd()), unix.LOCK_SH|unix.LOCK_NB)
	if held != nil && !errors.Is(held, syscall.EWOULDBLOCK) {
		return nil, nil, fmt.Errorf("look at lock: %w", held)
	}
	signed, err := h.signedHolder()
	switch {
	case err != nil:
		return nil, nil, err
	case held != nil:
		return signed, nil, nil
	case signed.Operator != "":
		return nil, signed, nil
	}
	return nil, nil, nil
}

// signedHolder is who signed the lock. It is held, so that somebody did or is
// about to.
func (h *Host) signedHolder() (*hostapi.LockHolder, error) {
	content, err := readIfThere(h.stored("lock"))
	if err != nil {
		return nil, fmt.Errorf("read lock: %w", err)
	}
	var holder hostapi.LockHolder
	if json.Unmarshal(content, &holder) != nil {
		return &hostapi.LockHolder{}, nil
	}
	return &holder, nil
}

func describeHolder(holder *hostapi.LockHolder) string {
	if holder.Operator == "" {
		return "somebody who just came"
	}
	return fmt.Sprintf("%s (%s since %s, pid %d)",
		holder.Operator, holder.Command, holder.Since.Format("15:04:05 MST"), holder.PID)
}
