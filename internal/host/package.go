package host

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
)

// packages are Debian packages.
type packages struct{ *Host }

// Bounds of work with apt.
const (
	aptTimeout      = 15 * time.Minute // for one package, downloads included
	dpkgLockWait    = 5 * time.Minute  // for other runs of apt and dpkg
	aptTries        = 3                // of one run of apt, while others hold its locks
	dpkgLockTimeout = "60"             // seconds that apt itself waits, should another be quicker than us
)

func (p packages) observe(ctx context.Context, view *look, resource plan.Resource, fact *plan.Fact) error {
	status, err := view.dpkg(ctx)
	if err != nil {
		return err
	}
	version, installed := status.versions[resource.Name]
	if installed {
		fact.Exists = true
		fact.Have = map[string]string{plan.AttrInstalled: plan.Yes}
		fact.Detail = version
	}
	return nil
}

// bring installs a package. It is not cut off when the conversation ends: dpkg
// left in the middle is worse than a late end.
func (p packages) bring(ctx context.Context, b *batch, step step) (outcome, error) {
	name := step.resource.Name
	if err := p.waitForDpkg(ctx, b, step.index); err != nil {
		return outcome{}, err
	}
	p.session.packages = true
	if err := p.mendDpkg(ctx, b, step.index); err != nil {
		return outcome{}, err
	}
	if err := p.install(ctx, b, step.index, name); err != nil {
		return outcome{}, err
	}
	return outcome{made: !step.now.Exists}, nil
}

// install has apt install a package. The package lists are updated first where
// they offer no version of it, as on a machine that was just set up, and else
// when it fails: lists that are some days old name files that the mirror has
// replaced since.
func (p packages) install(ctx context.Context, b *batch, index int, name string) error {
	isOffered, err := p.isOffered(ctx, name)
	if err != nil {
		return err
	}
	if isOffered {
		failed, err := p.apt(ctx, b, index, "installing", "--no-remove", "install", name)
		if failed == nil {
			return err
		}
		if mended, why := p.whyNotInstalled(ctx, b, index, name, failed); mended || why != nil {
			return why
		}
	}
	// That it fails need not matter: another source may have what is needed.
	lists, err := p.apt(ctx, b, index, "updating package lists", "update")
	if err != nil {
		return err
	}
	if isOffered, err = p.isOffered(ctx, name); err != nil || !isOffered {
		return p.notOffered(ctx, name, lists, err)
	}
	failed, err := p.apt(ctx, b, index, "installing", "--no-remove", "install", name)
	if failed == nil {
		return err
	}
	if mended, why := p.whyNotInstalled(ctx, b, index, name, failed); mended || why != nil {
		return why
	}
	return p.aptError(ctx, "install package "+name, failed)
}

