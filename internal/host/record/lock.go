package record

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// Lock is the machine's one lock: who holds it may write the record and change
// the machine. The kernel gives it back when the process ends, however it ends.
type Lock struct{ file *os.File }

func lockPath(folder string) string { return filepath.Join(folder, "lock") }

// TryLock returns nil when somebody else holds the lock. The file that was
// locked must be the one that has the name now: the last holder may have removed
// it together with everything of ours.
func TryLock(folder string) (*Lock, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, fmt.Errorf("make record: %w", err)
	}
	file, err := os.OpenFile(lockPath(folder), os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // the last holder removes it just now
	}
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	held, err := flock(file, unix.LOCK_EX)
	if err == nil && !held {
		var locked, named fs.FileInfo
		if locked, err = file.Stat(); err == nil {
			named, err = os.Stat(lockPath(folder))
		}
		if err == nil && os.SameFile(locked, named) {
			return &Lock{file}, nil
		}
	}
	file.Close()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("take lock: %w", err)
	}
	return nil, nil
}

// Release gives the lock back.
func (l *Lock) Release() error { return l.file.Close() }

// Remove removes the lock, which is still held: nobody who waits for it gets it.
func (l *Lock) Remove(folder string) error {
	if err := os.Remove(lockPath(folder)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove lock: %w", err)
	}
	return nil
}

// Look reads the record of a host on which somebody else may be at work just
// now. Where held is true somebody is: what the journal says has begun runs.
// Else what has begun was cut off.
func Look(folder string) (j *Journal, held bool, err error) {
	for last := 0; ; { // until nobody began anything new between looking at the one and the other
		if j, err = Read(folder); err != nil {
			return nil, false, err
		}
		begun, ok := j.Begun()
		if !ok || begun.Number == last {
			break
		}
		if held, err = isHeld(folder); held || err != nil {
			return j, held, err
		}
		last = begun.Number
	}
	held, err = isHeld(folder)
	return j, held, err
}

// isHeld takes the lock for a moment, to share it, which changes nothing on the
// machine.
func isHeld(folder string) (bool, error) {
	file, err := os.Open(lockPath(folder))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look at lock: %w", err)
	}
	defer file.Close() // gives the shared lock back
	return flock(file, unix.LOCK_SH)
}

// flock reports whether another process holds the lock of a file.
func flock(file *os.File, how int) (held bool, err error) {
	err = unix.Flock(int(file.Fd()), how|unix.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return true, nil
	}
	return false, err
}
