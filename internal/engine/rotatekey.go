package engine

import (
	"context"
	"fmt"
	"time"

	"github.com/relayctl/relayctl/internal/desired"
	"github.com/relayctl/relayctl/internal/plan"
	"github.com/relayctl/relayctl/internal/secret"
)

// rotateKey replaces an API key. The new one is handed over before its hash is
// sent, and is good as soon as it is shown; the former one stays good for the
// grace, which the relay enforces.
func (a *apply) rotateKey(ctx context.Context, r *Rotation, did *Rotated, show func(*Outcome) error) error {
	if a.config.Keys == nil {
		return ErrNoDelivery
	}
	a.summary = "API key rotated: " + r.Key
	a.take(nil, a.quiet())
	if err := a.lockAll(ctx); err != nil {
		return err
	}
	defer a.unlockAll()
	if _, err := a.look(ctx, nil); err != nil {
		return err
	}
	if a.works[0].failure == nil {
		if err := a.replaceKey(ctx, r, did); err != nil {
			return err
		}
	}
	a.prove(ctx)
	return a.finishProxy(ctx, show)
}

// replaceKey has the proxy host and its relay take a new key.
func (a *apply) replaceKey(ctx context.Context, r *Rotation, did *Rotated) error {
	proxy := a.works[0]
	facts := a.planned.sight.seen[proxy.outcome.Name].Facts
	fact := facts.Find(plan.ID{Kind: plan.KindKey, Name: r.Key})
	if !fact.Exists {
		return fmt.Errorf("rotate the key %s: %w", r.Key, ErrNotApplied)
	}
	now, err := time.Parse(time.RFC3339, facts.Machine.Clock)
	if err != nil {
		return fmt.Errorf("rotate the key %s: read the clock of %s: %w", r.Key, proxy.outcome.Name, err)
	}
	did.Until = now.Add(r.Grace)
	key := secret.NewAPIKey()
	if err := a.config.Keys.Deliver(r.Key, key); err != nil {
		return fmt.Errorf("hand over the new key %s: %w", r.Key, err)
	}
	a.keys = append(a.keys, madeKey{name: r.Key, hash: key.Hash()})
	proxy.outcome.Steps++
	proxy.do(ctx, []plan.Change{keyChange(fact, key.Hash(), did.Until)})
	proposal, err := a.look(ctx, nil)
	if err != nil { // the key may be stored already: it is shown all the same
		proxy.stop(proxy.host.fail("work out what is left to do: "+err.Error(), err))
		return nil
	}
	a.bringOnly(ctx, proxy, proposal, func(c plan.Change) bool {
		return c.ID.Kind != plan.KindKey && desired.IsKeyRotation(r.Key, c)
	})
	if proxy.failure == nil {
		a.teller.tell(Event{Host: proxy.outcome.Name, Phase: Reached, Text: "new key made, known to the relay beside the old one"})
	}
	return nil
}

// keyChange is the step that stores the hash of a new key, and keeps the
// former one until a time.
func keyChange(fact plan.Fact, hash string, until time.Time) plan.Change {
	want := map[string]plan.Value{
		plan.AttrDigest: plan.Known(hash),
		plan.AttrUntil:  plan.Known(until.UTC().Format(time.RFC3339)),
	}
	return plan.Change{
		ID: fact.ID, Action: plan.Update, Fact: fact,
		Resource:   &plan.Resource{ID: fact.ID, Want: want},
		Attributes: []plan.AttrChange{{Name: plan.AttrDigest, Before: fact.Have[plan.AttrDigest], After: plan.Known(hash)}},
	}
}
