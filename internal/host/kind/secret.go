package kind

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/relayctl/relayctl/internal/host/machine"
	"github.com/relayctl/relayctl/internal/host/store"
	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
	"github.com/relayctl/relayctl/internal/secret"
)

// secrets are tokens that are made on this machine and never leave it.
type secrets struct{ store *store.Store }

func (s secrets) Observe(_ context.Context, _ *Look, resource plan.Resource, fact *plan.Fact) error {
	token, err := s.store.Secret(resource.Name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	mac, err := s.store.Digest(store.SecretFile(token), true)
	if err != nil {
		return err
	}
	fact.Exists = true
	fact.Have = map[string]string{plan.AttrPublic: token.Hash(), plan.AttrMAC: mac}
	return nil
}

func (s secrets) Bring(_ context.Context, step *Step) (Outcome, error) {
	if step.Resource.From != nil {
		return Outcome{Made: true}, s.succeed(step.Resource)
	}
	return Outcome{Made: true}, machine.WriteAtomically(s.place(step.Resource.Name), store.SecretFile(secret.NewToken()), 0o600)
}

// succeed puts the secret that a resource is filled from in its place. That is one
// rename, so that an end at any moment leaves both or the other one alone.
func (s secrets) succeed(resource plan.Resource) error {
	if resource.From.Kind != plan.KindSecret {
		return hostapi.BadRequest("no secret is made from %s", resource.From)
	}
	if err := checkName(*resource.From); err != nil {
		return err
	}
	next, err := s.store.Secret(resource.From.Name)
	if err != nil {
		return fmt.Errorf("take over secret: %w", err)
	}
	if next.Hash() != resource.Want[plan.AttrPublic].Text {
		return hostapi.ChangedSince(*resource.From, "it is another secret")
	}
	path := s.place(resource.Name)
	if err := os.Rename(s.place(resource.From.Name), path); err != nil {
		return fmt.Errorf("take over secret: %w", err)
	}
	return machine.SyncDir(filepath.Dir(path))
}

func (s secrets) Remove(_ context.Context, step *Step) (Outcome, error) {
	return Outcome{}, machine.RemoveIfThere(s.place(step.Change.ID.Name))
}

func (s secrets) place(name string) string { return s.store.Folder("secrets", name) }
