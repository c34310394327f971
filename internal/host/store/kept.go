package store

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/relayctl/relayctl/internal/host/machine"
	"github.com/relayctl/relayctl/internal/host/record"
	"github.com/relayctl/relayctl/internal/plan"
)

// maxFormers is how many forms of one file a generation holds.
const maxFormers = 100

// Keep copies what stands at path into a generation and returns where.
// What is kept is never written over: neither an original, nor what stood
// there when the apply began.
func (s *Store) Keep(path string, generation int) (string, error) {
	first := filepath.Join(plan.StoreDir, "generations", strconv.Itoa(generation), path)
	if err := os.MkdirAll(filepath.Dir(s.Path(first)), 0o700); err != nil {
		return "", fmt.Errorf("make generation: %w", err)
	}
	for n := 1; n < maxFormers; n++ {
		kept := first
		if n > 1 {
			kept += "." + strconv.Itoa(n)
		}
		taken, same, err := compareKept(s.Path(path), s.Path(kept))
		if err != nil {
			return "", fmt.Errorf("keep %s: %w", path, err)
		}
		if taken && !same {
			continue
		}
		if !taken {
			err = machine.CopyFile(s.Path(path), s.Path(kept))
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
	old, err := machine.ReadRegular(kept)
	if err != nil {
		return true, false, err
	}
	stands, err := os.Lstat(path)
	if err != nil || stands.Mode() != info.Mode() {
		return true, false, err
	}
	present, err := machine.ReadRegular(path)
	return true, err == nil && bytes.Equal(old, present), err
}

// Sweep removes what the record does not go back to any more.
func (s *Store) Sweep(oldest int) error {
	entries, err := os.ReadDir(s.Folder("generations"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("list generations: %w", err)
	}
	for _, entry := range entries {
		if number, err := strconv.Atoi(entry.Name()); err != nil || number < 1 || number > oldest {
			continue
		}
		if err := os.RemoveAll(s.Folder("generations", entry.Name())); err != nil {
			return fmt.Errorf("remove old generation: %w", err)
		}
	}
	return nil
}

// forgetGenerations removes what is kept of former files, but for originals
// that do not stand in their place again.
func (s *Store) forgetGenerations(journal *record.Journal) error {
	root := s.Folder("generations")
	var files, folders []string
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir():
			folders = append(folders, path)
		default:
			files = append(files, path)
		}
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("list generations: %w", err)
	}
	for _, file := range files {
		if place, isOriginal := cutPath(file, filepath.Join(root, "0")); isOriginal {
			_, stands, err := compareKept(s.Path(place), file)
			isOurs := stands || journal.IsPackaged(filepath.Join(plan.StoreDir, "generations/0", place))
			if !isOurs || err != nil && !machine.Gone(err) {
				continue
			}
		}
		if err := os.Remove(file); err != nil {
			return fmt.Errorf("remove generation: %w", err)
		}
	}
	for i := len(folders) - 1; i >= 0; i-- { // the deepest first
		os.Remove(folders[i]) // only when nothing is kept in it
	}
	return nil
}

// cutPath is a path without a folder that it stands in.
func cutPath(path, folder string) (rest string, inside bool) {
	if len(path) <= len(folder) || path[:len(folder)] != folder || path[len(folder)] != '/' {
		return "", false
	}
	return path[len(folder):], true
}

// PutBack copies a kept file to its place.
func (s *Store) PutBack(path, kept string) error {
	err := s.InFolder(path, func(name string) error { return machine.CopyFile(s.Path(kept), name) })
	if err != nil {
		return fmt.Errorf("put %s back: %w", path, err)
	}
	return nil
}
