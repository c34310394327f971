package engine

import (
	"fmt"
	"maps"
	"slices"

	"github.com/relayctl/relayctl/internal/desired"
	"github.com/relayctl/relayctl/internal/plan"
	"github.com/relayctl/relayctl/internal/secret"
)

// madeKey is an API key that this apply made. Only its hash goes on from here.
type madeKey struct {
	name string
	hash string
}

// makesKey reports whether a change is one for which relayctl makes an API key.
func makesKey(change plan.Change) bool {
	return change.ID.Kind == plan.KindKey && change.Counts() && change.Resource != nil &&
		!change.Resource.Want[plan.AttrDigest].IsKnown()
}

// isPrepare reports whether a step belongs to the first stage.
func isPrepare(change plan.Change) bool {
	return change.Resource != nil && desired.Prepare(*change.Resource)
}

// makeKeys makes the keys that are planned and hands them over, before any
// host is told a hash: a key that nobody got must not be good.
func (j *job) makeKeys() error {
	for _, name := range j.left.keys {
		key := secret.NewAPIKey()
		if err := j.config.Keys.Deliver(name, key); err != nil {
			return fmt.Errorf("hand over the new key %s: %w", name, err)
		}
		j.keys = append(j.keys, madeKey{name: name, hash: key.Hash()})
	}
	return nil
}

// withKey fills the hash of a made key into the step that stores it.
func (j *job) withKey(change plan.Change) plan.Change {
	if !makesKey(change) {
		return change
	}
	for _, key := range j.keys {
		if key.name == change.ID.Name {
			resource := *change.Resource
			resource.Want = maps.Clone(resource.Want)
			resource.Want[plan.AttrDigest] = plan.Known(key.hash)
			change.Resource = &resource
		}
	}
	return change
}

// storedKeys lists the made keys whose hash the proxy host has taken: only those
// are good, and worth showing.
func (j *job) storedKeys() []string {
	var names []string
	for _, key := range j.keys {
		if slices.Contains(j.onProxy().stored, key.name) {
			names = append(names, key.name)
		}
	}
	return names
}
