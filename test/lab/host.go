package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Users of every host, all reached with the lab's key.
const (
	Root   = "root"
	Admin  = "admin"  // may sudo without a password
	NoSudo = "nosudo" // may not sudo
)

const (
	// bootLimit bounds a boot; it takes about two seconds on an idle machine.
	bootLimit = 90 * time.Second
	// stopLimit bounds an orderly power-off, after which the host is killed.
	stopLimit = 30 * time.Second
	// signalPowerOff is what asks systemd as pid 1 to power off:
	// SIGRTMIN+4, counted from glibc's SIGRTMIN.
	signalPowerOff = syscall.Signal(34 + 4)
)

// Host is one machine of a lab.
type Host struct {
	Name string
	// Suite is the Debian release that it runs.
	Suite string
	// Addr is its IPv4 address, reached from this machine; sshd is on port 22.
	Addr string
	// SSHKeyFile is the private key that its users accept.
	SSHKeyFile string
	// KnownHosts is a known_hosts file with this host's keys.
	KnownHosts string
	// HostKeys are the fingerprints of those keys (SHA256:...): ed25519, ECDSA.
	HostKeys []string
	// Root is the folder of this machine where the host's file system is
	// mounted. What is written there, the host sees.
	Root string

	lab  *Lab
	spec Spec
	dir  string

	imageMade time.Time // what changed before is of the base image
	digests   digests

	mu      sync.Mutex // held while the host starts or stops
	running *running   // nil while the host is off
}

// ErrOff means that a host is off: it was stopped or killed, or never started.
var ErrOff = errors.New("the host is off")

// running is a started host.
type running struct {
	init int           // pid, on this machine, of the host's pid 1
	done chan struct{} // closed when the host's supervisor has ended
}

func newHost(l *Lab, spec Spec, addr string) *Host {
	dir := filepath.Join(l.Dir, "hosts", spec.Name)
	return &Host{
		Name: spec.Name, Suite: spec.suite(), Addr: addr,
		SSHKeyFile: l.SSHKeyFile,
		KnownHosts: filepath.Join(dir, "known_hosts"),
		Root:       filepath.Join(dir, "root"),
		lab:        l, spec: spec, dir: dir,
	}
}

// Start boots the host: the first time, or again with the disk that Stop or
// Kill left. It returns when sshd answers and the boot has finished.
func (h *Host) Start(ctx context.Context) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.running != nil {
		return fmt.Errorf("start host %s: it runs already", h.Name)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, bootLimit, fmt.Errorf("no answer within %s", bootLimit))
	defer cancel()
	done, err := h.launch()
	if err != nil {
		return fmt.Errorf("start host %s: %w", h.Name, err)
	}
	r := &running{done: done}
	if r.init, err = h.awaitBoot(ctx, done); err != nil {
		err = fmt.Errorf("start host %s: %w; its console said: %s", h.Name, err, h.console())
		return errors.Join(err, h.lab.machine.killHost(context.WithoutCancel(ctx), h.lab.slot, h.Name))
	}
	h.running = r
	return nil
}

