package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// machine is how this machine groups processes, which decides how hosts are
// started and ended.
//
// Every host needs a control group of its own: two systemd-nspawn started from
// the same group put their hosts into one subtree, where each host's systemd
// finds the other's services under the same names.
type machine struct {
	// systemd is whether systemd is pid 1 here. It then hands out the groups.
	systemd bool
	// unified is where the cgroup v2 hierarchy is mounted.
	unified string
	// named is where systemd's own cgroup v1 hierarchy is mounted, if it is.
	named string
}

func findMachine(ctx context.Context) (machine, error) {
	var m machine
	_, err := os.Stat("/run/systemd/system") // what sd_booted(3) looks at
	m.systemd = err == nil
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return m, fmt.Errorf("read mount table: %w", err)
	}
	for line := range strings.Lines(string(table)) {
		before, after, _ := strings.Cut(line, " - ")
		f := strings.Fields(before)
		switch kind := strings.Fields(after); {
		case len(f) < 5 || len(kind) < 3:
		case kind[0] == "cgroup2":
			m.unified = f[4]
		case kind[0] == "cgroup" && slices.Contains(strings.Split(kind[2], ","), "name=systemd"):
			m.named = f[4]
		}
	}
	if m.unified == "" {
		return m, errors.New("find control groups: no cgroup2 file system is mounted (mount -t cgroup2 none /sys/fs/cgroup/unified)")
	}
	return m, nil
}

// groupName is the control group of a slot below a hierarchy's root.
func groupName(s *slot) string { return fmt.Sprintf("relayctl-lab-%d", s.number) }

// unit names the transient service of a host where systemd is pid 1.
func unit(s *slot, host string) string { return groupName(s) + "-" + host + ".service" }

// groups lists the slot's control groups, one per hierarchy.
func (m machine) groups(s *slot) []string {
	if m.systemd {
		return nil
	}
	groups := []string{filepath.Join(m.unified, groupName(s))}
	if m.named != "" {
		groups = append(groups, filepath.Join(m.named, groupName(s)))
	}
	return groups
}

// start starts args as a host's supervisor, detached from this process, with
// its output going to console.
func (m machine) start(s *slot, host string, console *os.File, args []string) (*exec.Cmd, error) {
	var cmd *exec.Cmd
	if m.systemd {
		cmd = command(context.Background(), "systemd-run", append([]string{
			"--quiet", "--collect", "--wait", "--unit=" + unit(s, host), "--property=Delegate=yes",
			"--property=KillMode=mixed", "--property=StandardInput=null",
			"--property=StandardOutput=append:" + console.Name(), "--property=StandardError=append:" + console.Name(),
			"--setenv=SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1", "--"}, args...)...)
	} else {
		join := make([]string, 0, 2)
		for _, g := range m.groups(s) {
			group := filepath.Join(g, host)
			if err := os.MkdirAll(group, 0o755); err != nil {
				return nil, fmt.Errorf("make control group: %w", err)
			}
			join = append(join, "echo $$ > "+group+"/cgroup.procs")
		}
		script := strings.Join(append(join, `exec "$@"`), " && ")
		cmd = command(context.Background(), "sh", append([]string{"-c", script, "sh"}, args...)...)
		// Hosts get the unified hierarchy that Debian has by default, also
		// where this machine still mixes both.
		cmd.Env = append(cmd.Env, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1")
	}
	cmd.Stdout, cmd.Stderr = console, console
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start host: %w", err)
	}
	return cmd, nil
}

// processes lists the processes of one host.
func (m machine) processes(ctx context.Context, s *slot, host string) ([]int, error) {
	group := filepath.Join(m.unified, groupName(s), host)
	if m.systemd {
		path, err := run(ctx, "systemctl", "show", "--property=ControlGroup", "--value", unit(s, host))
		if err != nil {
			return nil, fmt.Errorf("find control group: %w", err)
		}
		if strings.TrimSpace(path) == "" {
			return nil, nil
		}
		group = filepath.Join(m.unified, strings.TrimSpace(path))
	}
	var pids []int
	err := filepath.WalkDir(group, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // a group of a service that ended just now
		}
		if err != nil || d.Name() != "cgroup.procs" {
			return err
		}
		procs, err := os.ReadFile(path)
		if err != nil {
			return nil
		}
		for field := range strings.FieldsSeq(string(procs)) {
			var pid int
			if _, err := fmt.Sscan(field, &pid); err == nil {
				pids = append(pids, pid)
			}
		}
		return nil
	})
	return pids, err
}

