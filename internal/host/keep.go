package host

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/relayctl/relayctl/internal/host/machine"
	"github.com/relayctl/relayctl/internal/plan"
)

// maxFormers is how many forms of one file a generation holds.
const maxFormers = 100

// keeper is a kindWorker whose things have something in them.
type keeper interface {
	keep(todo step) (string, error)
}

// keepWhatGoes keeps what a step is about to replace or take away, and returns where;
// empty: nothing, or nothing that has to be kept.
func (h *Host) keepWhatGoes(todo step) (string, error) {
	worker, _ := h.worker(todo.change.ID.Kind)
	kept, ok := worker.(keeper)
	if !ok || !todo.now.Exists {
		return "", nil
	}
	return kept.keep(todo)
}

// keep keeps a file whose content will change: as one of the originals when
// relayctl never wrote it, else in the generation of this apply.
func (f files) keep(todo step) (string, error) {
	if content, ok := todo.resource.Want[plan.AttrContent]; ok && content.Text == todo.now.Have[plan.AttrContent] {
		return "", nil
	}
	generation := f.session.apply.Number
	if todo.applied == nil || todo.isMovedAside() { // it is somebody else's
		generation = 0
	}
	return f.keepFormer(todo.change.ID.Name, generation)
}

// keepFormer copies what stands at path into a generation and returns where.
// What is kept is never written over: neither an original, nor what stood
// there when the apply began.
func (h *Host) keepFormer(path string, generation int) (string, error) {
	first := filepath.Join(plan.StoreDir, "generations", strconv.Itoa(generation), path)
	if err := os.MkdirAll(filepath.Dir(h.Path(first)), 0o700); err != nil {
		return "", fmt.Errorf("make generation: %w", err)
	}
	for n := 1; n < maxFormers; n++ {
		kept := first
		if n > 1 {
			kept += "." + strconv.Itoa(n)
		}
		taken, same, err := compareKept(h.Path(path), h.Path(kept))
		if err != nil {
			return "", fmt.Errorf("keep %s: %w", path, err)
		}
		if taken && !same {
			continue
		}
		if !taken {
			err = machine.CopyFile(h.Path(path), h.Path(kept))
		}
		if err != nil {
			return "", fmt.Errorf("keep %s: %w", path, err)
		}
		return kept, nil
	}
	return "", fmt.Errorf("keep %s: generation %d holds %d of it already", path, generation, maxFormers)
}

// compareKept reports whether there is a kept file, and whether it holds what
// stands at path.
func compareKept(path, kept string) (taken, same bool, err error) {
	info, err := os.Lstat(kept)
	if errors.Is(err, fs.ErrNotExist) {
		return false, false, nil
	}
	if err != nil || !info.Mode().IsRegular() {
		return true, false, err
	}
	old, err := machine.ReadRegular(kept)
	if err != nil {
		return true, false, err
	}
	stands, err := os.Lstat(path)
	if err != nil || stands.Mode() != info.Mode() {
		return true, false, err
	}
	present, err := machine.ReadRegular(path)
	return true, err == nil && bytes.Equal(old, present), err
}

// sweepGenerations removes what the record does not go back to any more.
func (h *Host) sweepGenerations(oldest int) error {
	entries, err := os.ReadDir(h.stored("generations"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("list generations: %w", err)
	}
	for _, entry := range entries {
		if number, err := strconv.Atoi(entry.Name()); err != nil || number < 1 || number > oldest {
			continue
		}
		if err := os.RemoveAll(h.stored("generations", entry.Name())); err != nil {
			return fmt.Errorf("remove old generation: %w", err)
		}
	}
	return nil
}
