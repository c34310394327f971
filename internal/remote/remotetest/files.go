package remotetest

import (
	"io"
	"os"
	"path"
	"strings"

	"github.com/pkg/sftp"
)

// rootFiles serves a folder over SFTP as if it were /.
type rootFiles struct {
	root    *os.Root
	server  *Server
	packets *packetReader
}

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
	return f.root.OpenFile(within(r.Filepath), flags, 0o666&^f.server.options.Umask)
}

func (f rootFiles) Filecmd(r *sftp.Request) error {
	name := within(r.Filepath)
	switch r.Method {
	case "Mkdir":
		return f.mkdir(name, r.Filepath)
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
	look := f.root.Lstat
	if r.Method == "Stat" {
		look = f.root.Stat
	}
	info, err := look(within(r.Filepath))
	if err != nil {
		return nil, err
	}
	if owner := f.server.options.Owner; owner != nil {
		info = ownedInfo{info, uint32(owner(r.Filepath))}
	}
	return infos{info}, nil
}

// Lstat implements sftp.LstatFileLister.
func (f rootFiles) Lstat(r *sftp.Request) (sftp.ListerAt, error) { return f.Filelist(r) }

// mkdir makes a folder in the mode that was asked for, less the umask's, as
// OpenSSH's sftp-server does.
func (f rootFiles) mkdir(name, asked string) error {
	mode := f.packets.mode(asked)
	if f.server.options.Heedless {
		mode = 0o777
	}
	if err := f.root.Mkdir(name, 0o700); err != nil {
		return err
	}
	if err := f.root.Chmod(name, mode&^f.server.options.Umask); err != nil {
		return err
	}
	f.server.at("mkdir")
	return nil
}

// ownedInfo is a file of somebody.
type ownedInfo struct {
	os.FileInfo
	uid uint32
}

// Uid and Gid implement sftp.FileInfoUidGid.
func (i ownedInfo) Uid() uint32 { return i.uid }
func (i ownedInfo) Gid() uint32 { return i.uid }

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
