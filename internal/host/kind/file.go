package kind

import (
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/relayctl/relayctl/internal/host/machine"
	"github.com/relayctl/relayctl/internal/host/record"
	"github.com/relayctl/relayctl/internal/host/store"
	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
)

// files are regular files by absolute path. What stands in the place of one is
// never followed: a symbolic link is replaced, not written through.
type files struct {
	*machine.Machine
	store      *store.Store
	systemd    *systemd // is told of the files of units
	lifecycles lifecycles
}

func (f files) Observe(ctx context.Context, look *Look, resource plan.Resource, fact *plan.Fact) error {
	info, err := os.Lstat(f.Path(resource.Name))
	if machine.Gone(err) {
		return nil
	}
	if err != nil {
		return err
	}
	fact.Exists = true
	if fact.Have, err = ownership(look, info); err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		fact.Detail = "is " + machine.DescribeMode(info.Mode())
		fact.Have[plan.AttrContent] = "not a file"
		if target, err := os.Readlink(f.Path(resource.Name)); err == nil {
			fact.Detail += " to " + target
			fact.Have[plan.AttrContent] = linkTo(target)
			return nil // a rename replaces it
		}
		fact.InWay = machine.DescribeMode(info.Mode()) + " stands in its place"
		return nil
	}
	content, err := machine.ReadRegular(f.Path(resource.Name))
	if err != nil {
		return err
	}
	if fact.Have[plan.AttrContent], err = f.store.Digest(content, resource.Sensitive); err != nil {
		return err
	}
	if !resource.Sensitive && len(content) <= plan.MaxShown {
		fact.Content = content
		if resource.Check != "" && fact.Applied == nil {
			fact.Serves, fact.Imports = f.lifecycles.of(resource.Check).sites(string(content))
		}
	}
	changed := fact.Applied == nil || fact.Applied.Have[plan.AttrContent] != fact.Have[plan.AttrContent]
	if changed && strings.HasPrefix(resource.Name, "/etc/") {
		fact.Pristine, err = pristine(ctx, look, resource.Name, content)
	}
	return err
}

// linkTo is in the place of a digest where a link stands.
func linkTo(target string) string { return "link to " + target }

// pristine reports whether content is a package's default of path.
func pristine(ctx context.Context, look *Look, path string, content []byte) (bool, error) {
	status, err := look.dpkg(ctx)
	if err != nil {
		return false, err
	}
	sum := md5.Sum(content) // dpkg's own choice: it tells an edit, not an attack
	want, known := status.Conffiles[path]
	return known && hex.EncodeToString(sum[:]) == want, nil
}

func (f files) Bring(ctx context.Context, step *Step) (Outcome, error) {
	path := step.Resource.Name
	f.systemd.changes(path)
	uid, gid, mode, err := wantedOwnership(f.Machine, step.Resource)
	if err != nil {
		return Outcome{}, err
	}
	if step.Now.Exists && step.Now.Have[plan.AttrContent] == step.Resource.Want[plan.AttrContent].Text {
		return Outcome{Made: step.MadeBefore()}, f.own(path, uid, gid, mode)
	}
	if kept := step.Resource.Kept; kept != "" && machine.IsLink(f.Path(kept)) {
		return Outcome{Made: true}, f.store.PutBack(path, kept)
	}
	content, err := f.content(step.Journal, step.Resource)
	if err != nil {
		return Outcome{}, err
	}
	var test func(path string) error
	if check := step.Resource.Check; check != "" {
		test = func(path string) error { return f.lifecycles.of(check).check(ctx, path) }
	}
	return Outcome{Made: true}, f.write(path, content, uid, gid, mode, test)
}

// write writes a file beside its place, has it tested there, and swaps it in; test
// may be nil.
func (f files) write(path string, content []byte, uid, gid int, mode fs.FileMode, test func(path string) error) error {
	beside := machine.TemporaryName(path)
	if err := machine.WriteNew(f.Path(beside), content, uid, gid, mode); err != nil {
		return fmt.Errorf("write: %w", machine.Needing(len(content), err))
	}
	defer os.Remove(f.Path(beside)) // gone already when all went well
	if test != nil {
		if err := test(beside); err != nil {
			return err
		}
	}
	if err := os.Rename(f.Path(beside), f.Path(path)); err != nil {
		return fmt.Errorf("swap in: %w", err)
	}
	return machine.SyncDir(filepath.Dir(f.Path(path)))
}

