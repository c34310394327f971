package machine

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// FileSystem is what a path is on.
type FileSystem struct {
	Mount       string // where it is mounted
	Free, Whole int64  // bytes; Free is what may still be written
	Files       uint64 // that it can hold; 0: as many as there is room for
	FilesFree   uint64
}

// IsOutOfNames reports whether there is room, and no inode to use it.
func (s FileSystem) IsOutOfNames() bool { return s.Files > 0 && s.FilesFree == 0 && s.Free > 0 }

// Room is how full it is, for people.
func (s FileSystem) Room() string { return fmt.Sprintf("%s free of %s", Size(s.Free), Size(s.Whole)) }

// FileSystemOf finds what a path is on, or would be. What can't be found out
// is left empty: it is for messages.
func FileSystemOf(path string) FileSystem {
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return FileSystem{Mount: filepath.Dir(path)}
	}
	system := FileSystem{Mount: mountOf(parseMounts(string(mounts)), path)}
	for ; ; path = filepath.Dir(path) {
		if system.measure(path) || path == filepath.Dir(path) {
			return system
		}
	}
}

// measure fills in how full it is, if there is anything at path.
func (s *FileSystem) measure(path string) bool {
	var stat unix.Statfs_t
	if err := unix.Statfs(path, &stat); err != nil {
		return false
	}
	s.Free, s.Whole = int64(stat.Bavail)*stat.Frsize, int64(stat.Blocks)*stat.Frsize
	s.Files, s.FilesFree = stat.Files, stat.Ffree
	return true
}

// mount is a line of /proc/self/mountinfo.
type mount struct {
	path     string
	kind     string
	writable bool
}

// parseMounts reads mountinfo as in proc(5): ID, parent, device, root, path,
// options, optional fields, a hyphen, kind, source and the options of the file
// system. Lines that make no sense are passed over.
func parseMounts(text string) []mount {
	var mounts []mount
	for line := range strings.Lines(text) {
		here, system, ok := strings.Cut(line, " - ")
		fields, more := strings.Fields(here), strings.Fields(system)
		if !ok || len(fields) < 6 || len(more) < 3 {
			continue
		}
		isReadOnly := hasOption(fields[5], "ro") || hasOption(more[len(more)-1], "ro")
		mounts = append(mounts, mount{path: unescapeMount(fields[4]), kind: more[0], writable: !isReadOnly})
	}
	return mounts
}

func hasOption(list, option string) bool {
	for one := range strings.SplitSeq(list, ",") {
		if one == option {
			return true
		}
	}
	return false
}

// unescapeMount takes the escapes out of a path: a backslash and three octal
// digits stand for a blank or a backslash.
func unescapeMount(text string) string {
	var plain strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] == '\\' && i+3 < len(text) {
			if code, err := strconv.ParseUint(text[i+1:i+4], 8, 8); err == nil {
				plain.WriteByte(byte(code))
				i += 3
				continue
			}
		}
		plain.WriteByte(text[i])
	}
	return plain.String()
}

// mountOf is the path of the mount that a path is on: the deepest, since a
// mount hides what was there before it.
func mountOf(mounts []mount, path string) string {
	deepest := "/"
	for _, one := range mounts {
		within := one.path == "/" || path == one.path || strings.HasPrefix(path, one.path+"/")
		if within && len(one.path) > len(deepest) {
			deepest = one.path
		}
	}
	return deepest
}

// Size is a number of bytes for people.
func Size(bytes int64) string {
	switch {
	case bytes >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(bytes)/(1<<30))
	case bytes >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20))
	case bytes >= 1<<10:
		return fmt.Sprintf("%d KiB", bytes>>10)
	}
	return fmt.Sprintf("%d B", bytes)
}

// RoomError is a write that failed, with how many bytes it had to write.
type RoomError struct {
	Need int64
	err  error
}

func (e *RoomError) Error() string { return e.err.Error() }

// Unwrap returns the failure itself.
func (e *RoomError) Unwrap() error { return e.err }

// Needing tells how many bytes were to be written; nil stays nil.
func Needing(bytes int, err error) error {
	if err == nil {
		return nil
	}
	return &RoomError{Need: int64(bytes), err: err}
}

// Immutable is which of path and its folder can't be changed by anybody, as
// chattr(1) has it; empty: neither.
func Immutable(path string) string {
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
