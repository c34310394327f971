package remote

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
)

// place is what stands at a path of a host.
type place struct {
	path  string
	owner uint32
	mode  fs.FileMode
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

// privateFolders is the way to an SFTP server on which each folder is made with
// the mode 0700: sftp.Client.Mkdir sends none, and to change it afterwards would
// leave others the time in between.
type privateFolders struct {
	io.WriteCloser
	rest int // of the packet that is being written, in bytes
}

// Of SFTP, version 3.
const (
	sftpMkdir        = 14
	attrsPermissions = 4
)

// Write implements io.Writer. A packet begins with its length and type; one that
// makes a folder comes whole, and ends with the attributes that follow: none.
func (w *privateFolders) Write(p []byte) (int, error) {
	if w.rest > 0 || len(p) < 9 {
		w.rest -= len(p)
		return w.WriteCloser.Write(p)
	}
	length := int(binary.BigEndian.Uint32(p))
	w.rest = 4 + length - len(p)
	if p[4] != sftpMkdir {
		return w.WriteCloser.Write(p)
	}
	private := slices.Clone(p[:len(p)-4])
	binary.BigEndian.PutUint32(private, uint32(length+4))
	private = binary.BigEndian.AppendUint32(private, attrsPermissions)
	_, err := w.WriteCloser.Write(binary.BigEndian.AppendUint32(private, 0o700))
	return len(p), err
}
