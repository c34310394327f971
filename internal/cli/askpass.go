package cli

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// errNotStarted means that there is no program that could say anything.
var errNotStarted = errors.New("can't be started")

// askpass has a program ask a question, as ssh does: the prompt is its one
// argument, the first line of its output the answer. To fail is to decline.
func askpass(ctx context.Context, program, prompt string) (string, error) {
	command := exec.CommandContext(ctx, program, prompt)
	var stdout, stderr beginning
	command.Stdout, command.Stderr = &stdout, &stderr
	command.WaitDelay = time.Second // for what it leaves running
	if err := command.Start(); err != nil {
		return "", fmt.Errorf("SSH_ASKPASS %w: %w", errNotStarted, err)
	}
	if err := command.Wait(); err != nil {
		said, _, _ := strings.Cut(strings.TrimSpace(stderr.String()), "\n")
		return "", fmt.Errorf("%s", strings.TrimSuffix(fmt.Sprintf("%s gave no answer: %v: %s", filepath.Base(program), err, said), ": "))
	}
	answer, _, _ := strings.Cut(stdout.String(), "\n")
	return strings.TrimSuffix(answer, "\r"), nil
}

// beginning keeps the first 4 KiB of what is written.
type beginning struct{ kept []byte }

// Write implements io.Writer.
func (b *beginning) Write(p []byte) (int, error) {
	b.kept = append(b.kept, p[:min(len(p), 4<<10-len(b.kept))]...)
	return len(p), nil
}

func (b *beginning) String() string { return string(b.kept) }
