package kind

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/relayctl/relayctl/internal/host/machine"
	"github.com/relayctl/relayctl/internal/host/record"
	"github.com/relayctl/relayctl/internal/plan"
)

// What a thing was is kept on the host, where anybody of root's may have removed
// or edited it since: only what is as it was goes back.

// Former tells why a file can't go back to what is kept of it, and what going back
// to one that grants comes to.
func (f files) Former(journal *record.Journal, former *plan.Former) error {
	var as plan.Resource
	if former.Entry != nil && former.Entry.As != nil {
		as = *former.Entry.As
	}
	switch {
	case former.Kept == "", as.From != nil: // it is made anew
		return nil
	case !f.isKept(*former):
		former.Lost = notKept(former.Kept)
		return nil
	case as.Grants:
		return f.formerGrants(journal, former)
	}
	return nil
}

// isKept reports whether what is kept of a file is as it was.
func (f files) isKept(former plan.Former) bool {
	kept, was := f.Path(former.Kept), former.Before.Have[plan.AttrContent]
	if target, err := os.Readlink(kept); err == nil {
		return was == linkTo(target)
	}
	content, err := machine.ReadRegular(kept)
	if err != nil {
		return false
	}
	digest, err := f.store.Digest(content, strings.HasPrefix(was, plan.MACPrefix))
	return err == nil && digest == was
}

// Former tells why a program can't go back to the release that is kept of it.
func (p programs) Former(_ *record.Journal, former *plan.Former) error {
	if former.Kept == "" {
		return nil
	}
	content, err := os.ReadFile(p.Path(filepath.Join(former.Kept, former.Name)))
	if err != nil || plan.Digest(content) != former.Before.Have[plan.AttrDigest] {
		former.Lost = notKept(former.Kept)
	}
	return nil
}

func notKept(kept string) string {
	return "how it was is not in " + kept + " any more; change the stack file and apply"
}
