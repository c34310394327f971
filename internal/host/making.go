package host

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/relayctl/relayctl/internal/host/machine"
	"github.com/relayctl/relayctl/internal/plan"
)

// What relayctl makes is removed when it leaves the stack, what it finds is
// not. A thing doesn't tell who made it, so that is written down before it is
// made: otherwise one made just before a power failure would count as found
// for ever.

// making is a thing that is about to be made.
type making struct {
	plan.ID
	Sensitive bool   `json:"sensitive,omitempty"`
	Kept      string `json:"kept,omitempty"`    // where what stood there is kept
	Content   string `json:"content,omitempty"` // digest by which it is told from what stood there

	Taken *plan.TakenOver `json:"taken,omitempty"` // what stands there is somebody else's
}

func (h *Host) loadMaking() ([]making, error) {
	var list []making
	if _, err := machine.LoadJSON(h.stored("making.json"), &list); err != nil {
		return nil, fmt.Errorf("read what is being made: %w", err)
	}
	return list, nil
}

// markMaking says that things are about to be made.
func (h *Host) markMaking(things ...making) error {
	if len(things) == 0 {
		return nil
	}
	list, err := h.loadMaking()
	if err != nil {
		return err
	}
	for _, thing := range things {
		list = slices.DeleteFunc(list, func(one making) bool { return one.ID == thing.ID })
	}
	list = append(list, things...)
	if err := machine.SaveJSON(h.stored("making.json"), list); err != nil {
		return fmt.Errorf("note what is being made: %w", err)
	}
	return nil
}

// withMaking is the manifest together with what was made and has not come into
// it: the batch was cut off, or failed. It changes nothing on the machine.
func (h *Host) withMaking(ctx context.Context, manifest *plan.Manifest) (*plan.Manifest, error) {
	list, err := h.loadMaking()
	if err != nil || len(list) == 0 {
		return manifest, err
	}
	whole := &plan.Manifest{}
	if manifest != nil {
		*whole = *manifest
		whole.Resources = slices.Clone(manifest.Resources)
	}
	view := h.newLook(manifest)
	for _, one := range list {
		if findApplied(whole, one.ID) != nil {
			continue
		}
		fact, err := h.observeOne(ctx, view, plan.Resource{ID: one.ID, Sensitive: one.Sensitive})
		if err != nil {
			return nil, err
		}
		if !fact.Exists || one.Content != "" && one.Content != fact.Have[plan.AttrContent] {
			continue
		}
		made, err := h.isMade(ctx, whole, fact.ID)
		if err != nil {
			return nil, err
		}
		if made || isTaken(one, fact) {
			whole.Resources = append(whole.Resources, plan.Applied{
				ID: fact.ID, Have: fact.Have, Made: made, Kept: one.Kept, Taken: one.Taken,
				Number: whole.Number + 1, Time: time.Now().UTC().Truncate(time.Second),
			})
		}
	}
	return whole, nil
}

// settleMaking takes what was made into the session's manifest, so that it is
// not being made any more.
func (h *Host) settleMaking(ctx context.Context) error {
	if _, err := os.Stat(h.stored("making.json")); machine.Gone(err) {
		return nil
	}
	whole, err := h.withMaking(ctx, h.session.manifest)
	if err != nil {
		return err
	}
	h.session.manifest = whole
	if err := h.saveManifest(); err != nil {
		return err
	}
	return machine.RemoveIfThere(h.stored("making.json"))
}

// isMade reports whether a thing that exists, and didn't before, was made by
// relayctl. Units are made by their files, which others bring too.
func (h *Host) isMade(ctx context.Context, manifest *plan.Manifest, id plan.ID) (bool, error) {
	if id.Kind != plan.KindUnit {
		return true, nil
	}
	state, err := h.Unit(ctx, id.Name)
	return madeFragment(manifest, state), err
}

// making is the step's thing; kept is where what stands there is kept.
func (s step) making(kept string) making {
	return making{
		ID: s.resource.ID, Sensitive: s.resource.Sensitive,
		Kept: kept, Content: s.resource.Want[plan.AttrContent].Text,
	}
}
