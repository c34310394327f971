package host

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"

	"github.com/relayctl/relayctl/internal/hostapi"
)

// historyEntry is a line of the history.
type historyEntry struct {
	Number   int       `json:"apply"`
	Time     time.Time `json:"time"`
	Stack    string    `json:"stack"`
	Version  string    `json:"version"`
	Operator string    `json:"operator"`
	Command  string    `json:"command"`
	OK       bool      `json:"ok"`
	Summary  string    `json:"summary"`
}

// Finish ends an apply: keys that were shown are noted, and manifest and
// history take it down.
func (h *Host) Finish(params hostapi.Finish) error {
	if h.session == nil {
		return errNotLocked()
	}
	if params.Stack != h.session.stack {
		return badRequest("stack %q is finished under the lock of %q", params.Stack, h.session.stack)
	}
	if params.Forget {
		return h.forgetStack()
	}
	if err := h.markShown(params.Shown); err != nil {
		return err
	}
	for _, name := range params.Shown {
		h.noteShown(name)
	}
	if params.Hosts != nil {
		h.session.manifest.Hosts = params.Hosts
	}
	if err := h.saveManifest(); err != nil {
		return err
	}
	if err := h.appendHistory(params); err != nil {
		return err
	}
	h.session.finished = true
	return h.sweepGenerations(h.session.number)
}

func (h *Host) appendHistory(params hostapi.Finish) error {
	line, err := json.Marshal(historyEntry{
		Number: h.session.number, Time: time.Now().UTC().Truncate(time.Second),
		Stack: params.Stack, Version: params.Version, Operator: params.Operator,
		Command: h.session.holder.Command, OK: params.OK, Summary: params.Summary,
	})
	if err != nil {
		return fmt.Errorf("encode history: %w", err)
	}
	file, err := os.OpenFile(h.stored("history.jsonl"), os.O_WRONLY|os.O_CREATE|os.O_APPEND|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return fmt.Errorf("open history: %w", err)
	}
	_, err = file.Write(append(line, '\n'))
	if err == nil {
		err = file.Sync()
	}
	if closed := file.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return fmt.Errorf("write history: %w", err)
	}
	return nil
}

// forgetStack removes all that relay-host keeps here, but for originals of
// files that relayctl replaced: they are not ours. The manifest goes last: as
// long as it is there, the next apply finds what an end in the middle left.
func (h *Host) forgetStack() error {
	entries, err := os.ReadDir(h.stored())
	if err != nil {
		return fmt.Errorf("list store: %w", err)
	}
	for _, entry := range entries {
		if entry.Name() == "generations" || entry.Name() == "manifest.json" {
			continue
		}
		if err := os.RemoveAll(h.stored(entry.Name())); err != nil {
			return fmt.Errorf("remove store: %w", err)
		}
	}
	if err := h.forgetGenerations(); err != nil {
		return err
	}
	if err := removeIfThere(h.stored("manifest.json")); err != nil {
		return fmt.Errorf("remove manifest: %w", err)
	}
	os.Remove(h.stored())          // only when nothing is kept
	os.Remove(h.path(programsDir)) // only when nothing is left in it
	h.macKey, h.session.forgotten = nil, true
	return nil
}

func (h *Host) forgetGenerations() error {
	generations, err := os.ReadDir(h.stored("generations"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list generations: %w", err)
	}
	for _, generation := range generations {
		if generation.Name() == "0" {
			continue
		}
		if err := os.RemoveAll(h.stored("generations", generation.Name())); err != nil {
			return fmt.Errorf("remove generation: %w", err)
		}
	}
	os.Remove(h.stored("generations")) // only when nothing is kept
	return nil
}
