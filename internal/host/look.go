package host

import (
	"context"
	"fmt"

	"github.com/relayctl/relayctl/internal/host/machine"
	"github.com/relayctl/relayctl/internal/host/record"
	"github.com/relayctl/relayctl/internal/plan"
)

// look is one look at the machine: what many resources share is asked for
// once, and only when something needs it.
type look struct {
	host      *Host
	journal   *record.Journal
	manifest  *plan.Manifest
	unitNames []string // asked for together

	users    *machine.Accounts
	packages *machine.DpkgStatus
	units    map[string]machine.UnitState
	keys     map[string]storedKey
}

func (h *Host) newLook(journal *record.Journal) *look {
	return &look{host: h, journal: journal, manifest: journal.Manifest()}
}

func (l *look) accounts() (*machine.Accounts, error) {
	if l.users == nil {
		users, err := l.host.Accounts()
		if err != nil {
			return nil, err
		}
		l.users = users
	}
	return l.users, nil
}

func (l *look) dpkg(ctx context.Context) (*machine.DpkgStatus, error) {
	if l.packages == nil {
		packages, err := l.host.Dpkg(ctx)
		if err != nil {
			return nil, err
		}
		l.packages = packages
	}
	return l.packages, nil
}

func (l *look) unit(ctx context.Context, name string) (machine.UnitState, error) {
	if state, ok := l.units[name]; ok {
		return state, nil
	}
	names := append([]string{name}, l.unitNames...)
	states, err := l.host.Systemd.Units(ctx, names)
	if err != nil {
		return machine.UnitState{}, fmt.Errorf("ask systemd for units: %w", err)
	}
	l.units = make(map[string]machine.UnitState, len(names))
	for i, name := range names {
		l.units[name] = states[i]
	}
	return l.units[name], nil
}

func (l *look) storedKeys() (map[string]storedKey, error) {
	if l.keys == nil {
		keys, err := l.host.loadKeys()
		if err != nil {
			return nil, err
		}
		l.keys = keys
	}
	return l.keys, nil
}
