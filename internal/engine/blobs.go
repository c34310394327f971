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
	if a.failure != nil {
		return false
	}
	small, putting := errgroup.WithContext(ctx)
	small.SetLimit(putsAtOnce)
	var large []func() error
	known := map[string]bool{a.host.hello.Digest: true}
	for _, change := range steps {
		digest, needed := needs(change)
		if !needed || known[digest] {
			continue
		}
		known[digest] = true
		found, err := find(digest)
		put := func() error {
			if err == nil {
				err = a.put(putting, change, found)
			}
			if err != nil {
				return &uploadError{change: change, err: err}
			}
			return nil
		}
		if len(found.encoded) > hostapi.MaxPiece {
			large = append(large, put)
			continue
		}
		small.Go(put)
	}
	small.Go(func() error { return inTurn(large) })
	if err := small.Wait(); err != nil {
		a.stop(a.host.uploadFailure(ctx, err))
		return false
	}
	return true
}

// uploadError is why the content of a change could not be brought.
type uploadError struct {
	change plan.Change
	err    error
}

func (e *uploadError) Error() string { return fmt.Sprintf("upload %s: %v", e.change.ID, e.err) }
func (e *uploadError) Unwrap() error { return e.err }

// uploadFailure is why the host could not be brought what its steps need.
func (h *host) uploadFailure(ctx context.Context, err error) *HostError {
	var upload *uploadError
	if !errors.As(err, &upload) {
		return h.requestError(ctx, "upload", err)
	}
	failure := h.requestError(ctx, fmt.Sprintf("upload %s", upload.change.ID), upload.err)
	failure.isAbout(upload.change)
	return failure
}

// inTurn calls functions until one fails.
func inTurn(calls []func() error) error {
	for _, call := range calls {
		if err := call(); err != nil {
			return err
		}
	}
	return nil
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
// has to bring it.
func needs(change plan.Change) (digest string, needed bool) {
	wanted := change.Resource
	if wanted == nil || change.Action != plan.Create && change.Action != plan.Update || wanted.From != nil || wanted.Kept != "" {
		return "", false
	}
	attr := change.ID.Kind.Describe().Content
	for _, changed := range change.Attributes {
		if changed.Name == attr && changed.After.IsKnown() {
			return changed.After.Text, true
		}
	}
	return "", false
}
