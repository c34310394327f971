package engine

import (
	"encoding/hex"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/relayctl/relayctl/internal/desired"
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

// refuseFalse takes hosts out of the sight whose reports are in form and still
// must not become other hosts' files: a root that could sign for more than the
// stack's domain, and a worker's hash that stands for somebody else.
func (v *sight) refuseFalse(p proposer) {
	proxy := p.stack.Proxy
	ca := v.seen[proxy.Name].Facts.Find(plan.ID{Kind: plan.KindCA, Name: plan.CAInternal})
	if ca.Exists && ca.Have[plan.AttrDomain] == proxy.Domain {
		switch root, err := onlyRoot(ca.Have[plan.AttrPublic], proxy.Domain); {
		case err != nil:
			v.drop(targetOf(&proxy.Host).fail(err.Error(), fmt.Errorf("%w: %w", ErrReport, err)))
		case root != ca.Have[plan.AttrPublic]:
			v.drop(targetOf(&proxy.Host).reports("more than a certificate as its root"))
		}
	}
	for clashes := desired.Clashes(v.input(p)); len(clashes) > 0; clashes = desired.Clashes(v.input(p)) {
		for _, clash := range clashes {
			v.drop(p.target(clash.Host).reports("a hash of its worker's secret that is the one of %s", clash.With))
		}
	}
}

// target is a host of the stack by its name.
func (p proposer) target(name string) Target {
	for _, h := range p.stack.Hosts() {
		if h.Name == name {
			return targetOf(h)
		}
	}
	return Target{Member: plan.Member{Name: name}}
}

// unmade blames the hosts that were prepared, and still have not made what
// files of others wait for; none: all have.
func (v *sight) unmade(p proposer, hosts []desired.Host) (blamed []*HostError) {
	for _, h := range hosts {
		for _, resource := range h.Want {
			for _, value := range resource.Want {
				_, seen := v.seen[value.MadeOn]
				if !value.IsKnown() && seen && value.MadeOn != h.Name {
					failure := p.target(value.MadeOn).fail(fmt.Sprintf("it has not made what %s of %s waits for", resource.ID, h.Name), ErrReport)
					blamed = append(blamed, failure)
				}
			}
		}
	}
	return blamed
}