// notOffered is why a package can't be installed that no package list has; err
// is why they could not be asked, lists why they could not be updated.
func (p packages) notOffered(ctx context.Context, name string, lists *CommandError, err error) error {
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

func (p packages) remove(ctx context.Context, b *batch, step step) error {
	if err := p.waitForDpkg(ctx, b, step.index); err != nil {
		return err
	}
	if err := p.mendDpkg(ctx, b, step.index); err != nil {
		return err
	}
	name := step.change.ID.Name
	others, err := p.removedWith(ctx, name)
	if err != nil {
		return err
	}
	if len(others) > 0 {
		b.ended = "left in place: " + strings.Join(others, ", ") + " would go with it"
		return nil
	}
	failed, err := p.apt(ctx, b, step.index, "removing", "remove", name)
	if failed != nil {
		return p.aptError(ctx, "remove package "+name, failed)
	}
	return err
}

// removedWith lists the other packages that would be removed with one.
func (p packages) removedWith(ctx context.Context, name string) ([]string, error) {
	output, err := p.run(ctx, Command{Name: "apt-get", Args: []string{"--simulate", "-q", "remove", name}})
	var failed *CommandError
	if errors.As(err, &failed) {
		return nil, p.aptError(ctx, "remove package "+name, failed)
	}
	if err != nil {
		return nil, fmt.Errorf("ask apt what goes with %s: %w", name, err)
	}
	var others []string
	for line := range strings.Lines(string(output)) {
		if words := strings.Fields(line); len(words) > 1 && words[0] == "Remv" && words[1] != name {
			others = append(others, words[1])
		}
	}
	return others, nil
}

// mendDpkg finishes what dpkg was cut off in, by a power failure say: apt does
// nothing before that. It notes changes there as files with numbers for names.
func (p packages) mendDpkg(ctx context.Context, b *batch, index int) error {
	notes, err := filepath.Glob(p.path("/var/lib/dpkg/updates/[0-9]*"))
	if err != nil {
		return fmt.Errorf("look for what dpkg left: %w", err)
	}
	if len(notes) == 0 {
		return nil
	}
	failed, err := p.longRun(ctx, b, index, "finishing what dpkg left", Command{
		Name: "dpkg", Args: []string{"--force-confdef", "--force-confold", "--configure", "-a"},
	})
	if failed != nil {
		return p.aptError(ctx, "finish what dpkg left half done", failed)
	}
	return err
}

// aptEnv keeps apt, and what it starts, from asking questions and from
// restarting services by itself.
var aptEnv = [...]string{"DEBIAN_FRONTEND=noninteractive", "NEEDRESTART_MODE=l", "UCF_FORCE_CONFFOLD=1"}

// run runs a program of apt's or dpkg's, which may download through the
// machine's web proxy; no password is in what its error holds of what it said.
func (p packages) run(ctx context.Context, command Command) ([]byte, error) {
	proxy := p.webProxy()
	command.Env = slices.Concat(aptEnv[:], proxy.env)
	output, err := p.runner.Run(ctx, command)
	var failed *CommandError
	if errors.As(err, &failed) {
		masked := *failed
		masked.Stdout, masked.Stderr = proxy.maskAll(failed.Stdout), proxy.maskAll(failed.Stderr)
		return output, &masked
	}
	return output, err
}

// isOffered reports whether the package lists have a version of name that may
// be installed.
func (p packages) isOffered(ctx context.Context, name string) (bool, error) {
	offered, err := p.run(ctx, Command{Name: "apt-cache", Args: []string{"policy", "--", name}})
	if err != nil {
		return false, fmt.Errorf("ask apt for %s: %w", name, err)
	}
	return hasCandidate(string(offered)), nil
}

// hasCandidate reads the output of apt-cache policy for one package.
func hasCandidate(policy string) bool {
	for line := range strings.Lines(policy) {
		if version, ok := strings.CutPrefix(strings.TrimSpace(line), "Candidate:"); ok {
			version = strings.TrimSpace(version)
			return version != "" && version != "(none)"
		}
	}
	return false
}

// apt runs apt-get without questions; files that somebody edited stay as they
// are. No installation removes other packages: no plan says so. failed is not nil when it ran and failed.
func (p packages) apt(ctx context.Context, b *batch, index int, doing string, args ...string) (failed *CommandError, err error) {
	command := Command{
		Name: "apt-get",
		Args: append([]string{
			"-q", "-y", "--no-install-recommends",
			"-o", "DPkg::Lock::Timeout=" + dpkgLockTimeout, "-o", "APT::Update::Error-Mode=any",
			"-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold",
			"-o", "Dpkg::Use-Pty=0",
		}, args...),
	}
	for tries := 1; ; tries++ {
		if err := p.waitForDpkg(ctx, b, index); err != nil {
			return nil, err
		}
		failed, err = p.longRun(ctx, b, index, doing, command)
		if failed == nil || tries == aptTries {
			return failed, err
		}
		// apt waits for one of its locks only: somebody may have been quicker.
		if holder, err := p.dpkgHolder(); holder == "" || err != nil {
			return failed, err
		}
	}
}

// longRun runs a command to its end, however the conversation goes on, and
// tells how long it takes.
func (p packages) longRun(ctx context.Context, b *batch, index int, doing string, command Command) (failed *CommandError, err error) {
	ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), aptTimeout,
		fmt.Errorf("not done within %s", plan.Seconds(aptTimeout)))
	defer cancel()
	text := func(elapsed time.Duration) string {
		return fmt.Sprintf("%s (apt, %d s)", doing, int(elapsed.Seconds()))
	}
	err = b.whileTelling(index, text, func() error {
		_, err := p.run(ctx, command)
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
