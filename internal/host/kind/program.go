package kind

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/relayctl/relayctl/internal/host/machine"
	"github.com/relayctl/relayctl/internal/host/record"
	"github.com/relayctl/relayctl/internal/host/store"
	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
)

// programs are versioned programs: NAME/VERSION-DIGEST12/NAME with
// NAME/current a symbolic link to the version that counts.
type programs struct {
	*machine.Machine
	store       *store.Store
	own, digest string // relay-host's own program, where it can be read
}

func (p programs) Observe(_ context.Context, _ *Look, resource plan.Resource, fact *plan.Fact) error {
	folder := p.Path(filepath.Join(plan.ProgramsDir, resource.Name))
	content, err := os.ReadFile(filepath.Join(folder, "current", resource.Name))
	if machine.Gone(err) {
		return nil
	}
	if err != nil {
		return err
	}
	target, err := os.Readlink(filepath.Join(folder, "current"))
	if err != nil {
		return err
	}
	version := filepath.Base(target)
	if dash := strings.LastIndexByte(version, '-'); dash > 0 {
		version = version[:dash]
	}
	fact.Exists = true
	fact.Have = map[string]string{plan.AttrVersion: version, plan.AttrDigest: plan.Digest(content)}
	return nil
}

func (p programs) Bring(_ context.Context, step *Step) (Outcome, error) {
	name, digest := step.Resource.Name, step.Resource.Want[plan.AttrDigest].Text
	version := step.Resource.Want[plan.AttrVersion].Text
	if (plan.ID{Kind: plan.KindProgram, Name: strings.ReplaceAll(version, "+", "_")}).CheckName() != nil {
		return Outcome{}, hostapi.BadRequest("%s: %q is not a version", step.Resource.ID, version)
	}
	content, err := p.content(step.Resource)
	if err != nil {
		return Outcome{}, err
	}
	_, sum, _ := strings.Cut(digest, ":")
	folder := p.Path(filepath.Join(plan.ProgramsDir, name))
	release := version + "-" + sum[:12]
	if err := writeProgram(filepath.Join(folder, release, name), content); err != nil {
		return Outcome{}, err
	}
	if err := machine.SwapLink(filepath.Join(folder, "current"), release); err != nil {
		return Outcome{}, err
	}
	return Outcome{Made: true}, nil
}

// Keep names the release that another one is about to take the place of, or the
// one that goes.
func (p programs) Keep(step *Step) (string, error) {
	name := step.Change.ID.Name
	release, err := os.Readlink(p.Path(filepath.Join(plan.ProgramsDir, name, "current")))
	if err != nil {
		return "", fmt.Errorf("look at present release: %w", err)
	}
	return filepath.Join(plan.ProgramsDir, name, release), nil
}

// content is a program: a release that is kept, this very one, or else what was
// put.
func (p programs) content(resource plan.Resource) ([]byte, error) {
	digest := resource.Want[plan.AttrDigest].Text
	if resource.Kept != "" {
		return os.ReadFile(p.Path(filepath.Join(resource.Kept, resource.Name)))
	}
	if p.own == "" || digest != p.digest {
		return p.store.Blob(digest)
	}
	content, err := os.ReadFile(p.own)
	if err != nil {
		return nil, fmt.Errorf("read own program: %w", err)
	}
	return content, nil
}

// writeProgram writes a program into a folder of its own, or leaves nothing of
// both.
func writeProgram(path string, content []byte) error {
	release := filepath.Dir(path)
	if err := os.MkdirAll(release, 0o755); err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	if err := machine.WriteAtomically(path, content, 0o755); err != nil {
		os.Remove(release)               // only when nothing is in it
		os.Remove(filepath.Dir(release)) // likewise
		return fmt.Errorf("write program: %w", err)
	}
	return nil
}

// Sweep removes the releases that are neither current nor named by the record.
func (p programs) Sweep(journal *record.Journal) error {
	releases, err := filepath.Glob(p.Path(filepath.Join(plan.ProgramsDir, "*", "*")))
	if err != nil {
		return fmt.Errorf("list releases: %w", err)
	}
	kept := journal.Kept()
	for _, release := range releases {
		folder, name := filepath.Split(release)
		current, _ := os.Readlink(filepath.Join(folder, "current")) // none once the program has left
		isKept := kept[filepath.Join(plan.ProgramsDir, filepath.Base(folder), name)]
		if name == "current" || name == current || isKept {
			continue
		}
		if err := os.RemoveAll(release); err != nil {
			return fmt.Errorf("remove old release: %w", err)
		}
		os.Remove(folder) // only when nothing is left in it
	}
	return nil
}

func (p programs) Remove(_ context.Context, step *Step) (Outcome, error) {
	name := step.Change.ID.Name
	if err := machine.RemoveIfThere(p.Path(filepath.Join(plan.ProgramsDir, name, "current"))); err != nil {
		return Outcome{}, fmt.Errorf("remove program: %w", err)
	}
	return Outcome{}, nil
}

// Restore points back to the release that is kept.
func (p programs) Restore(_ *Step, recent record.Recent) error {
	return machine.SwapLink(p.Path(filepath.Join(plan.ProgramsDir, recent.Name, "current")), filepath.Base(recent.Kept))
}

func (p programs) place(name string) string {
	return p.Path(filepath.Join(plan.ProgramsDir, name, "current", name))
}
