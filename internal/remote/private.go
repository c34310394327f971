package remote

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
)

// hostFiles is what first contact does with a host's files, as the login user.
// Errors of mkdir, look and write say what was being done.
type hostFiles interface {
	// home is the login user's home folder.
	home() (string, error)
	// mkdir makes a folder that only the login user may enter, from its first
	// moment on.
	mkdir(folder string) error
	// look tells what stands at the first path itself and, through links, at
	// the others.
	look(paths []string) ([]place, error)
	// write makes a file that the login user may run.
	write(name string, content io.Reader) error
	rmdir(folder string) error
	unlink(name string) error
}

// place is what stands at a path of a host.
type place struct {
	path  string
	owner uint32
	mode  fs.FileMode
}

// packedAs ends the name of a program as it travels: as gzip packs it, with
// less than half of its bytes. gzip is on every Debian and Ubuntu.
const packedAs = ".gz"

// put makes folder, which only the login user may ever enter, with a packed
// program in it that they may run; or it fails and leaves nothing. It fails
// where anything stands there, or others could exchange it.
func put(host hostFiles, folder, name string, content io.Reader) error {
	if err := host.mkdir(folder); err != nil {
		return err
	}
	places, err := host.look(pathsUp(folder))
	if err == nil {
		err = checkPrivate(places)
	}
	if err != nil {
		host.rmdir(folder) // and nothing else: it may be somebody else's
		return err
	}
	if err := host.write(path.Join(folder, name+packedAs), content); err != nil {
		remove(host, folder, name) // as far as it got; the error to report is the first
		return err
	}
	return nil
}

// remove takes away what was put, packed or not, as far as it is there, and tells
// whether the unpacked program still stood there.
func remove(host hostFiles, folder, name string) (stood bool) {
	if err := host.rmdir(folder); err == nil || errors.Is(err, fs.ErrNotExist) {
		return false // mostly the program has removed both
	}
	stood = host.unlink(path.Join(folder, name)) == nil
	host.unlink(path.Join(folder, name+packedAs))
	host.rmdir(folder)
	return stood
}

// pathsUp are a folder's path and those of all folders above it but the root's.
func pathsUp(folder string) []string {
	var paths []string
	for ; path.Dir(folder) != folder; folder = path.Dir(folder) {
		paths = append(paths, folder)
	}
	return paths
}

// checkPrivate refuses a folder that has just been made, the first of places,
// unless only the login may enter it and, by the folders above, nobody but root
// can exchange it: who may write to a folder can, where that is not sticky, and
// whose it is can always. So what is put into the folder is what is run.
func checkPrivate(places []place) error {
	folder, above := places[0], places[1:]
	switch {
	case !folder.mode.IsDir():
		return errors.New("something else came in the place of a new folder")
	case folder.mode.Perm() != 0o700:
		return fmt.Errorf("a new folder there has the mode %04o, not 0700", folder.mode.Perm())
	}
	for _, at := range above {
		switch {
		case at.owner != 0 && at.owner != folder.owner:
			return fmt.Errorf("%s belongs to somebody else", at.path)
		case at.mode.Perm()&0o022 != 0 && at.mode&fs.ModeSticky == 0:
			return fmt.Errorf("%s lets other users exchange what is in it: its mode is %04o", at.path, at.mode.Perm())
		}
	}
	return nil
}
