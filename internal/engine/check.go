package engine

import (
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
)

// ErrReport means that what a host reports can't be so. Such a host is left
// out, as one that can't be reached: nothing that it said goes to another one.
var ErrReport = errors.New("it reports what can't be so")

const (
	maxFacts = 20_000 // of one host

	// What a host reports as the number of an apply counts on the others up to
	// maxNumber, so that nobody's count runs over; no apply is beyond maxLocked.
	maxNumber = 1 << 30
	maxLocked = 1 << 40
)

// checkReport says what of an observation can't be so, whatever is true of the
// host: what is known by its form.
func (h *host) checkReport(seen hostapi.Observation) *HostError {
	facts := seen.Facts
	switch {
	case !facts.Machine.IsSupported():
		return h.reports("that it is %q on %q now", short(facts.Machine.Pretty), short(facts.Machine.Arch))
	case len(facts.Resources) > maxFacts:
		return h.reports("%d things", len(facts.Resources))
	case facts.Manifest != nil && len(facts.Manifest.Hosts) > maxRemembered:
		return h.reports("that it remembers %d hosts", len(facts.Manifest.Hosts))
	case isTooLong(reflect.ValueOf(seen)):
		return h.reports("a text of more than %d KiB", plan.MaxShown>>10)
	}
	for _, fact := range facts.Resources {
		if what := badHash(fact); what != "" {
			return h.reports("%s", what)
		}
	}
	return nil
}

// checkFormers says what of an answer how things were can't be so.
func (h *host) checkFormers(told hostapi.FormerTold) *HostError {
	switch {
	case told.Last < 0 || told.Last > maxNumber:
		return h.reports("that apply %d changed it last", told.Last)
	case len(told.Formers) > maxFacts:
		return h.reports("how %d things were", len(told.Formers))
	case isTooLong(reflect.ValueOf(told)):
		return h.reports("a text of more than %d KiB", plan.MaxShown>>10)
	}
	found := map[plan.ID]bool{}
	for _, former := range told.Formers {
		id, entry := former.ID, former.Entry
		isOther := entry != nil && (entry.ID != id || entry.As != nil && entry.As.ID != id)
		if id.CheckName() != nil || found[id] || isOther {
			return h.reports("how %q was, which can't be", short(id.String()))
		}
		found[id] = true
	}
	return nil
}

// reports blames a host for what it reports.
func (t Target) reports(format string, args ...any) *HostError {
	failure := t.fail("it reports "+fmt.Sprintf(format, args...), ErrReport)
	failure.Hint = "What runs there is not what relayctl brought, or what it keeps under /var/lib/relayctl was changed: look at the host itself."
	return failure
}

// badHash says what is wrong with the hashes in a fact; empty: nothing.
func badHash(fact plan.Fact) string {
	attr := fact.Kind.Describe().Hash
	if !fact.Exists || attr == "" {
		return ""
	}
	hashes := []string{fact.Have[attr]}
	for former := range strings.FieldsSeq(fact.Have[plan.AttrFormer]) {
		hash, until, _ := strings.Cut(former, "@")
		hashes = append(hashes, hash)
		if _, err := time.Parse(time.RFC3339, until); err != nil {
			return fmt.Sprintf("%q as the time until which a former %s is good", short(until), fact.ID)
		}
	}
	for _, hash := range hashes {
		if !isHash(hash) {
			return fmt.Sprintf("%q as the hash of its %s", short(hash), fact.ID)
		}
	}
	return ""
}

// isHash reports whether a text is a SHA-256 as the relay wants it.
func isHash(text string) bool {
	raw, err := hex.DecodeString(text)
	return err == nil && len(raw) == 32 && text == strings.ToLower(text)
}

// isTooLong reports whether any text or content is longer than what is carried
// for a diff, the longest that there is a reason for.
func isTooLong(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.String:
		return v.Len() > plan.MaxShown
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return v.Len() > plan.MaxShown
		}
		for i := range v.Len() {
			if isTooLong(v.Index(i)) {
				return true
			}
		}
	case reflect.Map:
		for at := v.MapRange(); at.Next(); {
			if isTooLong(at.Key()) || isTooLong(at.Value()) {
				return true
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if isTooLong(v.Field(i)) {
				return true
			}
		}
	case reflect.Pointer:
		return !v.IsNil() && isTooLong(v.Elem())
	}
	return false
}
