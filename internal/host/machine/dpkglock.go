package machine

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// dpkgLocks are the files that apt and dpkg lock, with fcntl: the first by
// whatever changes packages, the others by its parts.
var dpkgLocks = [...]string{
	"/var/lib/dpkg/lock-frontend", "/var/lib/dpkg/lock", "/var/lib/apt/lists/lock", "/var/cache/apt/archives/lock",
}

// DpkgHolder names the process that keeps apt and dpkg from working; empty:
// none does.
func (m *Machine) DpkgHolder() (string, error) {
	for _, lock := range dpkgLocks {
		pid, err := lockedBy(m.Path(lock))
		if err != nil {
			return "", fmt.Errorf("look at dpkg's lock: %w", err)
		}
		if pid != 0 {
			return fmt.Sprintf("%s, which holds %s", m.process(pid), lock), nil
		}
	}
	return "", nil
}

// lockedBy is the process that holds a lock of fcntl's on a file; 0: none, or
// no file. It is below 0 where the kernel doesn't tell.
func lockedBy(path string) (pid int, err error) {
	file, err := os.OpenFile(path, os.O_RDWR|syscall.O_NOFOLLOW, 0)
	if Gone(err) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer file.Close()
	lock := unix.Flock_t{Type: unix.F_WRLCK}
	if err := unix.FcntlFlock(file.Fd(), unix.F_GETLK, &lock); err != nil {
		return 0, &os.PathError{Op: "fcntl", Path: path, Err: err}
	}
	switch {
	case lock.Type == unix.F_UNLCK:
		return 0, nil
	case lock.Pid <= 0: // of another namespace, or of no process alone
		return -1, nil
	}
	return int(lock.Pid), nil
}

// maxCommandLine is how much of a command line is shown, in bytes.
const maxCommandLine = 60

// process names a process by its command line.
func (m *Machine) process(pid int) string {
	if pid < 0 {
		return "a process that can't be seen from here"
	}
	folder := filepath.Join("/proc", strconv.Itoa(pid))
	line, _ := ReadIfThere(m.Path(filepath.Join(folder, "cmdline"))) // it may have ended just now
	name := strings.Join(strings.FieldsFunc(string(line), func(r rune) bool { return r <= ' ' }), " ")
	if name == "" {
		comm, _ := ReadIfThere(m.Path(filepath.Join(folder, "comm")))
		name = strings.TrimSpace(string(comm))
	}
	name = m.WebProxy().mask(strings.ToValidUTF8(name, "?")) // before the end of a password is cut off
	if len(name) > maxCommandLine {
		name = strings.ToValidUTF8(name[:maxCommandLine], "") + "…"
	}
	if name == "" {
		return fmt.Sprintf("pid %d", pid)
	}
	return fmt.Sprintf("%s (pid %d)", name, pid)
}
