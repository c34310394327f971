package host

import (
	"context"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/relayctl/relayctl/internal/host/machine"
	"github.com/relayctl/relayctl/internal/plan"
)

// keys are API keys that relayctl made: only their hashes are here.
type keys struct{ *Host }

// storedKey is what is kept of an API key.
type storedKey struct {
	Hash   string      `json:"hash"` // hex SHA-256
	Shown  bool        `json:"shown"`
	Former []formerKey `json:"former,omitempty"` // hashes that this one replaced, good for some time more
}

type formerKey struct {
	Hash  string    `json:"hash"`
	Until time.Time `json:"until"`
}

func (h *Host) loadKeys() (map[string]storedKey, error) {
	stored := map[string]storedKey{}
	if _, err := machine.LoadJSON(h.stored("keys.json"), &stored); err != nil {
		return nil, fmt.Errorf("read keys: %w", err)
	}
	return stored, nil
}

func (k keys) observe(_ context.Context, view *look, resource plan.Resource, fact *plan.Fact) error {
	stored, err := view.storedKeys()
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

func (k keys) bring(_ context.Context, _ *batch, step step) (outcome, error) {
	hash := step.resource.Want[plan.AttrDigest].Text
	if raw, err := hex.DecodeString(hash); err != nil || len(raw) != 32 {
		return outcome{}, badRequest("%s: %q is not a hash", step.resource.ID, hash)
	}
	var until time.Time
	if text := step.resource.Want[plan.AttrUntil].Text; text != "" {
		var err error
		if until, err = time.Parse(time.RFC3339, text); err != nil {
			return outcome{}, badRequest("%s: %q is no time", step.resource.ID, text)
		}
	}
	return outcome{made: true}, k.changeKeys(func(stored map[string]storedKey) {
		stored[step.resource.Name] = stored[step.resource.Name].replaced(hash, until, time.Now())
	})
}

// replaced is the key with another hash. The former one stays good until a
// time; zero: it does not. One that nobody was shown needs no grace, but those
// before it do: their owners wait for the new one still.
func (k storedKey) replaced(hash string, until, now time.Time) storedKey {
	if k.Hash == hash {
		return k
	}
	next := storedKey{Hash: hash}
	for _, one := range k.Former {
		if !k.Shown && until.After(one.Until) {
			one.Until = until
		}
		if one.Hash != hash && one.Until.After(now) {
			next.Former = append(next.Former, one)
		}
	}
	if k.Hash != "" && k.Shown && until.After(now) {
		next.Former = append(next.Former, formerKey{k.Hash, until})
	}
	return next
}

func (k keys) remove(_ context.Context, _ *batch, step step) error {
	return k.changeKeys(func(stored map[string]storedKey) { delete(stored, step.change.ID.Name) })
}

func (h *Host) changeKeys(change func(map[string]storedKey)) error {
	stored, err := h.loadKeys()
	if err != nil {
		return err
	}
	change(stored)
	if err := machine.SaveJSON(h.stored("keys.json"), stored); err != nil {
		return fmt.Errorf("keep keys: %w", err)
	}
	return nil
}

// markShown notes which keys their owner has been shown.
func (h *Host) markShown(names []string) error {
	if len(names) == 0 {
		return nil
	}
	return h.changeKeys(func(stored map[string]storedKey) {
		for _, name := range names {
			if key, ok := stored[name]; ok {
				key.Shown = true
				stored[name] = key
			}
		}
	})
}

func yesNo(yes bool) string {
	if yes {
		return plan.Yes
	}
	return plan.No
}
