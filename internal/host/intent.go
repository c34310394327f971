package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/relayctl/relayctl/internal/host/machine"
	"github.com/relayctl/relayctl/internal/plan"
)

// A restart that is owed is written down before the first file is swapped, and
// crossed out when the unit was seen to run with its present files. So it is
// done by the next apply if this one ends between.

// intent is a unit's owed restart or reload.
type intent struct {
	Because []plan.ID `json:"because"` // what it has not loaded
}

func (h *Host) intentPath(unit string) string { return h.stored("intents", unit+".json") }

func (h *Host) loadIntent(unit string) (intent, error) {
	var owed intent
	if _, err := machine.LoadJSON(h.intentPath(unit), &owed); err != nil {
		return intent{}, fmt.Errorf("read restart that is owed: %w", err)
	}
	return owed, nil
}

// intendRestarts writes the intents of a batch: for every unit that reads
// something that a step is about to change.
func (h *Host) intendRestarts(steps []plan.Change) error {
	readers, err := h.readers(steps)
	if err != nil {
		return err
	}
	for unit, reads := range readers {
		owed, err := h.loadIntent(unit)
		if err != nil {
			return err
		}
		before := len(owed.Because)
		for _, change := range steps {
			if change.ID.Kind != plan.KindUnit && plan.Replaces(change) && anyCovers(reads.all(), change.ID) &&
				!slices.Contains(owed.Because, change.ID) {
				owed.Because = append(owed.Because, change.ID)
			}
		}
		if len(owed.Because) == before {
			continue
		}
		if before == 0 {
			h.session.intents = append(h.session.intents, unit)
		}
		if err := machine.SaveJSON(h.intentPath(unit), owed); err != nil {
			return fmt.Errorf("note restart that is owed: %w", err)
		}
	}
	return nil
}

// readers are the units that the steps name and those that ran before, with
// what each reads.
func (h *Host) readers(steps []plan.Change) (map[string]unitReads, error) {
	readers := map[string]unitReads{}
	entries, err := os.ReadDir(h.stored("loaded"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list units: %w", err)
	}
	for _, entry := range entries {
		unit, ok := strings.CutSuffix(entry.Name(), ".json")
		if !ok {
			continue
		}
		record, err := h.loadLoaded(unit)
		if err != nil {
			return nil, err
		}
		readers[unit] = record.Reads
	}
	for _, change := range steps {
		if change.ID.Kind == plan.KindUnit && change.Resource != nil && change.Resource.Unit != nil {
			readers[change.ID.Name] = readsOf(change.Resource.Unit)
		}
	}
	return readers, nil
}

// dropVainIntents crosses out what this session intended and then did not
// touch: a step before it failed.
func (h *Host) dropVainIntents() error {
	for _, unit := range h.session.intents {
		owed, err := h.loadIntent(unit)
		if err != nil {
			return err
		}
		touched := slices.ContainsFunc(owed.Because, func(id plan.ID) bool {
			return h.session.changed[id] > h.session.loaded[unit]
		})
		if len(owed.Because) > 0 && !touched {
			if err := h.clearIntent(unit); err != nil {
				return err
			}
		}
	}
	h.session.intents = nil
	return nil
}

func (h *Host) clearIntent(unit string) error {
	if err := machine.RemoveIfThere(h.intentPath(unit)); err != nil {
		return fmt.Errorf("cross out restart: %w", err)
	}
	return nil
}
