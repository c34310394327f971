package store

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/relayctl/relayctl/internal/host/machine"
	"github.com/relayctl/relayctl/internal/secret"
)

// Secret wraps fs.ErrNotExist when there is none.
func (s *Store) Secret(name string) (secret.Value, error) {
	content, err := os.ReadFile(s.Folder("secrets", name))
	if err != nil {
		return secret.Value{}, fmt.Errorf("read secret: %w", err)
	}
	token := strings.TrimSuffix(string(content), "\n")
	if token == "" {
		return secret.Value{}, fmt.Errorf("read secret %s: it is empty", name)
	}
	return secret.New(token), nil
}

// SecretFile is a secret as a file holds it: one line.
func SecretFile(token secret.Value) []byte { return []byte(token.Reveal() + "\n") }

// KeepSecret keeps a secret under a name.
func (s *Store) KeepSecret(name string, token secret.Value) error {
	if err := machine.WriteAtomically(s.Folder("secrets", name), SecretFile(token), 0o600); err != nil {
		return fmt.Errorf("keep secret: %w", err)
	}
	return nil
}

// ReplaceSecret puts another secret in the place of one. That is one rename, so
// that an end at any moment leaves both or the other one alone.
func (s *Store) ReplaceSecret(name, by string) error {
	path := s.Folder("secrets", name)
	if err := os.Rename(s.Folder("secrets", by), path); err != nil {
		return fmt.Errorf("take over secret: %w", err)
	}
	return machine.SyncDir(filepath.Dir(path))
}

// RemoveSecret removes a secret, if there is one.
func (s *Store) RemoveSecret(name string) error {
	return machine.RemoveIfThere(s.Folder("secrets", name))
}
