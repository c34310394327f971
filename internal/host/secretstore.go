package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/relayctl/relayctl/internal/host/machine"
	"github.com/relayctl/relayctl/internal/plan"
	"github.com/relayctl/relayctl/internal/secret"
)

// secrets are tokens that are made on this machine and never leave it.
type secrets struct{ *Host }

func (s secrets) observe(_ context.Context, _ *look, resource plan.Resource, fact *plan.Fact) error {
	token, err := s.loadSecret(resource.Name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	mac, err := s.digest(secretFile(token), true)
	if err != nil {
		return err
	}
	fact.Exists = true
	fact.Have = map[string]string{plan.AttrPublic: token.Hash(), plan.AttrMAC: mac}
	return nil
}

func (s secrets) bring(_ context.Context, _ *batch, step step) (outcome, error) {
	if step.resource.From != nil {
		return outcome{made: true}, s.succeed(step.resource)
	}
	path := s.stored("secrets", step.resource.Name)
	if err := machine.WriteAtomically(path, secretFile(secret.NewToken()), 0o600); err != nil {
		return outcome{}, fmt.Errorf("keep secret: %w", err)
	}
	return outcome{made: true}, nil
}

// succeed puts another secret in the place of one. That is one rename, so that
// an end at any moment leaves both or the other one alone.
func (s secrets) succeed(resource plan.Resource) error {
	if resource.From.Kind != plan.KindSecret {
		return badRequest("no secret is made from %s", resource.From)
	}
	if err := checkName(*resource.From); err != nil {
		return err
	}
	next, err := s.loadSecret(resource.From.Name)
	if err != nil {
		return fmt.Errorf("take over secret: %w", err)
	}
	if next.Hash() != resource.Want[plan.AttrPublic].Text {
		return changedSince(*resource.From, "it is another secret")
	}
	path := s.stored("secrets", resource.Name)
	if err := os.Rename(s.stored("secrets", resource.From.Name), path); err != nil {
		return fmt.Errorf("take over secret: %w", err)
	}
	return machine.SyncDir(filepath.Dir(path))
}

func (s secrets) remove(_ context.Context, _ *batch, step step) error {
	return machine.RemoveIfThere(s.stored("secrets", step.change.ID.Name))
}

// loadSecret wraps fs.ErrNotExist when there is none.
func (h *Host) loadSecret(name string) (secret.Value, error) {
	content, err := os.ReadFile(h.stored("secrets", name))
	if err != nil {
		return secret.Value{}, fmt.Errorf("read secret: %w", err)
	}
	token := strings.TrimSuffix(string(content), "\n")
	if token == "" {
		return secret.Value{}, fmt.Errorf("read secret %s: it is empty", name)
	}
	return secret.New(token), nil
}

// secretFile is a secret as a file holds it: one line.
func secretFile(token secret.Value) []byte { return []byte(token.Reveal() + "\n") }
