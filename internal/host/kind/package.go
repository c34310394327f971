package kind

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/relayctl/relayctl/internal/host/machine"
	"github.com/relayctl/relayctl/internal/host/record"
	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
)

// packages are Debian packages.
type packages struct{ *machine.Machine }

// Bounds of work with apt.
const (
	dpkgLockWait     = 5 * time.Minute        // for other runs of apt and dpkg
	aptTries         = 3                      // of one run of apt, while others hold its locks
	dpkgLockInterval = 200 * time.Millisecond // between looks at who is
	dpkgLockTimeout  = "60"                   // seconds that apt itself waits, should another be quicker than us
)

func (p packages) Observe(ctx context.Context, look *Look, resource plan.Resource, fact *plan.Fact) error {
	status, err := look.dpkg(ctx)
	if err != nil {
		return err
	}
	version, installed := status.Versions[resource.Name]
	if installed {
		fact.Exists = true
		fact.Have = map[string]string{plan.AttrInstalled: plan.Yes}
		fact.Detail = version
	}
	return nil
}

// Bring installs a package. It is not cut off when the conversation ends: dpkg
// left in the middle is worse than a late end.
func (p packages) Bring(ctx context.Context, step *Step) (Outcome, error) {
	name := step.Resource.Name
	if err := p.mendDpkg(ctx, step); err != nil {
		return Outcome{}, err
	}
	before, err := p.present(ctx)
	if err != nil {
		return Outcome{}, err
	}
	if err := p.install(ctx, step, name); err != nil {
		return Outcome{}, err
	}
	after, err := p.present(ctx)
	if err != nil {
		return Outcome{}, err
	}
	delete(after, step.Resource.ID)
	maps.DeleteFunc(after, func(id plan.ID, _ bool) bool { return before[id] })
	return Outcome{Made: !step.Now.Exists, With: slices.SortedFunc(maps.Keys(after), record.CompareIDs)}, nil
}

// present lists the packages and users that there are.
func (p packages) present(ctx context.Context) (map[plan.ID]bool, error) {
	status, err := p.Dpkg(ctx)
	if err != nil {
		return nil, err
	}
	accounts, err := p.Accounts()
	if err != nil {
		return nil, err
	}
	present := map[plan.ID]bool{}
	for name := range status.Versions {
		present[plan.ID{Kind: plan.KindPackage, Name: name}] = true
	}
	for name := range accounts.Users {
		present[plan.ID{Kind: plan.KindUser, Name: name}] = true
	}
	return present, nil
}

// install has apt install a package. The package lists are updated first where
// they offer no version of it, as on a machine that was just set up, and else
// when it fails: lists that are some days old name files that the mirror has
// replaced since.
func (p packages) install(ctx context.Context, step *Step, name string) error {
	isOffered, err := p.IsOffered(ctx, name)
	if err != nil {
		return err
	}
	if isOffered {
		if failed, err := p.tryToInstall(ctx, step, name); failed == nil {
			return err
		}
	}
	// That it fails need not matter: another source may have what is needed.
	lists, err := p.apt(ctx, step, "updating package lists", "update")
	if err != nil {
		return err
	}
	if isOffered, err = p.IsOffered(ctx, name); err != nil || !isOffered {
		return p.notOffered(ctx, name, lists, err)
	}
	failed, err := p.tryToInstall(ctx, step, name)
	if failed != nil {
		return p.aptError(ctx, "install package "+name, failed)
	}
	return err
}

// tryToInstall has apt install a package as it knows it now; failed is not nil
// where another try may end otherwise.
func (p packages) tryToInstall(ctx context.Context, step *Step, name string) (failed *machine.CommandError, err error) {
	if failed, err = p.apt(ctx, step, "installing", "--no-remove", "install", name); failed == nil {
		return nil, err
	}
	if isThere, why := p.whyNotInstalled(ctx, step, name, failed); isThere || why != nil {
		return nil, why
	}
	return failed, nil
}

// notOffered is why a package can't be installed that no package list has; err
// is why they could not be asked, lists why they could not be updated.
func (p packages) notOffered(ctx context.Context, name string, lists *machine.CommandError, err error) error {
	switch {
	case err != nil:
		return err
	case lists != nil:
		return p.aptError(ctx, "update package lists for package "+name, lists)
	}
	return &hostapi.Error{
		Code: hostapi.CodeStep, Message: "install package " + name + ": no package source of the host offers it",
		Hint: "What its sources and its preferences under /etc/apt come to, on the host:\n  apt-cache policy " + name,
	}
}

func (p packages) Remove(ctx context.Context, step *Step) (Outcome, error) {
	if err := p.mendDpkg(ctx, step); err != nil {
		return Outcome{}, err
	}
	name := step.Change.ID.Name
	others, err := p.RemovedWith(ctx, name)
	if failed := (*machine.CommandError)(nil); errors.As(err, &failed) {
		return Outcome{}, p.aptError(ctx, "remove package "+name, failed)
	}
	if err != nil {
		return Outcome{}, err
	}
	if len(others) > 0 {
		return Outcome{Ended: "left in place: " + strings.Join(others, ", ") + " would go with it"}, nil
	}
	how := "remove"
	if step.Change.Purge {
		how = "purge"
	}
	failed, err := p.apt(ctx, step, "removing", how, name)
	if failed == nil && err == nil && step.Change.Purge {
		failed, err = p.purgeWith(ctx, step)
	}
	if failed != nil && p.IsHeld(ctx, name) {
		return Outcome{}, &hostapi.Error{
			Code: hostapi.CodeStep, Message: "remove package " + name + ": it is held, so that nobody removes it by mistake",
			Hint: "If it may be removed, on the host:\n  apt-mark unhold " + name,
		}
	}
	if failed != nil {
		return Outcome{}, p.aptError(ctx, "remove package "+name, failed)
	}
	return Outcome{}, err
}

