package machine

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/relayctl/relayctl/internal/plan"
)

// MaxFile is the largest file, in bytes, that is read for its content. What
// relayctl manages is some KiB long.
const MaxFile = 64 << 20

// ReadRegular reads a file that is one: the name may have come to mean
// something else since it was looked at.
func ReadRegular(path string) ([]byte, error) { return ReadBounded(path, MaxFile) }

// ReadBounded reads a regular file of at most limit bytes. It follows no link,
// and a pipe doesn't hold it up.
func ReadBounded(path string, limit int64) ([]byte, error) {
	file, err := openRegular(path, limit, syscall.O_NOFOLLOW)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, limit))
}

// ReadLinked is ReadBounded for what may be a link of root's, such as a site
// that is enabled: to where, others may decide.
func ReadLinked(path string, limit int64) ([]byte, error) {
	file, err := openRegular(path, limit, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, limit))
}

func openRegular(path string, limit int64, how int) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|how, 0)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && (!info.Mode().IsRegular() || info.Size() > limit) {
		err = fmt.Errorf("read %s: not a regular file of at most %d bytes", path, limit)
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

// ReadIfThere reads a file; one that does not exist is empty.
func ReadIfThere(path string) ([]byte, error) {
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return content, err
}

// Gone reports whether err says that there is nothing at a path, be it that a
// folder on the way is something else.
func Gone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)
}

// DescribeMode names what something is that is not what it should be.
func DescribeMode(mode fs.FileMode) string {
	switch {
	case mode.IsDir():
		return "a directory"
	case mode&fs.ModeSymlink != 0:
		return "a symbolic link"
	case mode.IsRegular():
		return "a file"
	}
	return "a special file"
}

// InFolder does something about a path, by a name that leads into its folder
// whatever becomes of that. On the way through a service's home no link is
// followed: root would write and remove where its user likes.
func (m *Machine) InFolder(path string, do func(name string) error) error {
	folder := filepath.Dir(path)
	rest, isBelow := strings.CutPrefix(folder, plan.CaddyHome+"/")
	if !isBelow {
		return do(m.Path(path))
	}
	home, err := unix.Open(m.Path(plan.CaddyHome), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &fs.PathError{Op: "open", Path: plan.CaddyHome, Err: err}
	}
	defer unix.Close(home)
	held, err := unix.Openat2(home, rest, &unix.OpenHow{
		Flags: unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_BENEATH,
	})
	if err != nil {
		return &fs.PathError{Op: "open", Path: folder, Err: err}
	}
	defer unix.Close(held)
	return do(filepath.Join("/proc/self/fd", strconv.Itoa(held), filepath.Base(path)))
}
