package host

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/relayctl/relayctl/internal/host/machine"
	"github.com/relayctl/relayctl/internal/plan"
)

// What a running unit has loaded is known for units that publish it. For the
// others it is written down when relay-host has seen them start or reload.

// unitReads is what a unit reads.
type unitReads struct {
	Restart []plan.ID `json:"restart,omitempty"`
	Reload  []plan.ID `json:"reload,omitempty"`
}

func readsOf(unit *plan.Unit) unitReads {
	if unit == nil {
		return unitReads{}
	}
	reads := unitReads{Restart: slices.Clone(unit.Restart), Reload: unit.Reload}
	if unit.Program != nil && !slices.Contains(reads.Restart, *unit.Program) {
		reads.Restart = append(reads.Restart, *unit.Program)
	}
	return reads
}

func (r unitReads) all() []plan.ID { return slices.Concat(r.Restart, r.Reload) }

// loadedRecord is what a unit had loaded when it was last seen to.
type loadedRecord struct {
	Invocation string            `json:"invocation"`
	Reads      unitReads         `json:"reads"`
	Digests    map[string]string `json:"digests"` // by plan.ID.String
}

func (h *Host) loadedPath(unit string) string { return h.stored("loaded", unit+".json") }

func (h *Host) loadLoaded(unit string) (loadedRecord, error) {
	var record loadedRecord
	if _, err := machine.LoadJSON(h.loadedPath(unit), &record); err != nil {
		return loadedRecord{}, fmt.Errorf("read what %s has loaded: %w", unit, err)
	}
	return record, nil
}

// recordLoaded writes down that a unit runs with its present files, and
// crosses out the restart that was owed.
func (h *Host) recordLoaded(ctx context.Context, unit string, reads unitReads, state machine.UnitState) error {
	view := h.newLook(h.session.manifest)
	record := loadedRecord{Invocation: state.Invocation, Reads: reads, Digests: map[string]string{}}
	for _, id := range reads.all() {
		print, err := h.fingerprint(ctx, view, id)
		if err != nil {
			return err
		}
		record.Digests[id.String()] = print.digest
	}
	if err := machine.SaveJSON(h.loadedPath(unit), record); err != nil {
		return fmt.Errorf("note what %s has loaded: %w", unit, err)
	}
	h.session.loaded[unit] = h.session.sequence
	return h.clearIntent(unit)
}

// fingerprint is a thing's content as a unit may have loaded it.
type fingerprint struct {
	digest  string
	changed time.Time // zero: not known
}

func (h *Host) fingerprint(ctx context.Context, view *look, id plan.ID) (fingerprint, error) {
	if err := checkName(id); err != nil {
		return fingerprint{}, err
	}
	switch id.Kind {
	case plan.KindFile:
		return h.printFile(h.Path(id.Name))
	case plan.KindDirectory:
		return h.printFolder(h.Path(id.Name))
	case plan.KindProgram:
		return h.printFile(h.Path(filepath.Join(plan.ProgramsDir, id.Name, "current", id.Name)))
	case plan.KindSecret:
		return h.printFile(h.stored("secrets", id.Name))
	case plan.KindCA:
		return h.printFile(h.Path(authorityPath(id.Name)))
	}
	fact, err := h.observeOne(ctx, view, plan.Resource{ID: id})
	if err != nil {
		return fingerprint{}, err
	}
	return fingerprint{digest: fmt.Sprint(fact.Exists, fact.Have, fact.Detail)}, nil
}

// printFile digests a file under this machine's key, since it may be secret.
// Its change time is the one that nobody can set.
func (h *Host) printFile(path string) (fingerprint, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if machine.Gone(err) {
		return fingerprint{digest: "absent"}, nil
	}
	if err != nil {
		return fingerprint{}, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return fingerprint{}, err
	}
	if !info.Mode().IsRegular() {
		return fingerprint{digest: machine.DescribeMode(info.Mode())}, nil
	}
	sum, err := h.hasher(plan.MACPrefix)
	if err != nil {
		return fingerprint{}, err
	}
	if _, err := io.Copy(sum, file); err != nil {
		return fingerprint{}, fmt.Errorf("read %s: %w", path, err)
	}
	changed := info.Sys().(*syscall.Stat_t).Ctim
	return fingerprint{digest: hex.EncodeToString(sum.Sum(nil)), changed: time.Unix(changed.Unix())}, nil
}

// printFolder digests the files in a folder, hidden ones left out.
func (h *Host) printFolder(path string) (fingerprint, error) {
	entries, err := os.ReadDir(path)
	if machine.Gone(err) {
		return fingerprint{digest: "absent"}, nil
	}
	if err != nil {
		return fingerprint{}, err
	}
	whole, sum := fingerprint{}, sha256.New()
	for _, entry := range entries {
		if strings.HasPrefix(entry.Name(), ".") || !entry.Type().IsRegular() {
			continue
		}
		one, err := h.printFile(filepath.Join(path, entry.Name()))
		if err != nil {
			return fingerprint{}, err
		}
		fmt.Fprintf(sum, "%q %s\n", entry.Name(), one.digest)
		if one.changed.After(whole.changed) {
			whole.changed = one.changed
		}
	}
	// A file that was taken away shows in the folder's own time only.
	info, err := os.Stat(path)
	if err != nil {
		return fingerprint{}, err
	}
	if info.ModTime().After(whole.changed) {
		whole.changed = info.ModTime()
	}
	whole.digest = hex.EncodeToString(sum.Sum(nil))
	return whole, nil
}

func anyCovers(ids []plan.ID, other plan.ID) bool {
	return slices.ContainsFunc(ids, func(id plan.ID) bool { return plan.Covers(id, other) })
}

// forgetLoaded removes the records of units that left the manifest.
func (h *Host) forgetLoaded(unit string) error {
	if err := os.Remove(h.loadedPath(unit)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("forget what %s has loaded: %w", unit, err)
	}
	return nil
}
