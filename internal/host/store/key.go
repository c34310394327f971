package store

import (
	"fmt"
	"time"

	"github.com/relayctl/relayctl/internal/host/machine"
)

// Key is what is kept of an API key.
type Key struct {
	Hash   string      `json:"hash"` // hex SHA-256
	Shown  bool        `json:"shown"`
	Former []FormerKey `json:"former,omitempty"` // hashes that this one replaced, good for some time more
}

// FormerKey is the hash of an API key that another one replaced.
type FormerKey struct {
	Hash  string    `json:"hash"`
	Until time.Time `json:"until"`
}

// Keys are the API keys by name.
func (s *Store) Keys() (map[string]Key, error) {
	stored := map[string]Key{}
	if _, err := machine.LoadJSON(s.Folder("keys.json"), &stored); err != nil {
		return nil, fmt.Errorf("read keys: %w", err)
	}
	return stored, nil
}

// Replaced is the key with another hash. The former one stays good until a
// time; zero: it does not. One that nobody was shown needs no grace, but those
// before it do: their owners wait for the new one still.
func (k Key) Replaced(hash string, until, now time.Time) Key {
	if k.Hash == hash {
		return k
	}
	next := Key{Hash: hash}
	for _, one := range k.Former {
		if !k.Shown && until.After(one.Until) {
			one.Until = until
		}
		if one.Hash != hash && one.Until.After(now) {
			next.Former = append(next.Former, one)
		}
	}
	if k.Hash != "" && k.Shown && until.After(now) {
		next.Former = append(next.Former, FormerKey{k.Hash, until})
	}
	return next
}

// ChangeKeys changes what is kept of API keys.
func (s *Store) ChangeKeys(change func(map[string]Key)) error {
	stored, err := s.Keys()
	if err != nil {
		return err
	}
	change(stored)
	if err := machine.SaveJSON(s.Folder("keys.json"), stored); err != nil {
		return fmt.Errorf("keep keys: %w", err)
	}
	return nil
}

// MarkShown notes which keys their owner has been shown.
func (s *Store) MarkShown(names []string) error {
	if len(names) == 0 {
		return nil
	}
	return s.ChangeKeys(func(stored map[string]Key) {
		for _, name := range names {
			if key, ok := stored[name]; ok {
				key.Shown = true
				stored[name] = key
			}
		}
	})
}
