package lab

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strings"
)

// outputInErrors bounds how much of a failed command's output its error
// shows, in bytes of each stream: the end, where the reason usually stands.
const outputInErrors = 2000

// run runs a program of this machine and returns its standard output.
func run(ctx context.Context, name string, args ...string) (string, error) {
	return output(exec.CommandContext(ctx, name, args...))
}

// runInput is run with a standard input.
func runInput(ctx context.Context, input, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
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
