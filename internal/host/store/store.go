// Package store is what a host keeps of its own beside its journal: the key for
// digests of what is secret, what was put, what stood in the place of what is ours
// now, and the secrets, hashes of keys and certificate authorities that files are
// made from.
package store

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/relayctl/relayctl/internal/host/machine"
	"github.com/relayctl/relayctl/internal/host/record"
	"github.com/relayctl/relayctl/internal/plan"
)

// Store is what one host keeps, under plan.StoreDir.
type Store struct {
	*machine.Machine
	macKey []byte // made or read on first use
}

// New returns the store of a machine.
func New(of *machine.Machine) *Store { return &Store{Machine: of} }

// Folder is where something of the store is kept, for this process.
func (s *Store) Folder(parts ...string) string {
	return s.Path(filepath.Join(append([]string{plan.StoreDir}, parts...)...))
}

const macKeySize = 32 // bytes

// MACKey is the key for the digests of what is secret. Looking never saves one:
// KeepMACKey does, on the first change.
func (s *Store) MACKey() ([]byte, error) {
	if s.macKey != nil {
		return s.macKey, nil
	}
	key, err := os.ReadFile(s.Folder("mac.key"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		key = make([]byte, macKeySize)
		rand.Read(key)
	case err != nil:
		return nil, fmt.Errorf("read key for digests: %w", err)
	case len(key) != macKeySize:
		return nil, fmt.Errorf("read key for digests: %d bytes instead of %d", len(key), macKeySize)
	}
	s.macKey = key
	return key, nil
}

// KeepMACKey keeps the key for digests, unless there is one.
func (s *Store) KeepMACKey() error {
	key, err := s.MACKey()
	if err != nil {
		return err
	}
	if _, err := os.Stat(s.Folder("mac.key")); err == nil {
		return nil
	}
	if err := machine.WriteAtomically(s.Folder("mac.key"), key, 0o600); err != nil {
		return fmt.Errorf("keep key for digests: %w", err)
	}
	return nil
}

// Digest is plan.Digest of content, or its MACPrefix form when it is sensitive.
func (s *Store) Digest(content []byte, sensitive bool) (string, error) {
	if !sensitive {
		return plan.Digest(content), nil
	}
	sum, err := s.Hasher(plan.MACPrefix)
	if err != nil {
		return "", err
	}
	sum.Write(content)
	return plan.MACPrefix + hex.EncodeToString(sum.Sum(nil)), nil
}

// Hasher makes digests of the sort that one belongs to: its prefix tells.
func (s *Store) Hasher(digest string) (hash.Hash, error) {
	if !strings.HasPrefix(digest, plan.MACPrefix) {
		return sha256.New(), nil
	}
	key, err := s.MACKey()
	if err != nil {
		return nil, err
	}
	return hmac.New(sha256.New, key), nil
}

// Begin makes the store ready for an apply: another conversation may have kept a
// key since this one looked, or have left blobs.
func (s *Store) Begin() error {
	if _, err := os.Stat(s.Folder("mac.key")); err == nil {
		s.macKey = nil
	}
	return s.SweepBlobs()
}

// Forget removes all that is kept, but for the record and its lock, and originals
// that are nowhere else: they are not ours. With keepTrust stays what clients trust
// and are known by, too.
func (s *Store) Forget(journal *record.Journal, keepTrust bool) error {
	entries, err := os.ReadDir(s.Folder())
	if err != nil {
		return fmt.Errorf("list store: %w", err)
	}
	for _, entry := range entries {
		switch name := entry.Name(); name {
		case "generations", "lock", record.Name:
			continue
		case "ca", "keys.json":
			if keepTrust && s.holdsTrust(name) {
				continue
			}
		}
		if err := os.RemoveAll(s.Folder(entry.Name())); err != nil {
			return fmt.Errorf("remove store: %w", err)
		}
	}
	s.macKey = nil
	return s.forgetGenerations(journal)
}

// holdsTrust reports whether there is anything in what is kept of the CA or of
// keys.
func (s *Store) holdsTrust(name string) bool {
	if name == "ca" {
		entries, err := os.ReadDir(s.Folder(name))
		return err == nil && len(entries) > 0
	}
	keys, err := s.Keys()
	return err == nil && len(keys) > 0
}
