package kind

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"github.com/relayctl/relayctl/internal/host/machine"
	"github.com/relayctl/relayctl/internal/host/store"
	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
)

// authorities are certificate authorities that may sign for one name.
type authorities struct {
	*machine.Machine
	store *store.Store
}

func (a authorities) Observe(_ context.Context, _ *Look, resource plan.Resource, fact *plan.Fact) error {
	ca, err := a.store.Authority(resource.Name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	mac, err := a.store.Digest(ca.Key, true)
	if err != nil {
		return err
	}
	fact.Exists = true
	fact.Have = map[string]string{
		plan.AttrDomain: ca.Domain, plan.AttrPublic: string(ca.Root),
		plan.AttrMAC: mac, plan.AttrNotAfter: ca.Expires.UTC().Format(time.RFC3339),
	}
	return nil
}

// Bring makes a root.
func (a authorities) Bring(_ context.Context, step *Step) (Outcome, error) {
	domain := step.Resource.Want[plan.AttrDomain].Text
	if domain == "" {
		return Outcome{}, hostapi.BadRequest("%s: no domain to sign for", step.Resource.ID)
	}
	ca, err := store.NewAuthority(step.Apply.Stack, domain, time.Now())
	if err != nil {
		return Outcome{}, err
	}
	return Outcome{Made: true}, machine.WriteAtomically(a.place(step.Resource.Name), append(ca.Key, ca.Root...), 0o600)
}

func (a authorities) Remove(_ context.Context, step *Step) (Outcome, error) {
	return Outcome{}, machine.RemoveIfThere(a.place(step.Change.ID.Name))
}

// Keep keeps a root that is about to go: somebody may still have to answer for
// what it signed.
func (a authorities) Keep(step *Step) (string, error) {
	return a.store.Keep(store.AuthorityPath(step.Change.ID.Name), step.Apply.Number)
}

func (a authorities) place(name string) string { return a.Path(store.AuthorityPath(name)) }
