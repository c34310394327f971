package host

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/relayctl/relayctl/internal/host/machine"
	"github.com/relayctl/relayctl/internal/host/record"
	"github.com/relayctl/relayctl/internal/plan"
)

// What a running unit has loaded is known for units that publish it. For the
// others it is written down when relay-host has seen them start or reload.

func readsOf(unit *plan.Unit) record.Reads {
	if unit == nil {
		return record.Reads{}
	}
	reads := record.Reads{Restart: slices.Clone(unit.Restart), Reload: unit.Reload}
	if unit.Program != nil && !slices.Contains(reads.Restart, *unit.Program) {
		reads.Restart = append(reads.Restart, *unit.Program)
	}
	return reads
}

// recordLoaded writes down that a unit runs with its present files, so that it
// owes no restart any more.
func (h *Host) recordLoaded(ctx context.Context, unit string, reads record.Reads, state machine.UnitState) error {
	view := h.look()
	loaded := record.Loaded{Unit: unit, Invocation: state.Invocation, Reads: reads, Digests: map[string]string{}}
	for _, id := range reads.All() {
		print, err := h.fingerprint(ctx, view, id)
		if err != nil {
			return err
		}
		loaded.Digests[id.String()] = print.digest
	}
	return h.session.journal.Load(loaded)
}

// recordStopped writes down that a unit owes no restart, since it does not run,
// or is about to take what it reads.
func (h *Host) recordStopped(unit string) error {
	journal := h.session.journal
	if journal.LoadedBy(unit).Invocation == "" && len(journal.Owed(unit)) == 0 {
		return nil
	}
	return journal.Load(record.Loaded{Unit: unit})
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
