package host

import (
	"encoding/json"
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

// signature is what who holds the lock writes on it. It stays there when the
// work ends in the middle.
type signature struct {
	hostapi.LockHolder
	Number  int    `json:"apply"`
	Stack   string `json:"stack"`
	Version string `json:"version"` // of relayctl
}

// past is the apply that the signature is for, before it has done anything.
func (s signature) past() plan.Past {
	return plan.Past{
		Number: s.Number, Run: s.Run, Stack: s.Stack, Version: s.Version,
		Operator: s.Operator, Command: s.Command, Began: s.Since,
	}
}

// nextSignature is for the apply that begins. The history takes down what was
// cut off before, and no number is given twice.
func (h *Host) nextSignature(manifest *plan.Manifest, params hostapi.Lock) (signature, error) {
	last, err := h.closeUnfinished()
	if err != nil {
		return signature{}, err
	}
	next := signature{LockHolder: params.Holder, Stack: params.Stack, Version: params.Version}
	next.Number = max(manifest.Number+1, last+1, params.Number)
	next.PID = os.Getpid()
	next.Since = time.Now().UTC().Truncate(time.Second)
	return next, nil
}

// sign writes down who holds the lock.
func (l *lock) sign(by signature) error {
	encoded, err := json.Marshal(by)
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
func (h *Host) lockHolder() (holder, cutOff *signature, err error) {
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
	signed, err := h.signature()
	switch {
	case err != nil:
		return nil, nil, err
	case held != nil:
		return &signed, nil, nil
	case signed.Operator != "":
		return nil, &signed, nil
	}
	return nil, nil, nil
}

// signature is who signed the lock; zero: nobody did, or is about to.
func (h *Host) signature() (signature, error) {
	content, err := machine.ReadIfThere(h.stored("lock"))
	if err != nil {
		return signature{}, fmt.Errorf("read lock: %w", err)
	}
	var signed signature
	if json.Unmarshal(content, &signed) != nil {
		return signature{}, nil
	}
	return signed, nil
}

func describeHolder(holder hostapi.LockHolder) string {
	if holder.Operator == "" {
		return "somebody who just came"
	}
	return fmt.Sprintf("%s (%s since %s, pid %d)",
		holder.Operator, holder.Command, holder.Since.Format("15:04:05 MST"), holder.PID)
}
