package engine

import (
	"context"
	"time"

	"github.com/relayctl/relayctl/internal/desired"
	"github.com/relayctl/relayctl/internal/plan"
)

// keyRotation replaces an API key. The new one is handed over before its hash is
// sent, and is good as soon as it is shown; the former one stays good for the
// grace, which the relay enforces.
type keyRotation struct {
	*job
	RotateRequest
	rotated *Rotated
}

func (r *keyRotation) stages() []stage {
	r.summary = "API key rotated: " + r.Key
	proxy := r.parts[:1]
	isKey := func(_ *hostApply, c plan.Change) bool { return c.ID.Kind == plan.KindKey && c.ID.Name == r.Key }
	isOfKey := func(_ *hostApply, c plan.Change) bool {
		return c.ID.Kind != plan.KindKey && desired.IsKeyRotation(r.Key, c)
	}
	replaced := func(context.Context) bool {
		r.teller.tell(Event{Host: r.onProxy().outcome.Name, Phase: Reached, Text: "new key made, known to the relay beside the old one"})
		return true
	}
	return []stage{
		{hosts: proxy, propose: r.replaceKey, only: isKey},
		{hosts: proxy, propose: func() (*proposal, error) { return r.planned.propose(true) }, only: isOfKey},
		{gate: replaced},
		{gate: r.prove},
	}
}

// replaceKey proposes to store the hash of the key that was made, and to keep
// the former one until its grace ends.
func (r *keyRotation) replaceKey() (*proposal, error) {
	made, err := r.planned.propose(true)
	if err != nil {
		return nil, err
	}
	proxy := r.onProxy().host
	r.rotated.Until = time.Now().Add(proxy.clockOff + r.Grace)
	fact := r.planned.observed.seen[proxy.Name].Facts.Find(plan.ID{Kind: plan.KindKey, Name: r.Key})
	hash := plan.Known(r.keys[r.Key])
	step := plan.Change{
		ID: fact.ID, Action: plan.Update, Fact: fact,
		Resource: &plan.Resource{ID: fact.ID, Want: map[string]plan.Value{
			plan.AttrDigest: hash, plan.AttrUntil: plan.Known(r.rotated.Until.UTC().Format(time.RFC3339)),
		}},
		Attributes: []plan.AttrChange{{Name: plan.AttrDigest, Before: fact.Have[plan.AttrDigest], After: hash}},
	}
	for i := range made.Hosts {
		if made.Hosts[i].Name == proxy.Name {
			made.Hosts[i].Changes = append(made.Hosts[i].Changes, step)
		}
	}
	return made, nil
}