// own sets owner and mode of a file whose content is right.
func (f files) own(path string, uid, gid int, mode fs.FileMode) error {
	if err := machine.RemoveIfThere(machine.TemporaryName(f.Path(path))); err != nil {
		return fmt.Errorf("remove leftover: %w", err)
	}
	file, err := os.OpenFile(f.Path(path), os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	if err := machine.FinishFile(file, uid, gid, mode); err != nil {
		file.Close()
		return fmt.Errorf("set owner and mode: %w", err)
	}
	return nil
}

// Remove puts the original of something adopted back. A file of somebody else that
// overrides a unit of ours, and is kept, is moved aside.
func (f files) Remove(_ context.Context, step *Step) (left Outcome, err error) {
	path := step.Change.ID.Name
	f.systemd.changes(path)
	if step.Change.Adopt {
		return Outcome{}, f.moveAside(path)
	}
	if step.Applied != nil && step.Applied.Kept != "" {
		if _, err := os.Lstat(filepath.Dir(f.Path(path))); machine.Gone(err) {
			return Outcome{Ended: "its folder is gone: what stood there before is kept in " + step.Applied.Kept}, nil
		}
		if machine.IsCopy(f.Path(step.Applied.Kept)) {
			return Outcome{Ended: "put back what stood there before", Restored: true}, f.store.PutBack(path, step.Applied.Kept)
		}
		left = Outcome{Ended: "removed; what stood there before is not in " + step.Applied.Kept + " any more", Restored: true}
	}
	if err := machine.RemoveIfThere(f.Path(path)); err != nil {
		return Outcome{}, fmt.Errorf("remove: %w", err)
	}
	return left, machine.SyncDir(filepath.Dir(f.Path(path)))
}

func (f files) moveAside(path string) error {
	err := f.InFolder(path, func(name string) error {
		if err := machine.RemoveIfThere(name); err != nil {
			return err
		}
		return machine.SyncDir(filepath.Dir(name))
	})
	if err != nil {
		return fmt.Errorf("move aside: %w", err)
	}
	return nil
}

// Return puts what was moved aside or written over in its place again, unless
// somebody put something there since.
func (f files) Return(_ context.Context, step *Step) (Outcome, error) {
	if step.Now.Exists {
		return Outcome{}, nil
	}
	path := step.Change.ID.Name
	f.systemd.changes(path)
	if !f.lifecycles.keep(path) { // else its folder is the service's own to make
		if err := os.MkdirAll(filepath.Dir(f.Path(path)), 0o755); err != nil {
			return Outcome{}, fmt.Errorf("make folder: %w", err)
		}
	}
	return Outcome{Restored: true}, f.store.PutBack(path, step.Applied.Kept)
}

// Keep keeps a file whose content will change: as one of the originals when
// relayctl never wrote it, else in the generation of this apply.
func (f files) Keep(step *Step) (string, error) {
	if content, ok := step.Resource.Want[plan.AttrContent]; ok && content.Text == step.Now.Have[plan.AttrContent] {
		return "", nil
	}
	generation := step.Apply.Number
	if step.Applied == nil || step.IsMovedAside() { // it is somebody else's
		generation = 0
	}
	return f.store.Keep(step.Change.ID.Name, generation)
}

// Restore puts back what is kept of a file; with nothing kept there was none.
func (f files) Restore(step *Step, recent record.Recent) error {
	f.systemd.changes(recent.Name)
	switch {
	case recent.Kept == "":
		return f.InFolder(recent.Name, machine.RemoveIfThere)
	case step.Resource.Grants:
		return f.restoreGrants(step.Journal, recent.ID, recent.Kept)
	}
	return f.store.PutBack(recent.Name, recent.Kept)
}

func (f files) place(name string) string { return f.Path(name) }

// content is what a file should hold: what was put, what this machine made, or
// what it kept.
func (f files) content(journal *record.Journal, resource plan.Resource) ([]byte, error) {
	switch {
	case resource.From != nil:
		content, _, err := f.Fill(*resource.From)
		return content, err
	case resource.Kept != "" && resource.Grants:
		return f.grantsBack(journal, resource.ID, resource.Kept)
	case resource.Kept != "":
		return machine.ReadRegular(f.Path(resource.Kept))
	}
	return f.store.Blob(resource.Want[plan.AttrContent].Text)
}

// Fill is the content of a file that this machine makes from its own store.
func (f files) Fill(from plan.ID) (content []byte, isSecret bool, err error) {
	name, part, _ := strings.Cut(from.Name, "/")
	if err := checkName(plan.ID{Kind: from.Kind, Name: name}); err != nil {
		return nil, false, err
	}
	switch {
	case from.Kind == plan.KindSecret && part == "":
		token, loadErr := f.store.Secret(name)
		content, isSecret, err = store.SecretFile(token), true, loadErr
	case from.Kind == plan.KindCA && (part == "" || part == "key"):
		ca, loadErr := f.store.Authority(name)
		content, err = ca.Root, loadErr
		if isSecret = part == "key"; isSecret {
			content = ca.Key
		}
	default:
		return nil, false, hostapi.BadRequest("no file is made from %s", from)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, fmt.Errorf("%s was not made on this host yet", from)
	}
	return content, isSecret, err
}
