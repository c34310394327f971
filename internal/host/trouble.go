package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"github.com/relayctl/relayctl/internal/host/machine"
	"github.com/relayctl/relayctl/internal/hostapi"
)

// explained says of an error of the operating system what somebody needs to
// know who has to mend it; nil: there is no more to say than it says itself.
func explained(err error) *hostapi.Error {
	path := pathOf(err)
	if path == "" {
		return nil
	}
	told := &hostapi.Error{Code: hostapi.CodeInternal, Step: hostapi.NoStep, Log: []string{err.Error()}}
	switch {
	case errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT):
		return noRoom(told, path, err)
	case errors.Is(err, syscall.EROFS):
		mount := machine.FileSystemOf(path).Mount
		told.Message = "the file system " + mount + " is mounted read-only"
		told.Hint = "Mount it writable on the host:\n  mount -o remount,rw " + mount + "\n" +
			"If it turned read-only by itself, its disk may be failing: see dmesg there."
	case errors.Is(err, syscall.EIO):
		told.Message = "the disk under " + machine.FileSystemOf(path).Mount + " fails: input/output error"
		told.Hint = "See dmesg on the host, and mend or replace the disk before anything else is written to it."
	case errors.Is(err, syscall.EPERM):
		kept := machine.Immutable(path)
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
	system := machine.FileSystemOf(path)
	told.Hint = "Make room there. What it holds, on the host:\n  du -xh --max-depth=2 " + system.Mount + " | sort -h | tail"
	if system.IsOutOfNames() {
		told.Message = fmt.Sprintf("no more files fit on the file system %s: all its %d inodes are used", system.Mount, system.Files)
		told.Hint = "Remove files there. Where they are, on the host:\n  du -x --inodes --max-depth=2 " + system.Mount + " | sort -n | tail"
		return told
	}
	told.Message = fmt.Sprintf("no space left on the file system %s: %s", system.Mount, system.Room())
	if errors.Is(err, syscall.EDQUOT) {
		told.Message = fmt.Sprintf("no space left on the file system %s: root's quota there is used up", system.Mount)
	}
	var write *machine.RoomError
	if errors.As(err, &write) && write.Need > 0 {
		told.Message += ", " + machine.Size(write.Need) + " needed"
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
