package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"github.com/relayctl/relayctl/internal/engine"
	"github.com/relayctl/relayctl/internal/secret"
)

// keyDelivery takes new API keys, and says afterwards where they are.
type keyDelivery interface {
	engine.KeyDelivery
	// reveal returns a delivered key that is to be shown, or the file that it
	// stands in.
	reveal(name string) (key secret.Value, file string)
	Close() error
}

// keyDelivery chooses where new keys go: a file where one is named, else the
// terminal, else nowhere.
func (a *app) keyDelivery(file string) (keyDelivery, error) {
	switch {
	case file != "":
		return openKeyFile(file)
	case a.StdoutTerminal && !a.view.json.on():
		return keyHolder{}, nil
	}
	return nil, nil
}

// keyHolder keeps keys until they are shown.
type keyHolder map[string]secret.Value

func (h keyHolder) Deliver(name string, key secret.Value) error {
	h[name] = key
	return nil
}

func (h keyHolder) reveal(name string) (secret.Value, string) { return h[name], "" }

func (h keyHolder) Close() error { return nil }

// keyFile appends keys to a file that only its owner reads, a line NAME=KEY
// each. The last line of a name counts.
type keyFile struct{ *os.File }

func openKeyFile(path string) (*keyFile, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the file for keys: %w", err)
	}
	if err := checkKeyFile(f); err != nil {
		f.Close()
		return nil, &keyFileError{path, err}
	}
	return &keyFile{f}, nil
}

// keyFileError is what is wrong with a file for keys.
type keyFileError struct {
	path string
	err  error
}

func (e *keyFileError) Error() string { return e.path + ": " + e.err.Error() }

func (e *keyFileError) Unwrap() error { return e.err }

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

// Deliver writes the key so that it is on the disk when it returns.
func (f *keyFile) Deliver(name string, key secret.Value) error {
	if _, err := f.WriteString(name + "=" + key.Reveal() + "\n"); err != nil {
		return err
	}
	return f.Sync()
}

func (f *keyFile) reveal(string) (secret.Value, string) { return secret.Value{}, f.Name() }
