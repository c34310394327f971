package lab

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// outputInErrors bounds how much of a failed command's output its error
// shows, in bytes of each stream: the end, where the reason usually stands.
const outputInErrors = 2000

// run runs a program of this machine and returns its standard output.
func run(ctx context.Context, name string, args ...string) (string, error) {
	return output(command(ctx, name, args...))
}

// command is a program of this machine that an administrator would find: under
// sudo with a user's PATH, and for users in general, the folders of system
// programs are not in PATH.
func command(ctx context.Context, name string, args ...string) *exec.Cmd {
	program, err := findProgram(name)
	if err != nil {
		program = name // starting it says what is wrong
	}
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), "PATH="+strings.Join(programFolders(), ":"))
	return cmd
}

func programFolders() []string {
	return append(filepath.SplitList(os.Getenv("PATH")), "/usr/local/sbin", "/usr/sbin", "/sbin")
}

func findProgram(name string) (string, error) {
	for _, dir := range programFolders() {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return path, nil
		}
	}
	return "", fmt.Errorf("find program %s: %w", name, exec.ErrNotFound)
}

// runInput is run with a standard input.
func runInput(ctx context.Context, input, name string, args ...string) (string, error) {
	cmd := command(ctx, name, args...)
	cmd.Stdin = strings.NewReader(input)
	return output(cmd)
}

// output runs cmd and returns its standard output, also when it fails.
func output(cmd *exec.Cmd) (string, error) {
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		said := strings.TrimSpace(tail(stdout.String()) + "\n" + tail(stderr.String()))
		return stdout.String(), fmt.Errorf("run %s: %w: %s", cmd.Args[0], err, said)
	}
	return stdout.String(), nil
}

func tail(s string) string {
	if len(s) <= outputInErrors {
		return strings.TrimSpace(s)
	}
	return "… " + strings.TrimSpace(s[len(s)-outputInErrors:])
}
