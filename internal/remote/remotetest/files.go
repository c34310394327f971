package remotetest

import (
	"io"
	"os"
	"path"
	"strings"

	"github.com/pkg/sftp"
)

// rootFiles serves a folder over SFTP as if it were /.
type rootFiles struct{ root *os.Root }

func within(name string) string {
	if name = strings.TrimPrefix(path.Clean(name), "/"); name != "" {
		return name
	}
	return "."
}

func (f rootFiles) Fileread(r *sftp.Request) (io.ReaderAt, error) {
	return f.root.Open(within(r.Filepath))
}

func (f rootFiles) Filewrite(r *sftp.Request) (io.WriterAt, error) {
	flags, mode := os.O_WRONLY, r.Pflags()
	if mode.Creat {
		flags |= os.O_CREATE
	}
	if mode.Excl {
		flags |= os.O_EXCL
	}
	if mode.Trunc {
		flags |= os.O_TRUNC
	}
	return f.root.OpenFile(within(r.Filepath), flags, 0o644)
}

func (f rootFiles) Filecmd(r *sftp.Request) error {
	name := within(r.Filepath)
	switch r.Method {
	case "Mkdir":
		return f.root.Mkdir(name, 0o755)
	case "Rmdir", "Remove":
		return f.root.Remove(name)
	case "Rename", "PosixRename":
		return f.root.Rename(name, within(r.Target))
	case "Setstat":
		if r.AttrFlags().Permissions {
			return f.root.Chmod(name, r.Attributes().FileMode().Perm())
		}
		return nil
	}
	return sftp.ErrSSHFxOpUnsupported
}

func (f rootFiles) Filelist(r *sftp.Request) (sftp.ListerAt, error) {
	info, err := f.root.Lstat(within(r.Filepath))
	if err != nil {
		return nil, err
	}
	return infos{info}, nil
}

type infos []os.FileInfo

func (l infos) ListAt(into []os.FileInfo, offset int64) (int, error) {
	if offset >= int64(len(l)) {
		return 0, io.EOF
	}
	n := copy(into, l[offset:])
	if n < len(into) {
		return n, io.EOF
	}
	return n, nil
}
