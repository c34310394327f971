package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/relayctl/relayctl/internal/host/machine"
	"github.com/relayctl/relayctl/internal/host/record"
	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
)

// Finish ends an apply: keys that were shown are noted, and the journal takes
// the end down.
func (h *Host) Finish(params hostapi.Finish) error {
	if h.session == nil {
		return errNotLocked()
	}
	if params.Stack != h.session.apply.Stack {
		return badRequest("stack %q is finished under the lock of %q", params.Stack, h.session.apply.Stack)
	}
	if params.Forget {
		return h.forgetStack()
	}
	if err := h.markShown(params.Shown); err != nil {
		return err
	}
	journal, past := h.session.journal, h.session.ended(params)
	if err := journal.End(record.End{Past: &past, Shown: params.Shown, Hosts: params.Hosts}); err != nil {
		return err
	}
	h.session.finished = true
	oldest, err := journal.Compact()
	if err != nil {
		return err
	}
	return h.sweepGenerations(oldest)
}

// ended is this apply as the history tells of it.
func (s *session) ended(params hostapi.Finish) plan.Past {
	steps := s.journal.Steps(s.apply.Number)
	past := s.apply.Past()
	past.Ended, past.Steps = time.Now().UTC().Truncate(time.Second), len(steps)
	past.State, past.Summary, past.Why = plan.PastDone, params.Summary, record.FirstLine(params.Why)
	if !params.OK {
		past.State = plan.PastFailed
	}
	for _, part := range params.Others {
		part.Why = record.FirstLine(part.Why)
		past.Others = append(past.Others, part)
	}
	if past.Summary == "" {
		past.Summary = plan.CountTaken(steps).String()
	}
	return past
}

// forgetStack removes all that relay-host keeps here, but for what clients trust
// where no step took that away, and for originals that are nowhere else: they
// are not ours. The journal goes when all else is gone: as long as it is there,
// the next apply finds what an end in the middle left. Then only goes the lock:
// nobody may get it before.
func (h *Host) forgetStack() error {
	entries, err := os.ReadDir(h.stored())
	if err != nil {
		return fmt.Errorf("list store: %w", err)
	}
	for _, entry := range entries {
		switch name := entry.Name(); name {
		case "generations", "lock", record.Name:
			continue
		case "ca", "keys.json":
			if h.holdsTrust(name) {
				continue
			}
		}
		if err := os.RemoveAll(h.stored(entry.Name())); err != nil {
			return fmt.Errorf("remove store: %w", err)
		}
	}
	if err := os.RemoveAll(h.Path(plan.ProgramsDir)); err != nil {
		return fmt.Errorf("remove programs: %w", err)
	}
	if err := h.forgetGenerations(); err != nil {
		return err
	}
	if err := h.session.journal.Remove(); err != nil {
		return err
	}
	h.session.forgotten = true
	if err := h.session.lock.Remove(h.stored()); err != nil {
		return err
	}
	os.Remove(h.stored()) // only when nothing is kept
	h.macKey = nil
	return nil
}

// holdsTrust reports whether there is anything in what is kept of the CA or of
// keys.
func (h *Host) holdsTrust(name string) bool {
	if name == "ca" {
		entries, err := os.ReadDir(h.stored(name))
		return err == nil && len(entries) > 0
	}
	keys, err := h.loadKeys()
	return err == nil && len(keys) > 0
}

// forgetGenerations removes what is kept of former files, but for originals
// that do not stand in their place again.
func (h *Host) forgetGenerations() error {
	root := h.stored("generations")
	var files, folders []string
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir():
			folders = append(folders, path)
		default:
			files = append(files, path)
		}
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list generations: %w", err)
	}
	for _, file := range files {
		if place, isOriginal := cutPath(file, filepath.Join(root, "0")); isOriginal {
			_, stands, err := compareKept(h.Path(place), file)
			isOurs := stands || h.session.journal.IsPackaged(filepath.Join(plan.StoreDir, "generations/0", place))
			if !isOurs || err != nil && !machine.Gone(err) {
				continue
			}
		}
		if err := os.Remove(file); err != nil {
			return fmt.Errorf("remove generation: %w", err)
		}
	}
	for i := len(folders) - 1; i >= 0; i-- { // the deepest first
		os.Remove(folders[i]) // only when nothing is kept in it
	}
	return nil
}

// cutPath is a path without a folder that it stands in.
func cutPath(path, folder string) (rest string, inside bool) {
	if len(path) <= len(folder) || path[:len(folder)] != folder || path[len(folder)] != '/' {
		return "", false
	}
	return path[len(folder):], true
}
