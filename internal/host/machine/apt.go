package machine

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// aptEnv keeps apt, and what it starts, from asking questions and from
// restarting services by itself.
var aptEnv = [...]string{"DEBIAN_FRONTEND=noninteractive", "NEEDRESTART_MODE=l", "UCF_FORCE_CONFFOLD=1"}

// RunApt runs a program of apt's or dpkg's, which may download through the
// machine's web proxy; no password is in what its error holds of what it said,
// nor in what Hear is told.
func (m *Machine) RunApt(ctx context.Context, command Command) ([]byte, error) {
	proxy := m.WebProxy()
	command.Env = slices.Concat(aptEnv[:], proxy.Env)
	if hear := command.Hear; hear != nil {
		command.Hear = func(line string) { hear(proxy.mask(line)) }
	}
	output, err := m.Runner.Run(ctx, command)
	var failed *CommandError
	if errors.As(err, &failed) {
		masked := *failed
		masked.Stdout, masked.Stderr = proxy.maskAll(failed.Stdout), proxy.maskAll(failed.Stderr)
		return output, &masked
	}
	return output, err
}

// IsOffered reports whether the package lists have a version of a package that
// may be installed.
func (m *Machine) IsOffered(ctx context.Context, name string) (bool, error) {
	offered, err := m.RunApt(ctx, Command{Name: "apt-cache", Args: []string{"policy", "--", name}})
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

// IsHeld reports whether somebody keeps a package as it is.
func (m *Machine) IsHeld(ctx context.Context, name string) bool {
	held, err := m.RunApt(ctx, Command{Name: "apt-mark", Args: []string{"showhold", "--", name}})
	return err == nil && slices.Contains(strings.Fields(string(held)), name)
}

// RemovedWith lists the other packages that would be removed with one.
func (m *Machine) RemovedWith(ctx context.Context, name string) ([]string, error) {
	output, err := m.RunApt(ctx, Command{Name: "apt-get", Args: []string{"--simulate", "-q", "remove", name}})
	if err != nil {
		return nil, fmt.Errorf("ask apt what goes with %s: %w", name, err)
	}
	return slices.DeleteFunc(removals(string(output)), func(other string) bool { return other == name }), nil
}

// Unneeded lists the packages that came with others and that none needs any
// more.
func (m *Machine) Unneeded(ctx context.Context) ([]string, error) {
	output, err := m.RunApt(ctx, Command{Name: "apt-get", Args: []string{"--simulate", "-q", "autoremove"}})
	if err != nil {
		return nil, fmt.Errorf("ask apt what nobody needs: %w", err)
	}
	return removals(string(output)), nil
}

// removals reads which packages apt would remove.
func removals(simulated string) []string {
	var names []string
	for line := range strings.Lines(simulated) {
		if words := strings.Fields(line); len(words) > 1 && words[0] == "Remv" {
			names = append(names, words[1])
		}
	}
	return names
}

// IsDpkgCutOff reports whether dpkg was cut off, by a power failure say: apt
// does nothing before that is finished. It notes changes there as files with
// numbers for names.
func (m *Machine) IsDpkgCutOff() (bool, error) {
	notes, err := filepath.Glob(m.Path("/var/lib/dpkg/updates/[0-9]*"))
	if err != nil {
		return false, fmt.Errorf("look for what dpkg left: %w", err)
	}
	return len(notes) > 0, nil
}

// placesOfPackages are where packages write.
var placesOfPackages = [...]string{"/usr", "/var", "/etc", "/boot", "/opt", "/tmp"}

// FullForPackages is a file system where packages write and nothing more fits.
func (m *Machine) FullForPackages() (FileSystem, bool) {
	const nothing = 1 << 20 // bytes: few packages are smaller
	mounts, err := ReadIfThere(m.Path("/proc/self/mountinfo"))
	if err != nil {
		return FileSystem{}, false
	}
	for _, one := range parseMounts(string(mounts)) {
		within := one.path == "/" || slices.ContainsFunc(placesOfPackages[:], func(place string) bool {
			return one.path == place || strings.HasPrefix(one.path, place+"/")
		})
		system := FileSystem{Mount: one.path}
		if one.writable && within && system.measure(one.path) && system.Whole > 0 && system.Free < nothing {
			return system, true
		}
	}
	return FileSystem{}, false
}
