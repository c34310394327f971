package relay

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/relayctl/relayctl/internal/secret"
)

// key is an API key as requests are held to it.
type key struct {
	name    string
	hash    string   // by which it was found; "" for everybody
	models  []string // nil: all
	expires time.Time
	probe   bool
}

// allows reports whether the key may use model.
func (k *key) allows(model string) bool {
	return k.models == nil || slices.Contains(k.models, model)
}

// keyring finds keys and workers by the hash of what was presented. The lookup
// is by hash and so tells nothing about how near a guess came.
type keyring struct {
	keys    map[string]*key
	workers map[string]*WorkerFile
	open    bool
}

func newKeyring(s *Settings) *keyring {
	r := &keyring{keys: make(map[string]*key), workers: make(map[string]*WorkerFile), open: s.Open}
	for _, entry := range s.Keys {
		for _, hash := range append([]FormerKey{{Hash: entry.Hash}}, entry.Former...) {
			whole, err := expiry(entry.Expires)
			until, ofHash := expiry(hash.Expires)
			if err == nil && ofHash == nil { // settings are checked before they come here
				r.keys[hash.Hash] = &key{name: entry.Name, hash: hash.Hash, models: entry.Models, expires: sooner(whole, until), probe: entry.Probe}
			}
		}
	}
	for i := range s.Workers {
		for _, hash := range s.Workers[i].Hashes {
			r.workers[hash] = &s.Workers[i]
		}
	}
	return r
}

// sooner is the end that comes first; a zero end never comes.
func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// anonymous is who everybody is at a relay without keys.
var anonymous = &key{name: "anonymous"}

// client finds whose key the request carries.
func (r *keyring) client(h http.Header, now time.Time) (*key, *failure) {
	if r.open {
		return anonymous, nil
	}
	presented, err := presentedKey(h)
	if err != nil {
		return nil, err
	}
	return r.byHash(presented.Hash(), now)
}

// byHash finds the key that hashes to hash.
func (r *keyring) byHash(hash string, now time.Time) (*key, *failure) {
	k := r.keys[hash]
	switch {
	case r.open:
		return anonymous, nil
	case k == nil:
		return nil, errWrongKey
	case !k.expires.IsZero() && !now.Before(k.expires):
		return nil, errExpiredKey
	}
	return k, nil
}

// worker finds whose secret the request carries, and its hash; nil where it is
// nobody's.
func (r *keyring) worker(h http.Header) (*WorkerFile, string) {
	presented, ok := bearer(h)
	if !ok {
		return nil, ""
	}
	hash := presented.Hash()
	return r.workers[hash], hash
}

// presentedKey is the key in Authorization or X-Api-Key. Both may be there
// when they agree: it must be plain which one counts.
func presentedKey(h http.Header) (secret.Value, *failure) {
	token, hasToken := bearer(h)
	values := h.Values("X-Api-Key")
	switch {
	case len(h.Values("Authorization")) > 0 && !hasToken, len(values) > 1:
		return secret.Value{}, errWrongKey
	case len(values) == 0 && !hasToken:
		return secret.Value{}, errNoKey
	case len(values) == 0:
		return token, nil
	}
	plain := secret.New(trimmed(values[0]))
	switch {
	case plain.IsZero():
		return secret.Value{}, errNoKey
	case hasToken && plain.Hash() != token.Hash():
		return secret.Value{}, errWrongKey
	}
	return plain, nil
}

// bearer is the token of one Authorization: Bearer.
func bearer(h http.Header) (secret.Value, bool) {
	values := h.Values("Authorization")
	if len(values) != 1 {
		return secret.Value{}, false
	}
	scheme, token, ok := strings.Cut(values[0], " ")
	token = trimmed(token)
	if !ok || !strings.EqualFold(scheme, "Bearer") || token == "" {
		return secret.Value{}, false
	}
	return secret.New(token), true
}

// trimmed is a value without the blanks that HTTP allows around it, and no
// others: those beyond ASCII are a part of what was presented.
func trimmed(value string) string { return strings.Trim(value, " \t") }
