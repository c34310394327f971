package kind

import (
	"context"
	"fmt"
	"strings"

	"github.com/relayctl/relayctl/internal/host/machine"
	"github.com/relayctl/relayctl/internal/host/record"
	"github.com/relayctl/relayctl/internal/host/store"
	"github.com/relayctl/relayctl/internal/plan"
)

// Look is one look at the machine: what many resources share is asked for
// once, and only when something needs it.
type Look struct {
	Kinds    Kinds
	Machine  *machine.Machine
	Store    *store.Store
	Journal  *record.Journal
	Manifest *plan.Manifest
	Units    []string // asked for together

	users    *machine.Accounts
	packages *machine.DpkgStatus
	units    map[string]machine.UnitState
	keys     map[string]store.Key
}

// Observe looks at one thing.
func (l *Look) Observe(ctx context.Context, resource plan.Resource) (plan.Fact, error) {
	if err := l.Kinds.CheckName(resource.ID); err != nil {
		return plan.Fact{}, err
	}
	fact := plan.Fact{ID: resource.ID, Applied: record.Find(l.Manifest, resource.ID)}
	// A secret file stays one when it has left the stack.
	if fact.Applied != nil && strings.HasPrefix(fact.Applied.Have[plan.AttrContent], plan.MACPrefix) {
		resource.Sensitive = true
	}
	if err := l.Kinds[resource.Kind].Observe(ctx, l, resource, &fact); err != nil {
		return plan.Fact{}, fmt.Errorf("look at %s: %w", resource.ID, err)
	}
	return fact, nil
}

func (l *Look) accounts() (*machine.Accounts, error) {
	if l.users == nil {
		users, err := l.Machine.Accounts()
		if err != nil {
			return nil, err
		}
		l.users = users
	}
	return l.users, nil
}

func (l *Look) dpkg(ctx context.Context) (*machine.DpkgStatus, error) {
	if l.packages == nil {
		packages, err := l.Machine.Dpkg(ctx)
		if err != nil {
			return nil, err
		}
		l.packages = packages
	}
	return l.packages, nil
}

func (l *Look) unit(ctx context.Context, name string) (machine.UnitState, error) {
	if state, ok := l.units[name]; ok {
		return state, nil
	}
	names := append([]string{name}, l.Units...)
	states, err := l.Machine.Systemd.Units(ctx, names)
	if err != nil {
		return machine.UnitState{}, fmt.Errorf("ask systemd for units: %w", err)
	}
	l.units = make(map[string]machine.UnitState, len(names))
	for i, name := range names {
		l.units[name] = states[i]
	}
	return l.units[name], nil
}

func (l *Look) storedKeys() (map[string]store.Key, error) {
	if l.keys == nil {
		keys, err := l.Store.Keys()
		if err != nil {
			return nil, err
		}
		l.keys = keys
	}
	return l.keys, nil
}
