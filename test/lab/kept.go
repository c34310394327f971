package lab

import (
	"context"
	"os/exec"
)

// Kept lists the folders of the labs that were opened with Keep and stand.
func Kept() ([]string, error) {
	slots, err := slotsInUse(machine{})
	if err != nil {
		return nil, err
	}
	var dirs []string
	for _, s := range slots {
		if s.kept() {
			dirs = append(dirs, s.dir)
		}
	}
	return dirs, nil
}

// CommandIn is Lab.Command for the lab in the folder dir, of whichever process.
func CommandIn(ctx context.Context, dir, name string, args ...string) *exec.Cmd {
	// The shell's $0 is a good place for the path: no quoting.
	script := `mount --bind "$0" /etc/hosts && exec "$@"`
	return exec.CommandContext(ctx, "unshare", append([]string{
		"--mount", "--", "sh", "-c", script, hostsFile(dir), name}, args...)...)
}
