package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
)

// packages are Debian packages.
type packages struct{ *Host }

// Bounds of work with apt.
const (
	aptTimeout      = 15 * time.Minute // for one package, downloads included
	dpkgLockWait    = 5 * time.Minute  // for another run of apt or dpkg
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
	if err := p.refreshIfUnknown(ctx, b, step.index, name); err != nil {
		return outcome{}, err
	}
	err := p.apt(ctx, b, step.index, "installing", "install", name)
	var failed *CommandError
	if errors.As(err, &failed) {
		// Lists that are some days old name files that the mirror has
		// replaced since.
		if err := p.apt(ctx, b, step.index, "updating package lists", "update"); err != nil {
			return outcome{}, aptError("update package lists", err)
		}
		err = p.apt(ctx, b, step.index, "installing", "install", name)
	}
	if err != nil {
		return outcome{}, aptError("install package "+name, err)
	}
	return outcome{made: !step.now.Exists}, nil
}

func (p packages) remove(ctx context.Context, b *batch, step step) error {
	if err := p.waitForDpkg(ctx, b, step.index); err != nil {
		return err
	}
	if err := p.mendDpkg(ctx, b, step.index); err != nil {
		return err
	}
	name := step.change.ID.Name
	return aptError("remove package "+name, p.apt(ctx, b, step.index, "removing", "remove", name))
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
	return aptError("finish what dpkg left half done", p.longRun(ctx, b, index, "finishing what dpkg left", Command{
		Name: "dpkg", Args: []string{"--force-confdef", "--force-confold", "--configure", "-a"}, Env: aptEnv(),
	}))
}

// aptEnv keeps apt, and what it starts, from asking questions and from
// restarting services by itself.
func aptEnv() []string {
	return []string{"DEBIAN_FRONTEND=noninteractive", "NEEDRESTART_MODE=l", "UCF_FORCE_CONFFOLD=1"}
}

// refreshIfUnknown updates the package lists where they offer no version of
// name, as on a machine that was just set up.
func (p packages) refreshIfUnknown(ctx context.Context, b *batch, index int, name string) error {
	offered, err := p.runner.Run(ctx, Command{Name: "apt-cache", Args: []string{"policy", "--", name}})
	if err != nil {
		return fmt.Errorf("ask apt for %s: %w", name, err)
	}
	if hasCandidate(string(offered)) {
		return nil
	}
	return aptError("update package lists", p.apt(ctx, b, index, "updating package lists", "update"))
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
// are.
func (p packages) apt(ctx context.Context, b *batch, index int, doing string, args ...string) error {
	return p.longRun(ctx, b, index, doing, Command{
		Name: "apt-get",
		Args: append([]string{
			"-q", "-y", "--no-install-recommends",
			"-o", "DPkg::Lock::Timeout=" + dpkgLockTimeout,
			"-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold",
			"-o", "Dpkg::Use-Pty=0",
		}, args...),
		Env: aptEnv(),
	})
}

// longRun runs a command to its end, however the conversation goes on, and
// tells how long it takes.
func (p packages) longRun(ctx context.Context, b *batch, index int, doing string, command Command) error {
	ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), aptTimeout,
		fmt.Errorf("not done within %v", aptTimeout))
	defer cancel()
	text := func(elapsed time.Duration) string {
		return fmt.Sprintf("%s (apt, %d s)", doing, int(elapsed.Seconds()))
	}
	return b.whileTelling(index, text, func() error {
		_, err := p.runner.Run(ctx, command)
		return err
	})
}

// aptError tells what apt said; nil stays nil.
func aptError(doing string, err error) error {
	if err == nil {
		return nil
	}
	var failed *CommandError
	if !errors.As(err, &failed) {
		return fmt.Errorf("%s: %w", doing, err)
	}
	why := fmt.Sprintf("%s ended with exit code %d", failed.Name, failed.ExitCode)
	for _, line := range failed.Output {
		if message, ok := strings.CutPrefix(line, "E: "); ok {
			why = message
			break
		}
	}
	return &hostapi.Error{Code: hostapi.CodeStep, Message: doing + ": " + why, Log: failed.Output}
}

// waitForDpkg waits until no other run of apt or dpkg is on, and says who is.
func (p packages) waitForDpkg(ctx context.Context, b *batch, index int) error {
	ctx, cancel := context.WithTimeout(ctx, dpkgLockWait)
	defer cancel()
	retry := time.NewTicker(lockInterval)
	defer retry.Stop()
	begun, told := time.Now(), time.Time{}
	for {
		holder, err := p.dpkgHolder()
		if err != nil || holder == "" {
			return err
		}
		if time.Since(told) >= tellEvery {
			told = time.Now()
			b.tell(index, fmt.Sprintf("dpkg is locked by %s, %d s", holder, int(time.Since(begun).Seconds())))
		}
		select {
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return fmt.Errorf("wait for dpkg: locked by %s for %v", holder, dpkgLockWait)
			}
			return context.Cause(ctx)
		case <-b.stopped:
			return context.Canceled // nothing of the step is begun yet
		case <-retry.C:
		}
	}
}

// dpkgHolder names the process that holds dpkg's lock; empty: nobody does.
func (p packages) dpkgHolder() (string, error) {
	file, err := os.OpenFile(p.path("/var/lib/dpkg/lock-frontend"), os.O_RDWR|syscall.O_NOFOLLOW, 0)
	if gone(err) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("open dpkg's lock: %w", err)
	}
	defer file.Close()
	lock := unix.Flock_t{Type: unix.F_WRLCK}
	if err := unix.FcntlFlock(file.Fd(), unix.F_GETLK, &lock); err != nil {
		return "", fmt.Errorf("look at dpkg's lock: %w", err)
	}
	if lock.Type == unix.F_UNLCK {
		return "", nil
	}
	pid := strconv.Itoa(int(lock.Pid))
	name, _ := readIfThere(p.path(filepath.Join("/proc", pid, "comm"))) // it may have ended just now
	if text := strings.TrimSpace(string(name)); text != "" {
		return fmt.Sprintf("%s (pid %s)", text, pid), nil
	}
	return "pid " + pid, nil
}
