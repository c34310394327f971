package lab

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
)

// Command is a program of this machine that finds the lab's names in its
// /etc/hosts. It sees them through a mount namespace of its own.
func (l *Lab) Command(ctx context.Context, name string, args ...string) *exec.Cmd {
	return CommandIn(ctx, l.Dir, name, args...)
}

// CommandIn is Lab.Command for the lab in the folder dir, of whichever process.
func CommandIn(ctx context.Context, dir, name string, args ...string) *exec.Cmd {
	return inNamespace(ctx, []string{hostsFile(dir), "/etc/hosts"}, name, args)
}

// CommandWithSSH is Command for a program that also finds sshFolder in the
// place of its user's ~/.ssh: ssh asks the password file for its user's home,
// and nothing else.
func (l *Lab) CommandWithSSH(ctx context.Context, sshFolder, name string, args ...string) (*exec.Cmd, error) {
	me, err := user.Current()
	if err != nil {
		return nil, fmt.Errorf("find the home folder: %w", err)
	}
	own := filepath.Join(me.HomeDir, ".ssh")
	if err := os.MkdirAll(own, 0o700); err != nil {
		return nil, fmt.Errorf("make a place for ssh's folder: %w", err)
	}
	return inNamespace(ctx, []string{hostsFile(l.Dir), "/etc/hosts", sshFolder, own}, name, args), nil
}

// inNamespace is a program that sees, by pairs, one path in the place of
// another. The paths are the shell's arguments: no quoting.
func inNamespace(ctx context.Context, binds []string, name string, args []string) *exec.Cmd {
	script := `for n in $(seq "$0"); do mount --bind "$1" "$2" && shift 2 || exit; done; exec "$@"`
	full := append([]string{"--mount", "--", "sh", "-c", script, strconv.Itoa(len(binds) / 2)}, binds...)
	return exec.CommandContext(ctx, "unshare", append(append(full, name), args...)...)
}