// purgeWith takes away what came with a package and nobody needs any more.
func (p packages) purgeWith(ctx context.Context, step *Step) (failed *machine.CommandError, err error) {
	var names []string
	unneeded, err := p.Unneeded(ctx)
	if err != nil || step.Applied == nil {
		return nil, err
	}
	for _, id := range step.Applied.With {
		if id.Kind == plan.KindPackage && slices.Contains(unneeded, id.Name) {
			names = append(names, id.Name)
		}
	}
	if len(names) > 0 {
		if failed, err = p.apt(ctx, step, "removing", append([]string{"purge"}, names...)...); failed != nil || err != nil {
			return failed, err
		}
	}
	accounts, err := p.Accounts()
	for _, id := range step.Applied.With {
		if _, exists := accounts.Users[id.Name]; err == nil && exists && id.Kind == plan.KindUser {
			_, err = p.Runner.Run(ctx, machine.Command{Name: "userdel", Args: []string{"--", id.Name}})
		}
	}
	return nil, err
}

// mendDpkg finishes what dpkg was cut off in, by a power failure say: apt does
// nothing before that.
func (p packages) mendDpkg(ctx context.Context, step *Step) error {
	if err := p.waitForDpkg(ctx, step); err != nil {
		return err
	}
	if cutOff, err := p.IsDpkgCutOff(); err != nil || !cutOff {
		return err
	}
	failed, err := p.longRun(ctx, step, "finishing what dpkg left", machine.Command{
		Name: "dpkg", Args: []string{"--force-confdef", "--force-confold", "--configure", "-a"},
	})
	if failed != nil {
		return p.aptError(ctx, "finish what dpkg left half done", failed)
	}
	return err
}

// apt runs apt-get without questions; files that somebody edited stay as they
// are. No installation removes other packages: no plan says so. failed is not nil when it ran and failed.
func (p packages) apt(ctx context.Context, step *Step, doing string, args ...string) (failed *machine.CommandError, err error) {
	command := machine.Command{
		Name: "apt-get",
		Args: append([]string{
			"-q", "-y", "--no-install-recommends",
			"-o", "DPkg::Lock::Timeout=" + dpkgLockTimeout, "-o", "APT::Update::Error-Mode=any",
			"-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold",
			"-o", "Dpkg::Use-Pty=0",
		}, args...),
	}
	for tries := 1; ; tries++ {
		if err := p.waitForDpkg(ctx, step); err != nil {
			return nil, err
		}
		failed, err = p.longRun(ctx, step, doing, command)
		if failed == nil || tries == aptTries {
			return failed, err
		}
		// apt waits for one of its locks only: somebody may have been quicker.
		if holder, err := p.DpkgHolder(); holder == "" || err != nil {
			return failed, err
		}
	}
}

// longRun runs a command to its end and tells how long it takes.
func (p packages) longRun(ctx context.Context, step *Step, doing string, command machine.Command) (failed *machine.CommandError, err error) {
	err = step.while(hostapi.Progress{What: doing, By: "apt"}, func(hear func(string)) error {
		command.Hear = hear
		_, err := p.RunApt(ctx, command)
		return err
	})
	if errors.As(err, &failed) {
		return failed, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", doing, err)
	}
	return nil, nil
}

// waitForDpkg waits until no other run of apt or dpkg is on, and says who is.
func (p packages) waitForDpkg(ctx context.Context, step *Step) error {
	ctx, cancel := context.WithTimeout(ctx, dpkgLockWait)
	defer cancel()
	retry := time.NewTicker(dpkgLockInterval)
	defer retry.Stop()
	begun, told := time.Now(), time.Time{}
	for {
		holder, err := p.DpkgHolder()
		if err != nil || holder == "" {
			return err
		}
		if time.Since(told) >= hostapi.TellEvery {
			told = time.Now()
			waited := time.Since(begun)
			step.tell(hostapi.Progress{What: "waiting for " + holder, Took: waited, Amount: plan.Amount{
				Done: int64(waited.Seconds()), Total: int64(dpkgLockWait.Seconds()), Measure: plan.InSeconds,
			}})
		}
		select {
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return dpkgStaysLocked(holder)
			}
			return context.Cause(ctx)
		case <-step.Stopped:
			return context.Canceled // nothing of the step is begun yet
		case <-retry.C:
		}
	}
}

func dpkgStaysLocked(holder string) error {
	return &hostapi.Error{
		Code:    hostapi.CodeStep,
		Message: fmt.Sprintf("waited %d min for %s", int(dpkgLockWait.Minutes()), holder),
		Hint:    "Wait until that is done. If it hangs, find out what it waits for before you end it: dpkg cut off in the middle leaves half a package.",
	}
}
