package machine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"
	"unicode"
)

// Command is a program to be run, without a shell between.
type Command struct {
	Name string
	Args []string
	Env  []string // beside PATH, HOME and LC_ALL; nothing is inherited, see WebProxy for what downloads
	As   *Account // nil: as relay-host itself

	// Hear is told each line that the command prints while it runs, by several
	// goroutines; nil: nobody is.
	Hear func(line string)
}

// Runner runs commands on the machine.
type Runner interface {
	// Run returns what the command wrote to its standard output. The error is
	// a *CommandError when the command ran and failed, and wraps
	// exec.ErrNotFound when there is no such command.
	Run(ctx context.Context, command Command) ([]byte, error)
}

// CommandError is the failure of a command that did run.
type CommandError struct {
	Name     string
	ExitCode int
	Stdout   []string // its last lines, at most keptLines
	Stderr   []string // likewise
}

// Error is one line: the exit code and the last line that the command said.
func (e *CommandError) Error() string {
	text := fmt.Sprintf("%s: exit code %d", e.Name, e.ExitCode)
	if said := e.Said(); len(said) > 0 {
		text += ": " + said[len(said)-1]
	}
	return text
}

// Said is the end of all that the command said.
func (e *CommandError) Said() []string { return slices.Concat(Tail(e.Stdout), Tail(e.Stderr)) }

// keptLines is how many of a failed command's last lines are kept.
const keptLines = 100

// toldLines is how many lines of what a command said an error carries.
const toldLines = 10

// Tail is the end of what a command said, at most toldLines.
func Tail(lines []string) []string { return lines[max(0, len(lines)-toldLines):] }

// waitAfterKill bounds the wait for the output of what a killed command left
// behind.
const waitAfterKill = 5 * time.Second

// ExecRunner runs commands of this machine.
type ExecRunner struct{}

// Run implements Runner. The command and its children are killed when ctx
// ends.
func (ExecRunner) Run(ctx context.Context, command Command) ([]byte, error) {
	const path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	program, err := findProgram(command.Name, path)
	if err != nil {
		return nil, err
	}
	home := "/root"
	if command.As != nil {
		home = command.As.Home
	}
	cmd := exec.CommandContext(ctx, program, command.Args...)
	cmd.Dir = "/"
	cmd.Env = append([]string{"PATH=" + path, "HOME=" + home, "LC_ALL=C"}, command.Env...)
	cmd.WaitDelay = waitAfterKill
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if command.As != nil {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(command.As.UID), Gid: uint32(command.As.GID)}
	}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if command.Hear != nil {
		cmd.Stdout = io.MultiWriter(&stdout, &lineWriter{hear: command.Hear})
		cmd.Stderr = io.MultiWriter(&stderr, &lineWriter{hear: command.Hear})
	}
	err = cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return stdout.Bytes(), nil
	case ctx.Err() != nil:
		return stdout.Bytes(), fmt.Errorf("run %s: %w", command.Name, context.Cause(ctx))
	case errors.As(err, &exit):
		return stdout.Bytes(), &CommandError{
			Name: command.Name, ExitCode: exit.ExitCode(), Stdout: LastLines(stdout.Bytes()), Stderr: LastLines(stderr.Bytes()),
		}
	default:
		return stdout.Bytes(), fmt.Errorf("run %s: %w", command.Name, err)
	}
}

// maxHeard is the longest line that is told of a command that runs, in bytes.
const maxHeard = 1 << 10

// lineWriter tells the lines that are written to it, less what can't be printed.
// Lines that are empty or longer than maxHeard are left out, and so is what
// comes behind the last end of a line.
type lineWriter struct {
	hear func(line string)
	line []byte // that has begun
}

func (w *lineWriter) Write(output []byte) (int, error) {
	for _, b := range output {
		switch {
		case b != '\n' && b != '\r':
			if len(w.line) <= maxHeard {
				w.line = append(w.line, b)
			}
			continue
		case len(w.line) <= maxHeard:
			if line := printable(w.line); line != "" {
				w.hear(line)
			}
		}
		w.line = w.line[:0]
	}
	return len(output), nil
}

// printable is a line without control characters and blanks around it.
func printable(line []byte) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(string(line), "?")))
}

// findProgram looks a program up in path, not in the PATH that a login shell
// happened to leave.
func findProgram(name, path string) (string, error) {
	for dir := range strings.SplitSeq(path, ":") {
		candidate := dir + "/" + name
		if info, err := os.Stat(candidate); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return candidate, nil
		}
	}
	return "", fmt.Errorf("run %s: %w", name, exec.ErrNotFound)
}

// LastLines returns the last keptLines lines of output that are not empty.
func LastLines(output []byte) []string {
	var lines []string
	for line := range strings.Lines(strings.ToValidUTF8(string(output), "?")) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return lines[max(0, len(lines)-keptLines):]
}
