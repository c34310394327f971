package remote

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// NotRootError means that the login is not root, and sudo is not to be used.
type NotRootError struct{ User string }

func (e *NotRootError) Error() string {
	return fmt.Sprintf("become root as %s: it is not root, and the stack says sudo = %q", e.User, SudoNone)
}

// Advice says what the operator can do.
func (e *NotRootError) Advice() string {
	return `Log in as root, or take sudo = "none" out of the host's ssh block.`
}

// SudoError means that the login may not become root without a password.
type SudoError struct {
	User    string
	Missing bool   // there is no sudo
	Stderr  string // sudo's own words
}

func (e *SudoError) Error() string {
	if e.Missing {
		return fmt.Sprintf("become root as %s: sudo is not installed", e.User)
	}
	return fmt.Sprintf("become root as %s with sudo -n: %s", e.User, lastLine(e.Stderr))
}

// Advice says what the operator can do.
func (e *SudoError) Advice() string {
	if e.Missing {
		return "Log in as root, or install sudo on the host:\n  apt-get install sudo"
	}
	return fmt.Sprintf("Log in as root, or let %[1]s use sudo without a password and without a terminal. As root on the host:\n"+
		"  echo '%[1]s ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/relayctl\n"+
		"  echo 'Defaults:%[1]s !requiretty' >> /etc/sudoers.d/relayctl", e.User)
}

// ShellError means that the login's shell runs no commands.
type ShellError struct {
	User string
	Said string // the last line of what it said
	Err  error  // *ExitError, *SilentError, or what is wrong with what it said
}

func (e *ShellError) Error() string {
	if e.Said != "" {
		return fmt.Sprintf("run a command as %s: its login shell says: %s (%v)", e.User, e.Said, e.Err)
	}
	return fmt.Sprintf("run a command as %s: its login shell does not do it: %v", e.User, e.Err)
}

func (e *ShellError) Unwrap() error { return e.Err }

// Advice says what the operator can do.
func (e *ShellError) Advice() string {
	return fmt.Sprintf("The shell of %s and its start-up files, such as ~/.bashrc, have to let commands run where there is no terminal. "+
		"So does a password that has to be changed: set one by hand. See what ssh says with the command true at the end, or name another user in the host's ssh block.", e.User)
}

// SilentError means that nothing came for some time.
type SilentError struct{ After time.Duration }

func (e *SilentError) Error() string {
	return fmt.Sprintf("nothing came for %.0f s", e.After.Seconds())
}

// Unwrap makes it a context.DeadlineExceeded.
func (e *SilentError) Unwrap() error { return context.DeadlineExceeded }

// SFTPError means that programs can't be brought to the host.
type SFTPError struct {
	User  string
	Noise bool // something else than SFTP came
	Err   error
}

func (e *SFTPError) Error() string {
	if e.Noise {
		return fmt.Sprintf("bring relay-host by SFTP: what answers is not SFTP: %v", e.Err)
	}
	return "bring relay-host by SFTP: the host's sshd offers none"
}

func (e *SFTPError) Unwrap() error { return e.Err }

// Advice says what the operator can do.
func (e *SFTPError) Advice() string {
	if e.Noise {
		return fmt.Sprintf("A start-up file of %s's login shell, such as ~/.bashrc, prints something where there is no terminal. "+
			"The sftp program stumbles over that, too. Let it print to terminals only.", e.User)
	}
	return "Put this into /etc/ssh/sshd_config on the host, then: systemctl reload ssh\n  Subsystem sftp internal-sftp"
}

// NoExecError means that no folder was found on the host which takes a
// program and lets it run.
type NoExecError struct {
	Size  int64 // that the program needs, in bytes
	Tried []*FolderError
}

// FolderError is why a folder could not be used.
type FolderError struct {
	Folder string
	Err    error
}

func (e *FolderError) Error() string { return fmt.Sprintf("%s: %v", e.Folder, e.Err) }

func (e *FolderError) Unwrap() error { return e.Err }

func (e *NoExecError) Error() string {
	var tried []string
	for _, attempt := range e.Tried {
		tried = append(tried, attempt.Folder)
	}
	return "bring relay-host: none of " + strings.Join(tried, ", ") + " takes a program and lets it run"
}

// Advice tells each folder's reason.
func (e *NoExecError) Advice() string {
	var b strings.Builder
	for _, attempt := range e.Tried {
		fmt.Fprintf(&b, "  %s\n", attempt)
	}
	fmt.Fprintf(&b, "One of them has to have %d MiB free, and must not be mounted noexec.", e.Size>>20+1)
	return b.String()
}

// UnsupportedError means that relayctl has no program for this machine.
type UnsupportedError struct {
	System  string // as uname -s says
	Machine string // as uname -m says
}

func (e *UnsupportedError) Error() string {
	return fmt.Sprintf("%s on %s is not supported: hosts run Linux on x86_64 or aarch64", e.System, e.Machine)
}

// StartError means that the program was started, and did not greet.
type StartError struct {
	Program string // its path on the host
	Stderr  string // the end of what it wrote to its standard error
	Err     error  // what the greeting's reader says
	Exit    error  // how the program ended: *ExitError, *LostError, or nil for exit status 0
}

func (e *StartError) Error() string { return fmt.Sprintf("start %s: %s", e.Program, e.why()) }

func (e *StartError) why() string {
	why := e.Err
	if e.Exit != nil {
		why = e.Exit
	}
	if said := lastLine(e.Stderr); said != "" {
		return fmt.Sprintf("%v: %s", why, said)
	}
	return why.Error()
}

func (e *StartError) Unwrap() []error { return []error{e.Err, e.Exit} }

// Advice says what the operator can do.
func (e *StartError) Advice() string {
	var lost *LostError
	var silent *SilentError
	switch {
	case errors.As(e.Exit, &lost):
		return lost.Advice()
	case errors.As(e.Err, &silent):
		return "Does a start-up file of the login shell wait for something, or does the host hang? See what ssh says with the command true at the end."
	}
	return ""
}

// ExitError is how a program ended that did not end well.
type ExitError struct {
	Status int
	Signal string // set where a signal ended it
}

func (e *ExitError) Error() string {
	if e.Signal != "" {
		return "ended by signal " + e.Signal
	}
	return fmt.Sprintf("exit status %d", e.Status)
}

// LostError means that the connection to the host ended by itself.
type LostError struct {
	Address string
	User    string
	AtOnce  bool   // after the log-in, before anything could be done
	Said    string // what the server said at the log-in
	Err     error
}

func (e *LostError) Error() string {
	if !e.AtOnce {
		return fmt.Sprintf("connection to %s lost: %s", e.Address, plainly(e.Err))
	}
	why := plainly(e.Err)
	if e.Said != "" {
		why += "; it says: " + sentence(e.Said)
	}
	return fmt.Sprintf("connection to %s lost right after the log-in: %s", e.Address, why)
}

func (e *LostError) Unwrap() error { return e.Err }

// Advice says what the operator can do.
func (e *LostError) Advice() string {
	if e.AtOnce {
		return fmt.Sprintf("The host lets %s in and ends the connection at once. A ChrootDirectory that others may write to does that, and so do some settings of PAM. Its log tells: journalctl -u ssh", e.User)
	}
	return "Is the host still up, and this machine's network? Run it again: it goes on from where it ended."
}

func lastLine(text string) string {
	text = strings.TrimSpace(text)
	return strings.TrimSpace(text[strings.LastIndexByte(text, '\n')+1:])
}
