package engine

import (
	"fmt"
	"maps"

	"github.com/relayctl/relayctl/internal/plan"
	"github.com/relayctl/relayctl/internal/secret"
)

// makesKey reports whether a change is one for which relayctl makes an API key.
func makesKey(change plan.Change) bool {
	return change.ID.Kind == plan.KindKey && change.Counts() && change.Resource != nil &&
		!change.Resource.Want[plan.AttrDigest].IsKnown()
}

// makeKeys makes the keys that are planned and hands them over, before any
// host is told a hash: a key that nobody got must not be good.
func (j *job) makeKeys() error {
	for _, name := range j.left.keys {
		key := secret.NewAPIKey()
		if err := j.config.Keys.Deliver(name, key); err != nil {
			return fmt.Errorf("hand over the new key %s: %w", name, err)
		}
		j.keys[name] = key.Hash()
	}
	return nil
}

// withKey fills the hash of a made key into the step that stores it.
func (j *job) withKey(change plan.Change) plan.Change {
	if !makesKey(change) {
		return change
	}
	if hash, made := j.keys[change.ID.Name]; made {
		resource := *change.Resource
		resource.Want = maps.Clone(resource.Want)
		resource.Want[plan.AttrDigest] = plan.Known(hash)
		change.Resource = &resource
	}
	return change
}

// storedKeys lists the made keys whose hash the proxy host has taken: only those
// are good, and worth showing.
func (j *job) storedKeys() []string {
	var names []string
	for _, name := range j.onProxy().stored {
		if j.keys[name] != "" {
			names = append(names, name)
		}
	}
	return names
}
