package engine

import (
	"context"
	"fmt"
	"maps"

	"github.com/relayctl/relayctl/internal/desired"
	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
)

// look observes resources, and whatever the host's manifest names. What is not in
// form is refused, before anything is made of it.
func (h *host) look(ctx context.Context, resources []plan.Resource) (hostapi.Observation, *HostError) {
	seen, err := h.client.Observe(ctx, hostapi.Observe{Resources: resources})
	if err != nil {
		return seen, h.requestError(ctx, "look at the host", err)
	}
	return seen, h.checkReport(seen)
}

// observed is what was seen of the hosts, and why some were not.
type observed struct {
	seen   map[string]hostapi.Observation
	failed map[string]*HostError
}

// lookAll looks at hosts side by side and adds what it saw to what was observed.
func (s *Session) lookAll(ctx context.Context, v *observed, names []string, want map[string][]plan.Resource) {
	seen, failed := askAll(s, names, func(h *host) (hostapi.Observation, *HostError) { return h.look(ctx, want[h.Name]) })
	maps.Copy(v.seen, seen)
	for _, failure := range failed {
		v.drop(failure)
	}
}

// drop takes a host out of what was observed because of a failure.
func (v *observed) drop(failure *HostError) {
	delete(v.seen, failure.Host)
	v.failed[failure.Host] = failure
}

// input is what was seen, as desired states follow from it.
func (v *observed) input(p proposer) desired.Input {
	in := p.blind()
	in.Hosts, in.Rotate, in.Prepared = map[string]desired.Seen{}, p.rotate, p.prepared
	for name, seen := range v.seen {
		in.Hosts[name] = desired.Seen{Facts: seen.Facts, MACKey: seen.MACKey}
	}
	return in
}

// refuseFalse takes hosts out of what was observed whose reports are in form and still
// must not become other hosts' files: a root that could sign for more than the
// stack's domain, and a worker's hash that stands for somebody else.
func (v *observed) refuseFalse(p proposer) {
	proxy := p.stack.Proxy
	ca := v.seen[proxy.Name].Facts.Find(internalCA)
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
func (v *observed) unmade(p proposer, hosts []desired.Host) (blamed []*HostError) {
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

// refuseManifest says why a host that relayctl was applied to before may not
// be worked on for this stack.
func (t Target) refuseManifest(manifest *plan.Manifest, stackName, version string) *HostError {
	switch {
	case manifest == nil:
		return nil
	case manifest.Stack != stackName:
		failure := t.fail(fmt.Sprintf("it belongs to the stack %q, not to %q", manifest.Stack, stackName), ErrOtherStack)
		failure.Hint = fmt.Sprintf("A host has one stack. To move it, take it out of the file of %q and apply that first.", manifest.Stack)
		return failure
	case newer(manifest.Version, version):
		failure := t.fail(fmt.Sprintf("relayctl %s applied to it, which is newer than this %s", manifest.Version, version), ErrNewer)
		failure.Hint = fmt.Sprintf("Use relayctl %s or later.", manifest.Version)
		return failure
	}
	return nil
}
