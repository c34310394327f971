package host

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
	"github.com/relayctl/relayctl/internal/plan"
)

// files are regular files by absolute path. What stands in the place of one is
// never followed: a symbolic link is replaced, not written through.
type files struct{ *Host }

func (f files) observe(ctx context.Context, view *look, resource plan.Resource, fact *plan.Fact) error {
	info, err := os.Lstat(f.Path(resource.Name))
	if machine.Gone(err) {
		return nil
	}
	if err != nil {
		return err
	}
	fact.Exists = true
	if fact.Have, err = ownership(view, info); err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		fact.Detail = "is " + machine.DescribeMode(info.Mode())
		fact.Have[plan.AttrContent] = "not a file"
		if target, err := os.Readlink(f.Path(resource.Name)); err == nil {
			fact.Detail += " to " + target
			fact.Have[plan.AttrContent] = "link to " + target
			return nil // a rename replaces it
		}
		fact.InWay = machine.DescribeMode(info.Mode()) + " stands in its place"
		return nil
	}
	content, err := machine.ReadRegular(f.Path(resource.Name))
	if err != nil {
		return err
	}
	if fact.Have[plan.AttrContent], err = f.digest(content, resource.Sensitive); err != nil {
		return err
	}
	if !resource.Sensitive && len(content) <= plan.MaxShown {
		fact.Content = content
		if resource.Check == plan.LifecycleCaddy && fact.Applied == nil {
			fact.Serves, fact.Imports = caddySites(string(content))
		}
	}
	changed := fact.Applied == nil || fact.Applied.Have[plan.AttrContent] != fact.Have[plan.AttrContent]
	if changed && strings.HasPrefix(resource.Name, "/etc/") {
		fact.Pristine, err = pristine(ctx, view, resource.Name, content)
	}
	return err
}

// pristine reports whether content is a package's default of path.
func pristine(ctx context.Context, view *look, path string, content []byte) (bool, error) {
	status, err := view.dpkg(ctx)
	if err != nil {
		return false, err
	}
	sum := md5.Sum(content) // dpkg's own choice: it tells an edit, not an attack
	want, known := status.Conffiles[path]
	return known && hex.EncodeToString(sum[:]) == want, nil
}

func (f files) bring(ctx context.Context, b *batch, step step) (outcome, error) {
	path := step.resource.Name
	uid, gid, mode, err := f.wantedOwnership(step.resource)
	if err != nil {
		return outcome{}, err
	}
	if step.now.Exists && step.now.Have[plan.AttrContent] == step.resource.Want[plan.AttrContent].Text {
		return outcome{made: step.madeBefore()}, f.own(path, uid, gid, mode)
	}
	if _, err := os.Readlink(f.Path(step.resource.Kept)); step.resource.Kept != "" && err == nil {
		return outcome{made: true}, f.putBack(path, step.resource.Kept)
	}
	content, err := b.content(step.resource)
	if err != nil {
		return outcome{}, err
	}
	temporary := machine.TemporaryName(f.Path(path))
	if err := machine.WriteNew(temporary, content, uid, gid, mode); err != nil {
		return outcome{}, fmt.Errorf("write: %w", machine.Needing(len(content), err))
	}
	defer os.Remove(temporary) // gone already when all went well
	if err := f.check(ctx, step.resource.Check, strings.TrimSuffix(path, filepath.Base(path))+filepath.Base(temporary)); err != nil {
		return outcome{}, err
	}
	if err := os.Rename(temporary, f.Path(path)); err != nil {
		return outcome{}, fmt.Errorf("swap in: %w", err)
	}
	return outcome{made: true}, machine.SyncDir(filepath.Dir(f.Path(path)))
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

// remove puts the original of something adopted back.
func (f files) remove(_ context.Context, b *batch, step step) error {
	path := step.change.ID.Name
	if step.applied != nil && step.applied.Kept != "" {
		if _, err := os.Lstat(filepath.Dir(f.Path(path))); machine.Gone(err) {
			b.ended = "its folder is gone: what stood there before is kept in " + step.applied.Kept
			return nil
		}
		f.session.restored = append(f.session.restored, path)
		if machine.IsCopy(f.Path(step.applied.Kept)) {
			b.ended = "put back what stood there before"
			return f.putBack(path, step.applied.Kept)
		}
		b.ended = "removed; what stood there before is not in " + step.applied.Kept + " any more"
	}
	if err := machine.RemoveIfThere(f.Path(path)); err != nil {
		return fmt.Errorf("remove: %w", err)
	}
	return machine.SyncDir(filepath.Dir(f.Path(path)))
}

// content is what a file should hold: what was put, what this machine made, or
// what it kept.
func (b *batch) content(resource plan.Resource) ([]byte, error) {
	switch {
	case resource.From != nil:
		return b.host.render(*resource.From)
	case resource.Kept != "" && resource.Grants:
		return b.host.grantsBack(b.host.session.journal, resource.ID, resource.Kept)
	case resource.Kept != "":
		return machine.ReadRegular(b.host.Path(resource.Kept))
	}
	return b.host.readBlob(resource.Want[plan.AttrContent].Text)
}

// render is the content of a file that this machine makes from its own store.
func (h *Host) render(from plan.ID) ([]byte, error) {
	name, part, _ := strings.Cut(from.Name, "/")
	if err := checkName(plan.ID{Kind: from.Kind, Name: name}); err != nil {
		return nil, err
	}
	var content []byte
	var err error
	switch {
	case from.Kind == plan.KindSecret && part == "":
		token, loadErr := h.loadSecret(name)
		content, err = secretFile(token), loadErr
	case from.Kind == plan.KindCA && (part == "" || part == "key"):
		ca, loadErr := h.loadAuthority(name)
		content, err = ca.root, loadErr
		if part == "key" {
			content = ca.key
		}
	default:
		return nil, badRequest("no file is made from %s", from)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s was not made on this host yet", from)
	}
	if err != nil {
		return nil, err
	}
	return content, nil
}
