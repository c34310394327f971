package host

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/relayctl/relayctl/internal/host/machine"
	"github.com/relayctl/relayctl/internal/host/record"
	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
)

// Main is relay-host's command line; it returns the exit code.
func Main(version string, args []string) int {
	switch {
	case len(args) == 1 && args[0] == "--version":
		fmt.Println("relay-host " + version)
		return 0
	case len(args) > 0 && args[0] == record.Restore:
		return restore(version, args[1:])
	case len(args) > 0:
		fmt.Fprintln(os.Stderr, "relay-host: relayctl starts it and talks to it; by hand it takes --version, or restore [--to N], which undoes the last apply on this host")
		return 1
	}
	if err := run(version); err != nil {
		fmt.Fprintln(os.Stderr, "relay-host:", err)
		return 1
	}
	return 0
}

// run serves one conversation on standard input and output.
func run(version string) error {
	// A line that breaks, or a login that ends, is the end of input and no
	// reason to stop in the middle of a step.
	signal.Ignore(syscall.SIGPIPE, syscall.SIGHUP)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	syscall.Umask(0o022) // the login's own would do for files that services have to read

	if err := removeFirstContact(); err != nil {
		return err
	}
	return withMachine(version, func(h *Host) error {
		h.SweepUploads(cmp.Or(os.Getenv("SUDO_USER"), os.Getenv("DOAS_USER")), time.Now())
		about, err := h.Describe()
		if err != nil {
			return err
		}
		hello := hostapi.Hello{
			Protocol: hostapi.ProtocolVersion, Version: version, Digest: h.digest, UID: os.Getuid(), Machine: about,
		}
		in, out := unblockable(os.Stdin), unblockable(os.Stdout)
		return NewConversation(h, in, out).Serve(ctx, hello)
	})
}

// withMachine works on this machine as relay-host.
func withMachine(version string, do func(*Host) error) error {
	if os.Getuid() != 0 {
		return errors.New("has to be started by root")
	}
	digest, err := ownDigest()
	if err != nil {
		return err
	}
	manager := &machine.Manager{}
	defer manager.Close()
	return do(New(Config{
		Machine: machine.New(machine.Config{Root: "/", Runner: machine.ExecRunner{}, Systemd: manager, Sockets: manager}),
		Version: version, Program: ownProgram, Digest: digest,
	}))
}

// ownProgram is the program that runs, for as long as it runs.
const ownProgram = "/proc/self/exe"

// ownDigest is the digest of the program that runs, whatever stands at its
// path by now.
func ownDigest() (string, error) {
	program, err := os.Open(ownProgram)
	if err != nil {
		return "", fmt.Errorf("open own program: %w", err)
	}
	defer program.Close()
	content, err := io.ReadAll(program)
	if err != nil {
		return "", fmt.Errorf("read own program: %w", err)
	}
	return plan.Digest(content), nil
}

// unblockable is a standard stream whose Close ends a Read or Write that
// waits, where the kind of file can do that.
func unblockable(file *os.File) *os.File {
	fd := int(file.Fd())
	if err := syscall.SetNonblock(fd, true); err != nil {
		return file
	}
	return os.NewFile(uintptr(fd), file.Name())
}
