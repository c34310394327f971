package host

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/relayctl/relayctl/internal/plan"
)

// keptGenerations is how many applies' former files are kept. Generation 0,
// what stood there before relayctl, is kept as long as relayctl is there.
const keptGenerations = 10

// former is what a file was before this session swapped it.
type former struct {
	kept    string        // absolute path of the copy; empty: there was no file
	applied *plan.Applied // the manifest's entry; nil: none
}

// keepFormer copies what stands at path into a generation and returns where.
// A copy that the generation has already is left: it is the older one.
func (h *Host) keepFormer(path string, generation int) (string, error) {
	kept := filepath.Join(storeDir, "generations", strconv.Itoa(generation), path)
	if _, err := os.Lstat(h.path(kept)); err == nil {
		if generation != 0 {
			return kept, nil
		}
		if kept, err = h.freeName(kept); err != nil {
			return "", err
		}
	}
	if err := os.MkdirAll(filepath.Dir(h.path(kept)), 0o700); err != nil {
		return "", fmt.Errorf("make generation: %w", err)
	}
	if err := copyFile(h.path(path), h.path(kept)); err != nil {
		return "", fmt.Errorf("keep %s: %w", path, err)
	}
	return kept, nil
}

// freeName finds a name beside an original that was kept before: nobody's
// file is ever written over.
func (h *Host) freeName(kept string) (string, error) {
	for n := 2; n < 1000; n++ {
		name := kept + "." + strconv.Itoa(n)
		if _, err := os.Lstat(h.path(name)); errors.Is(err, fs.ErrNotExist) {
			return name, nil
		}
	}
	return "", fmt.Errorf("keep %s: too many originals", kept)
}

// copyFile copies a regular file or a symbolic link with owner and mode, in
// one swap.
func copyFile(from, to string) error {
	info, err := os.Lstat(from)
	if err != nil {
		return err
	}
	stat := info.Sys().(*syscall.Stat_t)
	temporary := temporaryName(to)
	if err := removeIfThere(temporary); err != nil {
		return err
	}
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := os.Readlink(from)
		if err != nil {
			return err
		}
		if err := os.Symlink(target, temporary); err != nil {
			return err
		}
	case info.Mode().IsRegular():
		if err := copyContent(from, temporary, info.Mode(), stat); err != nil {
			os.Remove(temporary)
			return err
		}
	default:
		return fmt.Errorf("%s is %s", from, describeMode(info.Mode()))
	}
	if err := os.Rename(temporary, to); err != nil {
		return err
	}
	return syncDir(filepath.Dir(to))
}

func copyContent(from, to string, mode fs.FileMode, stat *syscall.Stat_t) error {
	source, err := os.OpenFile(from, os.O_RDONLY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	defer target.Close()
	if _, err := io.Copy(target, source); err != nil {
		return err
	}
	return finishFile(target, int(stat.Uid), int(stat.Gid), mode.Perm())
}

// finishFile gives a new file its owner and mode and makes it last over a
// crash. The owner comes first: changing it clears mode bits.
func finishFile(file *os.File, uid, gid int, mode fs.FileMode) error {
	if err := file.Chown(uid, gid); err != nil {
		return err
	}
	if err := file.Chmod(mode); err != nil {
		return err
	}
	if err := file.Sync(); err != nil {
		return err
	}
	return file.Close()
}

// sweepGenerations removes generations that are older than keptGenerations
// applies.
func (h *Host) sweepGenerations(number int) error {
	entries, err := os.ReadDir(h.stored("generations"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list generations: %w", err)
	}
	for _, entry := range entries {
		generation, err := strconv.Atoi(entry.Name())
		if err != nil || generation == 0 || generation > number-keptGenerations {
			continue
		}
		if err := os.RemoveAll(h.stored("generations", entry.Name())); err != nil {
			return fmt.Errorf("remove old generation: %w", err)
		}
	}
	return nil
}
