package host

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/relayctl/relayctl/internal/host/machine"
	"github.com/relayctl/relayctl/internal/plan"
)

// keptGenerations is how many applies' former files are kept, of applies that
// replaced or removed any. Generation 0, what stood there before relayctl, is
// kept as long as relayctl is there.
const keptGenerations = 10

// maxFormers is how many forms of one file a generation holds.
const maxFormers = 100

// former is what a file or a program was before this session last swapped it.
type former struct {
	kept    string        // absolute path of the copy, or a program's folder; empty: there was none
	applied *plan.Applied // the manifest's entry; nil: none
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

// sweepGenerations removes all but the newest keptGenerations.
func (h *Host) sweepGenerations() error {
	entries, err := os.ReadDir(h.stored("generations"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list generations: %w", err)
	}
	var numbers []int
	for _, entry := range entries {
		if generation, err := strconv.Atoi(entry.Name()); err == nil && generation > 0 {
			numbers = append(numbers, generation)
		}
	}
	slices.Sort(numbers)
	for _, number := range numbers[:max(0, len(numbers)-keptGenerations)] {
		if err := os.RemoveAll(h.stored("generations", strconv.Itoa(number))); err != nil {
			return fmt.Errorf("remove old generation: %w", err)
		}
	}
	return nil
}
