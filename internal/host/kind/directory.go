package kind

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
	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
)

// directories are folders by absolute path.
type directories struct{ *machine.Machine }

func (d directories) Observe(_ context.Context, look *Look, resource plan.Resource, fact *plan.Fact) error {
	info, err := os.Lstat(d.Path(resource.Name))
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
	if !info.IsDir() {
		fact.Detail = "is " + machine.DescribeMode(info.Mode())
		fact.InWay = machine.DescribeMode(info.Mode()) + " stands in its place"
		fact.Have[plan.AttrMode] = "not a directory"
	}
	return nil
}

func (d directories) Bring(_ context.Context, step *Step) (Outcome, error) {
	path := d.Path(step.Resource.Name)
	uid, gid, mode, err := wantedOwnership(d.Machine, step.Resource)
	if err != nil {
		return Outcome{}, err
	}
	if !step.Now.Exists {
		if err := os.Mkdir(path, 0o700); err != nil {
			return Outcome{}, fmt.Errorf("make directory: %w", err)
		}
	}
	folder, err := os.OpenFile(path, os.O_RDONLY|syscall.O_DIRECTORY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return Outcome{}, fmt.Errorf("open directory: %w", err)
	}
	if err := machine.FinishFile(folder, uid, gid, mode); err != nil {
		folder.Close()
		return Outcome{}, fmt.Errorf("set owner and mode: %w", err)
	}
	return Outcome{Made: !step.Now.Exists || step.MadeBefore()}, machine.SyncDir(filepath.Dir(path))
}

// remove leaves a directory that holds something: it is not ours.
func (d directories) Remove(_ context.Context, step *Step) (Outcome, error) {
	err := os.Remove(d.Path(step.Change.ID.Name))
	if errors.Is(err, syscall.ENOTEMPTY) || errors.Is(err, syscall.EBUSY) {
		return Outcome{Ended: "left in place: it is not empty"}, nil
	}
	if err != nil && !machine.Gone(err) {
		return Outcome{}, fmt.Errorf("remove directory: %w", err)
	}
	return Outcome{}, nil
}

func (d directories) place(name string) string { return d.Path(name) }

// ownership is mode, owner and group as attributes.
func ownership(look *Look, info fs.FileInfo) (map[string]string, error) {
	accounts, err := look.accounts()
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
func wantedOwnership(of *machine.Machine, resource plan.Resource) (uid, gid int, mode fs.FileMode, err error) {
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
		return 0, 0, 0, hostapi.BadRequest("%s: mode %q", resource.ID, want(plan.AttrMode, usual))
	}
	accounts, err := of.Accounts()
	if err != nil {
		return 0, 0, 0, err
	}
	uid, gid, err = accounts.Owner(want(plan.AttrOwner, "root"), want(plan.AttrGroup, "root"))
	if err != nil {
		return 0, 0, 0, fmt.Errorf("find owner: %w", err)
	}
	return uid, gid, fs.FileMode(bits), nil
}
