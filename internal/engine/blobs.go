package engine

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
)

// putsAtOnce is how many blobs are on their way to one host, so that many
// small files cost few round trips.
const putsAtOnce = 16

// blob is content on its way to a host.
type blob struct {
	digest   string
	encoding hostapi.Encoding
	encoded  []byte
}

// blobs returns how to find the content that a host's step needs.
func (j *job) blobs(a *hostApply) func(digest string) (blob, error) {
	return func(digest string) (blob, error) {
		content, ok := j.left.desired[a.at].Blobs[digest]
		if !ok {
			return blob{}, fmt.Errorf("nothing has the digest %s", digest)
		}
		if content.Program() == "" {
			return blob{digest: digest, encoded: content.Reveal()}, nil
		}
		packed, err := j.config.Programs.Packed(content.Program(), a.host.hello.Machine.Arch)
		return blob{digest: digest, encoding: hostapi.Gzip, encoded: packed}, err
	}
}

// putBlobs brings what steps need to the host, each once, and reports whether
// that went well. relay-host itself is there already: it runs. Blobs of one
// piece go side by side, the others one by one: a host takes a bounded number
// of requests ahead.
func (a *hostApply) putBlobs(ctx context.Context, steps []plan.Change, find func(digest string) (blob, error)) bool {
	small, putting := errgroup.WithContext(ctx)
	small.SetLimit(putsAtOnce)
	var large []func() error
	known := map[string]bool{"": true, a.host.hello.Digest: true}
	for _, change := range steps {
		digest := needs(change)
		if known[digest] {
			continue
		}
		known[digest] = true
		found, err := find(digest)
		put := func() error {
			if err == nil {
				err = a.put(putting, change, found)
			}
			if err == nil {
				return nil
			}
			failure := a.host.requestError(ctx, fmt.Sprintf("upload %s", change.ID), err)
			failure.isAbout(change)
			return failure
		}
		if len(found.encoded) > hostapi.MaxPiece {
			large = append(large, put)
			continue
		}
		small.Go(put)
	}
	small.Go(func() error {
		for _, put := range large {
			if err := put(); err != nil {
				return err
			}
		}
		return nil
	})
	var failure *HostError
	if errors.As(small.Wait(), &failure) {
		a.stop(failure)
	}
	return failure == nil
}

func (a *hostApply) put(ctx context.Context, change plan.Change, b blob) error {
	sent := func(sent int) {
		if change.Resource.Size > 0 {
			a.tell(Event{Phase: Uploading, ID: change.ID, Action: change.Action, Amount: sentOf(int64(sent), int64(len(b.encoded)))})
		}
	}
	sent(0) // the first receipt may be long in coming
	return a.host.client.Put(ctx, b.digest, b.encoding, b.encoded, sent)
}

// needs is the digest of the content that a step brings about, where relayctl
// has to bring it; empty: it has not.
func needs(change plan.Change) string {
	wanted := change.Resource
	if wanted == nil || change.Action != plan.Create && change.Action != plan.Update || wanted.From != nil || wanted.Kept != "" {
		return ""
	}
	attr := change.ID.Kind.Describe().Content
	for _, changed := range change.Attributes {
		if changed.Name == attr && changed.After.IsKnown() {
			return changed.After.Text
		}
	}
	return ""
}
