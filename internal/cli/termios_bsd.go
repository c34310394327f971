//go:build darwin || freebsd || netbsd || openbsd || dragonfly

package cli

import "golang.org/x/sys/unix"

// What ioctl(2) calls them on macOS and the BSDs.
const (
	getTermios        = unix.TIOCGETA
	setTermios        = unix.TIOCSETA
	setTermiosAndDrop = unix.TIOCSETAF
)
