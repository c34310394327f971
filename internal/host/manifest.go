package host

import (
	"fmt"
	"slices"
	"time"

	"github.com/relayctl/relayctl/internal/host/machine"
	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
)

// manifestSchema is the newest form of the manifest that this relay-host knows.
const manifestSchema = 1

// loadManifest returns nil where relayctl was never applied.
func (h *Host) loadManifest() (*plan.Manifest, error) {
	var manifest plan.Manifest
	found, err := machine.LoadJSON(h.stored("manifest.json"), &manifest)
	if err != nil {
		return nil, fmt.Errorf("read manifest: %w", err)
	}
	if !found {
		return nil, nil
	}
	return &manifest, nil
}

// requireOurs refuses a manifest that another stack or a newer relayctl wrote.
func requireOurs(manifest *plan.Manifest, stack string) error {
	switch {
	case manifest == nil:
		return nil
	case manifest.Schema > manifestSchema:
		return &hostapi.Error{
			Code:    hostapi.CodeNewer,
			Message: fmt.Sprintf("this host was applied by relayctl %s, which is newer", manifest.Version),
			Step:    noStep,
			Hint:    "use that version of relayctl, or a newer one",
		}
	case manifest.Stack != stack:
		return &hostapi.Error{
			Code:    hostapi.CodeOtherStack,
			Message: fmt.Sprintf("this host belongs to stack %q", manifest.Stack),
			Step:    noStep,
		}
	}
	return nil
}

// findApplied returns the manifest's entry of id, or nil.
func findApplied(manifest *plan.Manifest, id plan.ID) *plan.Applied {
	if manifest == nil {
		return nil
	}
	at := slices.IndexFunc(manifest.Resources, func(entry plan.Applied) bool { return entry.ID == id })
	if at < 0 {
		return nil
	}
	entry := manifest.Resources[at]
	return &entry
}

// saveManifest writes the session's manifest with the marks of this apply.
func (h *Host) saveManifest() error {
	s := h.session
	s.manifest.Schema = manifestSchema
	s.manifest.Stack = s.stack
	s.manifest.Version = h.version
	s.manifest.Operator = s.past.Operator
	s.manifest.Number = s.number
	s.manifest.Time = time.Now().UTC().Truncate(time.Second)
	if err := machine.SaveJSON(h.stored("manifest.json"), s.manifest); err != nil {
		return fmt.Errorf("save manifest: %w", err)
	}
	return nil
}

// rememberReached takes down other hosts of the stack before anything is done
// to them, so that they are found also when this apply is cut off.
func (h *Host) rememberReached(reached []plan.Member) error {
	hosts := plan.Remember(h.session.manifest.Hosts, reached)
	if slices.Equal(hosts, h.session.manifest.Hosts) {
		return nil
	}
	h.session.manifest.Hosts = hosts
	return h.saveManifest()
}

// setApplied puts entry in the place of the one with its ID.
func (s *session) setApplied(entry plan.Applied) {
	s.dropApplied(entry.ID)
	s.manifest.Resources = append(s.manifest.Resources, entry)
}

func (s *session) dropApplied(id plan.ID) {
	s.manifest.Resources = slices.DeleteFunc(s.manifest.Resources,
		func(entry plan.Applied) bool { return entry.ID == id })
}

// newApplied is the manifest's entry for a fact that this session left.
func (s *session) newApplied(fact plan.Fact) plan.Applied {
	return plan.Applied{ID: fact.ID, Have: fact.Have, Number: s.number, Time: time.Now().UTC().Truncate(time.Second)}
}
