package kind

import (
	"context"
	"encoding/hex"
	"strings"
	"time"

	"github.com/relayctl/relayctl/internal/host/store"
	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
)

// keys are API keys that relayctl made: only their hashes are here.
type keys struct{ store *store.Store }

func (k keys) Observe(_ context.Context, look *Look, resource plan.Resource, fact *plan.Fact) error {
	stored, err := look.storedKeys()
	if err != nil {
		return err
	}
	key, exists := stored[resource.Name]
	if !exists {
		return nil
	}
	fact.Exists = true
	fact.Have = map[string]string{plan.AttrDigest: key.Hash, plan.AttrShown: yesNo(key.Shown)}
	var former []string
	for _, one := range key.Former {
		former = append(former, one.Hash+"@"+one.Until.UTC().Format(time.RFC3339))
	}
	if len(former) > 0 {
		fact.Have[plan.AttrFormer] = strings.Join(former, " ")
	}
	return nil
}

func (k keys) Bring(_ context.Context, step *Step) (Outcome, error) {
	hash := step.Resource.Want[plan.AttrDigest].Text
	if raw, err := hex.DecodeString(hash); err != nil || len(raw) != 32 {
		return Outcome{}, hostapi.BadRequest("%s: %q is not a hash", step.Resource.ID, hash)
	}
	var until time.Time
	if text := step.Resource.Want[plan.AttrUntil].Text; text != "" {
		var err error
		if until, err = time.Parse(time.RFC3339, text); err != nil {
			return Outcome{}, hostapi.BadRequest("%s: %q is no time", step.Resource.ID, text)
		}
	}
	return Outcome{Made: true}, k.store.ChangeKeys(func(stored map[string]store.Key) {
		stored[step.Resource.Name] = stored[step.Resource.Name].Replaced(hash, until, time.Now())
	})
}

func (k keys) Remove(_ context.Context, step *Step) (Outcome, error) {
	return Outcome{}, k.store.ChangeKeys(func(stored map[string]store.Key) { delete(stored, step.Change.ID.Name) })
}

func yesNo(yes bool) string {
	if yes {
		return plan.Yes
	}
	return plan.No
}
