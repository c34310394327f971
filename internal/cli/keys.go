package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"github.com/relayctl/relayctl/internal/secret"
)

// keyDelivery takes new API keys: into a file that only its owner reads, a line
// NAME=KEY each, of which the last of a name counts; else it holds them until
// they are shown.
type keyDelivery struct {
	file *os.File // nil: they are held
	held map[string]secret.Value
}

// keyDelivery chooses where new keys go: a file where one is named, else the
// terminal; nil: nowhere.
func (a *app) keyDelivery(path string) (*keyDelivery, error) {
	if path == "" && a.StdoutTerminal && !a.view.json.on() {
		return &keyDelivery{held: map[string]secret.Value{}}, nil
	}
	if path == "" {
		return nil, nil
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the file for keys: %w", err)
	}
	if err := checkKeyFile(f); err != nil {
		f.Close()
		return nil, &privateFileError{path, err}
	}
	return &keyDelivery{file: f}, nil
}

// Deliver implements engine.KeyDelivery: a key is on the disk when it returns.
func (d *keyDelivery) Deliver(name string, key secret.Value) error {
	if d.file == nil {
		d.held[name] = key
		return nil
	}
	if _, err := d.file.WriteString(name + "=" + key.Reveal() + "\n"); err != nil {
		return err
	}
	return d.file.Sync()
}

// where is the path of the file that keys are in; empty: they are held.
func (d *keyDelivery) where() string {
	if d.file == nil {
		return ""
	}
	return d.file.Name()
}

// privateFileError is what is wrong with a file that is to hold secrets.
type privateFileError struct {
	path string
	err  error
}

func (e *privateFileError) Error() string { return e.path + ": " + e.err.Error() }

func (e *privateFileError) Unwrap() error { return e.err }

var (
	errKeysNoFile   = errors.New("keys are written to regular files only")
	errKeysReadable = errors.New("others may read this file")
	errKeysForeign  = errors.New("this file belongs to another user, who may read it")
)

// checkKeyFile refuses a file in which keys would not stay, or not stay
// secret, and ends an unfinished last line.
func checkKeyFile(f *os.File) error {
	info, err := f.Stat()
	switch {
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return errKeysNoFile
	case info.Mode().Perm()&0o077 != 0:
		return errKeysReadable
	case !ownedBy(info, os.Geteuid()):
		return errKeysForeign
	case info.Size() == 0:
		return nil
	}
	last := make([]byte, 1)
	if _, err := f.ReadAt(last, info.Size()-1); err != nil {
		return err
	}
	if last[0] != '\n' {
		_, err = f.WriteString("\n")
	}
	return err
}

// ownedBy reports whether a file is that of user uid.
func ownedBy(info fs.FileInfo, uid int) bool { return int(info.Sys().(*syscall.Stat_t).Uid) == uid }
