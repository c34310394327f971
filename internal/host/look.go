package host

import (
	"context"
	"fmt"

	"github.com/relayctl/relayctl/internal/plan"
)

// look is one look at the machine: what many resources share is asked for
// once, and only when something needs it.
type look struct {
	host      *Host
	manifest  *plan.Manifest
	unitNames []string // asked for together

	users    *accounts
	packages *dpkgStatus
	units    map[string]UnitState
	keys     map[string]storedKey
}

func (h *Host) newLook(manifest *plan.Manifest) *look {
	return &look{host: h, manifest: manifest}
}

func (l *look) accounts() (*accounts, error) {
	if l.users == nil {
		users, err := l.host.accounts()
		if err != nil {
			return nil, err
		}
		l.users = users
	}
	return l.users, nil
}

// dpkg asks for all packages at once: that is as quick as asking for one.
func (l *look) dpkg(ctx context.Context) (*dpkgStatus, error) {
	if l.packages == nil {
		output, err := l.host.runner.Run(ctx, Command{Name: "dpkg-query", Args: []string{"-W", "-f", dpkgFormat}})
		if err != nil {
			return nil, fmt.Errorf("ask for packages: %w", err)
		}
		l.packages = parseDpkg(string(output))
	}
	return l.packages, nil
}

func (l *look) unit(ctx context.Context, name string) (UnitState, error) {
	if state, ok := l.units[name]; ok {
		return state, nil
	}
	names := append([]string{name}, l.unitNames...)
	states, err := l.host.systemd.Units(ctx, names)
	if err != nil {
		return UnitState{}, fmt.Errorf("ask systemd for units: %w", err)
	}
	l.units = make(map[string]UnitState, len(names))
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
