package engine

import (
	"context"
	"fmt"

	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
)

// looker is all that planning gets of a host: it can't change anything.
type looker interface {
	// look observes resources, and whatever the host's manifest names.
	look(ctx context.Context, resources []plan.Resource) (hostapi.Observation, *HostError)
	// relayStatus asks the relay on the host how it is.
	relayStatus(ctx context.Context) (relayStatus, error)
}

// look implements looker. What is not in form is refused, before anything is
// made of it.
func (h *host) look(ctx context.Context, resources []plan.Resource) (hostapi.Observation, *HostError) {
	seen, err := h.client.Observe(ctx, hostapi.Observe{Resources: resources})
	if err != nil {
		return seen, h.requestError(ctx, "look at the host", err)
	}
	return seen, h.checkReport(seen)
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
