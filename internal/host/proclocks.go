package host

import (
	"fmt"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// flocked reports whether /proc/locks lists a held flock(2) on a file. A line:
//
//	1: FLOCK  ADVISORY  WRITE 812 00:2d:4711 0 EOF
//
// A waiter's line has "->" after the number.
func flocked(locks string, file *syscall.Stat_t) bool {
	_, held := lockedBy(locks, "FLOCK", file)
	return held
}

// lockedBy finds who holds a lock of a sort (FLOCK, POSIX) on a file.
func lockedBy(locks, sort string, file *syscall.Stat_t) (pid string, held bool) {
	device := uint64(file.Dev)
	want := fmt.Sprintf("%02x:%02x:%d", unix.Major(device), unix.Minor(device), file.Ino)
	for line := range strings.Lines(locks) {
		fields := strings.Fields(line)
		if len(fields) >= 6 && fields[1] == sort && fields[5] == want {
			return fields[4], true
		}
	}
	return "", false
}
