package desired

import (
	"slices"
	"strings"
	"time"

	"github.com/relayctl/relayctl/internal/plan"
	"github.com/relayctl/relayctl/internal/stack"
)

// Rotation is how far the rotation of a worker's secret is to go. What is
// between is told by facts alone: a host that has a next secret is in the
// middle of one, and its relay takes both until there is one again.
type Rotation int

// The stages, in their order. Each is a state of all hosts that can be kept.
const (
	// RotateKeep leaves a rotation as it is found.
	RotateKeep Rotation = iota
	// RotateBegin has the host make the next secret, and the relay take it
	// beside the present one.
	RotateBegin
	// RotateSwitch has the worker use the next secret.
	RotateSwitch
	// RotateEnd puts the next secret in the place of the present one.
	RotateEnd
)

// Rotates reports whether a change belongs to the rotation of a worker's
// secret, on the worker's host or on the proxy.
func Rotates(worker string, change plan.Change) bool {
	switch change.ID {
	case workerSecretID, workerNextID,
		fileID(workerSecretPath),
		fileID(workerEntryPath(worker)):
		return change.Action != plan.Attention
	case unitID(workerUnit), unitID(serverUnit):
		return change.Action == plan.Reload
	}
	return false
}

// IsKeyRotation reports whether a change belongs to the rotation of an API
// key.
func IsKeyRotation(name string, change plan.Change) bool {
	switch change.ID {
	case keyID(name), fileID(keysPath):
		return change.Action != plan.Attention
	case unitID(serverUnit):
		return change.Action == plan.Reload
	}
	return false
}

// Rotating tells from facts which secrets of a worker the relay knows or is
// about to: the hash of the present one, and that of the next one, empty where
// no rotation is under way.
type Rotating struct {
	Present, Next string
	// Former are hashes that the relay still takes and the worker has no
	// secret for any more: a rotation ended before they were revoked.
	Former []string
}

// Unfinished reports whether there is something to finish.
func (r Rotating) Unfinished() bool { return r.Next != "" || len(r.Former) > 0 }

// RotationOf tells how far the rotation of a worker's secret is.
func RotationOf(in Input, worker string) Rotating {
	m, host := made{in}, in.hostOf(worker)
	state := Rotating{Present: m.attribute(host, workerSecretID, plan.AttrPublic).Text, Next: m.nextHash(worker)}
	if _, looked := in.Hosts[host]; !looked {
		return state
	}
	for _, hash := range m.standingHashes(worker) {
		if hash != state.Present && hash != state.Next {
			state.Former = append(state.Former, hash)
		}
	}
	return state
}

// nextHash is the hash of the secret that is to follow; empty: none is.
func (m made) nextHash(worker string) string {
	return m.attribute(m.in.hostOf(worker), workerNextID, plan.AttrPublic).Text
}

// workerSecrets are those that a worker's host keeps.
func (m made) workerSecrets(worker string) []plan.Resource {
	stage, next := m.in.Rotate[worker], m.nextHash(worker)
	switch {
	case stage == RotateEnd && next != "":
		want := map[string]plan.Value{plan.AttrPublic: plan.Known(next)}
		return []plan.Resource{{ID: workerSecretID, Want: want, From: &workerNextID}}
	case stage == RotateBegin || next != "":
		return []plan.Resource{{ID: workerSecretID}, {ID: workerNextID}}
	}
	return []plan.Resource{{ID: workerSecretID}}
}

// usedSecret is the secret that the worker's own file holds: the one that it
// is found to hold, unless a rotation is to go on to the next.
func (m made) usedSecret(worker string) plan.ID {
	if m.nextHash(worker) == "" {
		return workerSecretID
	}
	stage, host := m.in.Rotate[worker], m.in.hostOf(worker)
	file := m.attribute(host, fileID(workerSecretPath), plan.AttrContent)
	if stage == RotateSwitch || stage == RotateEnd || file == m.attribute(host, workerNextID, plan.AttrMAC) {
		return workerNextID
	}
	return workerSecretID
}

// formerKeys are the keys that an API key replaced and that are still good by
// the proxy host's own clock.
func (m made) formerKeys(k *stack.APIKey) []formerKey {
	facts := m.in.Hosts[m.in.Stack.Proxy.Name].Facts
	now, err := time.Parse(time.RFC3339, facts.Machine.Clock)
	if err != nil || !k.Value.IsZero() {
		return nil // a host always tells its time
	}
	var former []formerKey
	for text := range strings.FieldsSeq(facts.Find(keyID(k.Name)).Have[plan.AttrFormer]) {
		hash, until, _ := strings.Cut(text, "@")
		if end, err := time.Parse(time.RFC3339, until); err == nil && end.After(now) {
			former = append(former, formerKey{hash, end.UTC()})
		}
	}
	slices.SortFunc(former, func(a, b formerKey) int { return strings.Compare(a.Hash, b.Hash) })
	return former
}
