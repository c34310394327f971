package host

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"

	"github.com/relayctl/relayctl/internal/plan"
)

// keptGenerations is how many applies' former files are kept, of applies that
// replaced or removed any. Generation 0, what stood there before relayctl, is
// kept as long as relayctl is there.
const keptGenerations = 10

// maxFormers is how many forms of one file a generation holds.
const maxFormers = 100

// former is what a file or a program was before this session last swapped it.
type former struct {
	kept    string        // absolute path of the copy, or a program's folder; empty: there was none
	applied *plan.Applied // the manifest's entry; nil: none
}

// keepFormer copies what stands at path into a generation and returns where.
// What is kept is never written over: neither an original, nor what stood
// there when the apply began.
func (h *Host) keepFormer(path string, generation int) (string, error) {
	first := filepath.Join(storeDir, "generations", strconv.Itoa(generation), path)
	if err := os.MkdirAll(filepath.Dir(h.path(first)), 0o700); err != nil {
		return "", fmt.Errorf("make generation: %w", err)
	}
	for n := 1; n < maxFormers; n++ {
		kept := first
		if n > 1 {
			kept += "." + strconv.Itoa(n)
		}
		taken, same, err := compareKept(h.path(path), h.path(kept))
		if err != nil {
			return "", fmt.Errorf("keep %s: %w", path, err)
		}
		if taken && !same {
			continue
		}
		if !taken {
			err = copyFile(h.path(path), h.path(kept))
		}
		if err != nil {
			return "", fmt.Errorf("keep %s: %w", path, err)
		}
		return kept, nil
	}
	return "", fmt.Errorf("keep %s: generation %d holds %d of it already", path, generation, maxFormers)
}

// compareKept reports whether there is a kept file, and whether it holds what
// stands at path.
func compareKept(path, kept string) (taken, same bool, err error) {
	info, err := os.Lstat(kept)
	if errors.Is(err, fs.ErrNotExist) {
		return false, false, nil
	}
	if err != nil || !info.Mode().IsRegular() {
		return true, false, err
	}
	old, err := readRegular(kept)
	if err != nil {
		return true, false, err
	}
	stands, err := os.Lstat(path)
	if err != nil || stands.Mode() != info.Mode() {
		return true, false, err
	}
	present, err := readRegular(path)
	return true, err == nil && bytes.Equal(old, present), err
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
	source, err := openRegular(from, maxFile, syscall.O_NOFOLLOW)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	defer target.Close()
	if _, err := io.Copy(target, io.LimitReader(source, maxFile)); err != nil {
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

// sweepGenerations removes all but the newest keptGenerations.
func (h *Host) sweepGenerations() error {
	entries, err := os.ReadDir(h.stored("generations"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list generations: %w", err)
	}
	var numbers []int
	for _, entry := range entries {
		if generation, err := strconv.Atoi(entry.Name()); err == nil && generation > 0 {
			numbers = append(numbers, generation)
		}
	}
	slices.Sort(numbers)
	for _, number := range numbers[:max(0, len(numbers)-keptGenerations)] {
		if err := os.RemoveAll(h.stored("generations", strconv.Itoa(number))); err != nil {
			return fmt.Errorf("remove old generation: %w", err)
		}
	}
	return nil
}