// launch starts the supervisor; done is closed when it has ended.
func (h *Host) launch() (done chan struct{}, err error) {
	console, err := os.OpenFile(h.consoleFile(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open console: %w", err)
	}
	defer console.Close()
	cmd, err := h.lab.machine.start(h.lab.slot, h.Name, console, []string{
		"systemd-nspawn", "--quiet", "--boot", "--directory=" + h.Root,
		"--machine=" + h.lab.slot.machineName(h.Name),
		"--register=no", "--keep-unit", "--console=pipe",
		"--network-bridge=" + h.lab.slot.bridge(),
		"--resolv-conf=off", "--timezone=off", "--link-journal=no",
		"--bind-ro=" + h.lab.cache.shared() + ":" + sharedOnHost,
	})
	if err != nil {
		return nil, err
	}
	done = make(chan struct{})
	go func() {
		cmd.Wait() // its status says nothing that the console does not
		close(done)
	}()
	return done, nil
}

func (h *Host) consoleFile() string { return filepath.Join(h.dir, "console") }

func (h *Host) console() string {
	text, err := os.ReadFile(h.consoleFile())
	if err != nil {
		return err.Error()
	}
	return tail(string(text))
}

// awaitBoot waits until the boot is over and sshd answers, and returns the pid
// of the host's init.
func (h *Host) awaitBoot(ctx context.Context, done <-chan struct{}) (init int, err error) {
	err = poll(ctx, 20*time.Millisecond, func() (bool, error) {
		select {
		case <-done:
			return false, errors.New("the host ended while it booted")
		default:
		}
		if init == 0 {
			if init, err = h.findInit(ctx); err != nil || init == 0 {
				return false, err
			}
		}
		return h.answersSSH(ctx), nil
	})
	if err != nil {
		return 0, err
	}
	// sshd may answer before logins are let in and before the last jobs ran.
	state, err := h.command(ctx, init, "systemctl", "is-system-running", "--wait").Output()
	if s := strings.TrimSpace(string(state)); s != "running" && s != "degraded" {
		return 0, fmt.Errorf("boot ended in state %q: %v", s, err)
	}
	return init, nil
}

// findInit finds the process that is pid 1 in the host's namespace.
func (h *Host) findInit(ctx context.Context) (int, error) {
	pids, err := h.lab.machine.processes(ctx, h.lab.slot, h.Name)
	if err != nil {
		return 0, err
	}
	for _, pid := range pids {
		status, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
		if err != nil {
			continue // ended meanwhile
		}
		for line := range strings.Lines(string(status)) {
			// NSpid lists the pid in each namespace, the innermost last.
			if f := strings.Fields(line); len(f) == 3 && f[0] == "NSpid:" && f[2] == "1" {
				return pid, nil
			}
		}
	}
	return 0, nil
}

// answersSSH reports whether sshd greets on the host's port 22.
func (h *Host) answersSSH(ctx context.Context) bool {
	d := net.Dialer{Timeout: time.Second}
	conn, err := d.DialContext(ctx, "tcp", net.JoinHostPort(h.Addr, "22"))
	if err != nil {
		return false
	}
	defer conn.Close()
	conn.SetReadDeadline(time.Now().Add(2 * time.Second))
	greeting := make([]byte, 4)
	_, err = conn.Read(greeting)
	return err == nil && string(greeting) == "SSH-"
}

// Stop powers the host off in order. Its disk stays for Start.
func (h *Host) Stop(ctx context.Context) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.running == nil {
		return nil
	}
	if err := syscall.Kill(h.running.init, signalPowerOff); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("stop host %s: %w", h.Name, err)
	}
	ctx, cancel := context.WithTimeout(ctx, stopLimit)
	defer cancel()
	select {
	case <-h.running.done:
		h.running = nil
		return nil
	case <-ctx.Done():
		return errors.Join(fmt.Errorf("stop host %s: %w", h.Name, ctx.Err()), h.kill(context.WithoutCancel(ctx)))
	}
}

// Kill takes the host's power away: every process ends at once. Its disk stays
// for Start.
func (h *Host) Kill(ctx context.Context) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.running == nil {
		return nil
	}
	return h.kill(ctx)
}

func (h *Host) kill(ctx context.Context) error {
	if err := h.lab.machine.killHost(ctx, h.lab.slot, h.Name); err != nil {
		return fmt.Errorf("kill host %s: %w", h.Name, err)
	}
	<-h.running.done
	h.running = nil
	return nil
}

// Reboot is Stop and Start.
func (h *Host) Reboot(ctx context.Context) error {
	if err := h.Stop(ctx); err != nil {
		return err
	}
	return h.Start(ctx)
}

// runLimit bounds one command of Run: an apt install over a slow line is the
// longest there is.
const runLimit = 5 * time.Minute

// Run runs a line of bash on the host as root and returns its standard output.
// It enters the host from this machine, so it works whatever the host's
// network, firewall and sshd do.
func (h *Host) Run(ctx context.Context, line string) (string, error) {
	return h.run(ctx, nil, "bash", "-c", line)
}

// command is a program run inside the host with a root login's environment.
func (h *Host) command(ctx context.Context, init int, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "nsenter", append([]string{
		"--target", strconv.Itoa(init), "--all", "--wd", "--"}, args...)...)
	cmd.Env = []string{
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"HOME=/root", "USER=root", "LOGNAME=root", "SHELL=/bin/bash", "LANG=C.UTF-8",
		"DEBIAN_FRONTEND=noninteractive",
	}
	// nsenter's child is ended with it: a group of their own, killed as one.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	return cmd
}

// SSH is the ssh command that reaches the host as user, followed by args.
func (h *Host) SSH(user string, args ...string) []string {
	return append([]string{"ssh", "-F", h.lab.SSHConfig(), user + "@" + h.Name}, args...)
}
