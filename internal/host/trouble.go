package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/relayctl/relayctl/internal/hostapi"
)

// roomError is a write that failed, with how many bytes it had to write.
type roomError struct {
	need int64
	err  error
}

func (e *roomError) Error() string { return e.err.Error() }
func (e *roomError) Unwrap() error { return e.err }

// needing tells how many bytes were to be written; nil stays nil.
func needing(bytes int, err error) error {
	if err == nil {
		return nil
	}
	return &roomError{need: int64(bytes), err: err}
}

// explained says of an error of the operating system what somebody needs to
// know who has to mend it; nil: there is no more to say than it says itself.
func explained(err error) *hostapi.Error {
	path := pathOf(err)
	if path == "" {
		return nil
	}
	told := &hostapi.Error{Code: hostapi.CodeInternal, Step: noStep, Log: []string{err.Error()}}
	switch {
	case errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT):
		return noRoom(told, path, err)
	case errors.Is(err, syscall.EROFS):
		mount := fileSystemOf(path).mount
		told.Message = "the file system " + mount + " is mounted read-only"
		told.Hint = "Mount it writable on the host:\n  mount -o remount,rw " + mount + "\n" +
			"If it turned read-only by itself, its disk may be failing: see dmesg there."
	case errors.Is(err, syscall.EIO):
		told.Message = "the disk under " + fileSystemOf(path).mount + " fails: input/output error"
		told.Hint = "See dmesg on the host, and mend or replace the disk before anything else is written to it."
	case errors.Is(err, syscall.EPERM):
		kept := immutable(path)
		if kept == "" {
			return nil
		}
		told.Message = kept + " is immutable: somebody keeps it from being changed"
		told.Hint = "If it may be changed, on the host:\n  chattr -i " + kept
	default:
		return nil
	}
	return told
}

func noRoom(told *hostapi.Error, path string, err error) *hostapi.Error {
	system := fileSystemOf(path)
	told.Hint = "Make room there. What it holds, on the host:\n  du -xh --max-depth=2 " + system.mount + " | sort -h | tail"
	if system.isOutOfNames() {
		told.Message = fmt.Sprintf("no more files fit on the file system %s: all its %d inodes are used", system.mount, system.files)
		told.Hint = "Remove files there. Where they are, on the host:\n  du -x --inodes --max-depth=2 " + system.mount + " | sort -n | tail"
		return told
	}
	told.Message = fmt.Sprintf("no space left on the file system %s: %s", system.mount, system.room())
	if errors.Is(err, syscall.EDQUOT) {
		told.Message = fmt.Sprintf("no space left on the file system %s: root's quota there is used up", system.mount)
	}
	var write *roomError
	if errors.As(err, &write) && write.need > 0 {
		told.Message += ", " + size(write.need) + " needed"
	}
	return told
}

// pathOf is the path that an error of the operating system is about; empty: it
// names none.
func pathOf(err error) string {
	var one *fs.PathError
	if errors.As(err, &one) {
		return one.Path
	}
	var two *os.LinkError
	if errors.As(err, &two) {
		return two.New
	}
	return ""
}

// immutable is which of path and its folder can't be changed by anybody, as
// chattr(1) has it; empty: neither.
func immutable(path string) string {
	const flags = unix.STATX_ATTR_IMMUTABLE | unix.STATX_ATTR_APPEND
	for _, path := range []string{path, filepath.Dir(path)} {
		var stat unix.Statx_t
		err := unix.Statx(unix.AT_FDCWD, path, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_BASIC_STATS, &stat)
		if err == nil && stat.Attributes&flags != 0 {
			return path
		}
	}
	return ""
}
