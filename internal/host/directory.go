package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/relayctl/relayctl/internal/host/machine"
	"github.com/relayctl/relayctl/internal/plan"
)

// directories are folders by absolute path.
type directories struct{ *Host }

func (d directories) observe(_ context.Context, view *look, resource plan.Resource, fact *plan.Fact) error {
	info, err := os.Lstat(d.Path(resource.Name))
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
	if !info.IsDir() {
		fact.Detail = "is " + machine.DescribeMode(info.Mode())
		fact.InWay = machine.DescribeMode(info.Mode()) + " stands in its place"
		fact.Have[plan.AttrMode] = "not a directory"
	}
	return nil
}

func (d directories) bring(_ context.Context, b *batch, step step) (outcome, error) {
	path := d.Path(step.resource.Name)
	uid, gid, mode, err := d.wantedOwnership(step.resource)
	if err != nil {
		return outcome{}, err
	}
	if !step.now.Exists {
		if err := os.Mkdir(path, 0o700); err != nil {
			return outcome{}, fmt.Errorf("make directory: %w", err)
		}
	}
	folder, err := os.OpenFile(path, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return outcome{}, fmt.Errorf("open directory: %w", err)
	}
	if err := machine.FinishFile(folder, uid, gid, mode); err != nil {
		folder.Close()
		return outcome{}, fmt.Errorf("set owner and mode: %w", err)
	}
	return outcome{made: !step.now.Exists || step.madeBefore()}, machine.SyncDir(filepath.Dir(path))
}

// remove leaves a directory that holds something: it is not ours.
func (d directories) remove(_ context.Context, b *batch, step step) error {
	err := os.Remove(d.Path(step.change.ID.Name))
	if errors.Is(err, syscall.ENOTEMPTY) || errors.Is(err, syscall.EBUSY) {
		b.ended = "left in place: it is not empty"
		return nil
	}
	if err != nil && !machine.Gone(err) {
		return fmt.Errorf("remove directory: %w", err)
	}
	return nil
}

// ownership is mode, owner and group as attributes.
func ownership(view *look, info fs.FileInfo) (map[string]string, error) {
	accounts, err := view.accounts()
	if err != nil {
		return nil, err
	}
	stat := info.Sys().(*syscall.Stat_t)
	return map[string]string{
		plan.AttrMode:  fmt.Sprintf("%04o", stat.Mode&0o7777),
		plan.AttrOwner: accounts.UserName(int(stat.Uid)),
		plan.AttrGroup: accounts.GroupName(int(stat.Gid)),
	}, nil
}

// wantedOwnership is the owner, group and mode that a resource should have;
// without them root and 0755, or 0644 for a file.
func (h *Host) wantedOwnership(resource plan.Resource) (uid, gid int, mode fs.FileMode, err error) {
	want := func(attribute, otherwise string) string {
		if value, ok := resource.Want[attribute]; ok {
			return value.Text
		}
		return otherwise
	}
	usual := "0644"
	if resource.Kind == plan.KindDirectory {
		usual = "0755"
	}
	bits, err := strconv.ParseUint(want(plan.AttrMode, usual), 8, 12)
	if err != nil || bits > 0o777 {
		return 0, 0, 0, badRequest("%s: mode %q", resource.ID, want(plan.AttrMode, usual))
	}
	accounts, err := h.Accounts()
	if err != nil {
		return 0, 0, 0, err
	}
	uid, gid, err = accounts.Owner(want(plan.AttrOwner, "root"), want(plan.AttrGroup, "root"))
	if err != nil {
		return 0, 0, 0, fmt.Errorf("find owner: %w", err)
	}
	return uid, gid, fs.FileMode(bits), nil
}
