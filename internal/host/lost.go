package host

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/relayctl/relayctl/internal/host/machine"
	"github.com/relayctl/relayctl/internal/plan"
)

// lost says why one of formers can't come back as it was; empty: it can. What is
// kept of it may have been removed or edited, and whose it was may be gone.
func (h *Host) lost(formers []plan.Former, i int) (string, error) {
	former := formers[i]
	if former.Entry != nil && former.Entry.As != nil && former.Entry.As.From != nil {
		return "", nil // it is made anew
	}
	if former.Kept != "" && !h.isKept(former) {
		return fmt.Sprintf("how it was is not in %s any more; change the stack file and apply", former.Kept), nil
	}
	accounts, err := h.Accounts()
	if err != nil || former.Kind != plan.KindFile && former.Kind != plan.KindDirectory {
		return "", err
	}
	owner, group := former.Before.Have[plan.AttrOwner], former.Before.Have[plan.AttrGroup]
	comes := func(name string) bool {
		return slices.ContainsFunc(formers, func(f plan.Former) bool { return f.Kind == plan.KindUser && f.Name == name && f.Before.Exists })
	}
	if former.Entry == nil || !former.Before.Exists || comes(owner) || comes(group) {
		return "", nil
	}
	if _, _, err := accounts.Owner(owner, group); err != nil {
		return fmt.Sprintf("it was %s's: %v; make them on the host, or change the stack file and apply", owner, err), nil
	}
	return "", nil
}

// isKept reports whether what is kept of a thing is as it was.
func (h *Host) isKept(former plan.Former) bool {
	kept := h.Path(former.Kept)
	if former.Kind == plan.KindProgram {
		content, err := os.ReadFile(filepath.Join(kept, former.Name))
		return err == nil && plan.Digest(content) == former.Before.Have[plan.AttrDigest]
	}
	was := former.Before.Have[plan.AttrContent]
	if target, err := os.Readlink(kept); err == nil {
		return was == "link to "+target
	}
	content, err := machine.ReadRegular(kept)
	if err != nil {
		return false
	}
	digest, err := h.digest(content, strings.HasPrefix(was, plan.MACPrefix))
	return err == nil && digest == was
}
