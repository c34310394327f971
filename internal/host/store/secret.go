package store

import (
	"fmt"
	"os"
	"strings"

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
