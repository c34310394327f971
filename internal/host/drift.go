package host

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
)

// mustBeAsPlanned compares a thing with what the plan found: an edit made since is
// told and not written over.
func (b *batch) mustBeAsPlanned(todo step) error {
	expected, now := todo.Change.Fact, todo.Now
	switch {
	case b.camealong(expected, now):
		return nil
	case expected.Exists && !now.Exists:
		if todo.Change.Action == plan.Remove || now.Kind.Describe().Runs {
			return nil
		}
		return hostapi.ChangedSince(now.ID, "it is gone")
	case !expected.Exists && now.Exists:
		return hostapi.ChangedSince(now.ID, "it is there now")
	case len(now.Overrides) > 0: // what was there before is gone by now
		return hostapi.ChangedSince(now.ID, now.Overrides[0].Path+" is there now")
	case now.Kind.Describe().Runs:
		return nil // that it stopped or started by itself is what apply mends
	}
	known := map[string]string{}
	for name, value := range expected.Have {
		if _, comparable := now.Have[name]; comparable {
			known[name] = value
		}
	}
	if text := differences(known, now.Have); text != "" {
		return hostapi.ChangedSince(now.ID, text)
	}
	return nil
}

// camealong reports whether a thing that the plan didn't find was brought by
// this apply itself: packages bring users, folders, units and default files,
// and a unit's file brings the unit.
func (b *batch) camealong(expected, now plan.Fact) bool {
	if expected.Exists || !now.Exists {
		return false
	}
	if now.Kind.Describe().Runs && b.host.session.changed {
		return true
	}
	return b.host.session.brought && (now.Kind.Describe().ComesAlong || now.Pristine)
}

// differences tells which attributes are not as expected; empty: none. Text
// too long for a line is not shown.
func differences(expected, have map[string]string) string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(expected)) {
		if expected[name] == have[name] {
			continue
		}
		if name == plan.AttrContent || len(expected[name])+len(have[name]) > 80 {
			list = append(list, name+" differs")
			continue
		}
		list = append(list, fmt.Sprintf("%s is %s, not %s", name, quoteEmpty(have[name]), quoteEmpty(expected[name])))
	}
	return strings.Join(list, ", ")
}

func quoteEmpty(text string) string {
	if text == "" {
		return `""`
	}
	return text
}