// killAll ends every process of the slot at once and waits until it is gone.
func (m machine) killAll(ctx context.Context, s *slot) error {
	if m.systemd {
		return killUnits(ctx, unit(s, "*"))
	}
	return killGroup(ctx, filepath.Join(m.unified, groupName(s)))
}

// killHost is killAll for one host. Its groups go too: Linux 6.18 was seen to
// kill what systemd 257 starts straight into a group that was killed before.
func (m machine) killHost(ctx context.Context, s *slot, host string) error {
	if m.systemd {
		return errors.Join(killUnits(ctx, unit(s, host)), removeTraces(ctx, s, host), removeLinks(ctx, s, host))
	}
	if err := killGroup(ctx, filepath.Join(m.unified, groupName(s), host)); err != nil {
		return err
	}
	errs := []error{removeTraces(ctx, s, host), removeLinks(ctx, s, host)}
	for _, group := range m.groups(s) {
		errs = append(errs, removeTree(filepath.Join(group, host)))
	}
	return errors.Join(errs...)
}

// killUnits kills the units that match pattern and waits until systemd has
// forgotten them. They may end by themselves meanwhile.
func killUnits(ctx context.Context, pattern string) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	err := poll(ctx, 50*time.Millisecond, func() (bool, error) {
		list, err := run(ctx, "systemctl", "list-units", "--all", "--plain", "--no-legend", pattern)
		if err != nil || strings.TrimSpace(list) == "" {
			return err == nil, err
		}
		for line := range strings.Lines(list) {
			// An error here is a unit that ended just now, or the next round's.
			run(ctx, "systemctl", "kill", "--signal=KILL", strings.Fields(line)[0])
		}
		return false, nil
	})
	if err != nil {
		return fmt.Errorf("kill units %s: %w", pattern, err)
	}
	return nil
}

func killGroup(ctx context.Context, group string) error {
	err := os.WriteFile(filepath.Join(group, "cgroup.kill"), []byte("1"), 0o644)
	if errors.Is(err, os.ErrNotExist) {
		if _, err := os.Stat(group); errors.Is(err, os.ErrNotExist) {
			return nil
		}
		return fmt.Errorf("kill processes: %s has no cgroup.kill (Linux 5.14 has it)", group)
	}
	if err != nil {
		return fmt.Errorf("kill processes: %w", err)
	}
	err = poll(ctx, 10*time.Millisecond, func() (bool, error) {
		events, err := os.ReadFile(filepath.Join(group, "cgroup.events"))
		return strings.Contains(string(events), "populated 0"), err
	})
	if err != nil {
		return fmt.Errorf("wait for killed processes in %s: %w", group, err)
	}
	return nil
}

// removeGroups removes the control groups of the slot.
func (m machine) removeGroups(s *slot) error {
	var errs []error
	for _, group := range m.groups(s) {
		errs = append(errs, removeTree(group))
	}
	return errors.Join(errs...)
}

// removeTree removes a control group and those below it, the innermost first.
func removeTree(group string) error {
	var dirs []string
	err := filepath.WalkDir(group, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil && d.IsDir() {
			dirs = append(dirs, path)
		}
		return err
	})
	errs := []error{err}
	for _, dir := range slices.Backward(dirs) {
		if err := syscall.Rmdir(dir); err != nil && !errors.Is(err, syscall.ENOENT) {
			errs = append(errs, fmt.Errorf("remove control group %s: %w", dir, err))
		}
	}
	return errors.Join(errs...)
}

// poll asks every interval until the answer is yes, or an error, or ctx ends.
func poll(ctx context.Context, interval time.Duration, ask func() (bool, error)) error {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		if done, err := ask(); err != nil || done {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}
