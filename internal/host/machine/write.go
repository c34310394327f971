package machine

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// WriteAtomically writes a file of relay-host's own store: after a crash it
// holds either what it held before or all of content. Its folder is made where
// it is missing, for root alone.
func WriteAtomically(path string, content []byte, mode fs.FileMode) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	temporary := path + ".new"
	if err := os.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove leftover: %w", err)
	}
	file, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return fmt.Errorf("create: %w", err)
	}
	defer os.Remove(temporary) // gone already when all went well
	_, err = file.Write(content)
	if err == nil {
		err = file.Sync()
	}
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, Needing(len(content), err))
	}
	if err := os.Rename(temporary, path); err != nil {
		return fmt.Errorf("swap in: %w", err)
	}
	return SyncDir(dir)
}

// SyncDir makes the names in a folder last over a crash.
func SyncDir(dir string) error {
	folder, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("open folder: %w", err)
	}
	defer folder.Close()
	if err := folder.Sync(); err != nil {
		return fmt.Errorf("sync folder %s: %w", dir, err)
	}
	return nil
}

// SaveJSON writes v for people and programs to read.
func SaveJSON(path string, v any) error {
	encoded, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("encode %s: %w", path, err)
	}
	return WriteAtomically(path, append(encoded, '\n'), 0o600)
}

// LoadJSON reads what SaveJSON wrote; it reports false when there is nothing.
func LoadJSON(path string, v any) (bool, error) {
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if err := json.Unmarshal(content, v); err != nil {
		return false, fmt.Errorf("decode %s: %w", path, err)
	}
	return true, nil
}

// RemoveIfThere removes a file; one that is gone is no error.
func RemoveIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// TemporaryName is where the next form of a file is written: beside it, so
// that a rename swaps it in, hidden, with an ending that no service reads, and
// always the same, so that a leftover of a crash is found.
func TemporaryName(path string) string {
	return filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".relayctl-new")
}

// WriteNew writes a file that nobody can read before it has its owner and
// mode.
func WriteNew(path string, content []byte, uid, gid int, mode fs.FileMode) error {
	if err := RemoveIfThere(path); err != nil {
		return fmt.Errorf("remove leftover: %w", err)
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, bytes.NewReader(content))
	if err == nil {
		err = FinishFile(file, uid, gid, mode)
	}
	if err != nil {
		file.Close()
		os.Remove(path)
	}
	return err
}

// CopyFile copies a regular file or a symbolic link with owner and mode, in
// one swap.
func CopyFile(from, to string) error {
	info, err := os.Lstat(from)
	if err != nil {
		return err
	}
	stat := info.Sys().(*syscall.Stat_t)
	temporary := TemporaryName(to)
	if err := RemoveIfThere(temporary); err != nil {
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
		return fmt.Errorf("%s is %s", from, DescribeMode(info.Mode()))
	}
	if err := os.Rename(temporary, to); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(to))
}

// IsLink reports whether a symbolic link stands at a path.
func IsLink(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.Mode()&fs.ModeSymlink != 0
}

// IsCopy reports whether there is something that CopyFile copies.
func IsCopy(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.Mode().IsRegular() || IsLink(path)
}

func copyContent(from, to string, mode fs.FileMode, stat *syscall.Stat_t) error {
	source, err := openRegular(from, MaxFile, syscall.O_NOFOLLOW)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	defer target.Close()
	if _, err := io.Copy(target, io.LimitReader(source, MaxFile)); err != nil {
		return err
	}
	return FinishFile(target, int(stat.Uid), int(stat.Gid), mode.Perm())
}

// FinishFile gives a new file its owner and mode and makes it last over a
// crash. The owner comes first: changing it clears mode bits.
func FinishFile(file *os.File, uid, gid int, mode fs.FileMode) error {
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

// SwapLink points a symbolic link elsewhere in one step.
func SwapLink(link, target string) error {
	temporary := TemporaryName(link)
	if err := RemoveIfThere(temporary); err != nil {
		return fmt.Errorf("remove leftover: %w", err)
	}
	if err := os.Symlink(target, temporary); err != nil {
		return fmt.Errorf("make link: %w", err)
	}
	if err := os.Rename(temporary, link); err != nil {
		return fmt.Errorf("swap link in: %w", err)
	}
	return SyncDir(filepath.Dir(link))
}
