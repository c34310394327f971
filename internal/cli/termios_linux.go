package cli

import "golang.org/x/sys/unix"

// What ioctl(2) calls them on Linux.
const (
	getTermios        = unix.TCGETS
	setTermios        = unix.TCSETS
	setTermiosAndDrop = unix.TCSETSF
)
