package remote

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"sync"
	"syscall"

	"github.com/pkg/sftp"
)

// uploadsAhead is how many packets of 32 KiB are on their way at once: with
// fewer, a distant host is waited for more than it is sent to.
const uploadsAhead = 64

func (m *sshMachine) withFiles(use func(hostFiles) error) error {
	session, err := m.open()
	if err != nil {
		return err
	}
	defer session.Close()
	in, inErr := session.StdinPipe()
	out, outErr := session.StdoutPipe()
	if err := errors.Join(inErr, outErr, session.RequestSubsystem("sftp")); err != nil {
		return m.loss(&Error{Kind: NoSFTP, What: "bring relay-host by SFTP: the host's sshd offers none", Err: err,
			Next: "Put this into /etc/ssh/sshd_config on the host, then: systemctl reload ssh\n  Subsystem sftp internal-sftp"})
	}
	client, err := sftp.NewClientPipe(out, &privateFolders{WriteCloser: in}, sftp.MaxConcurrentRequestsPerFile(uploadsAhead))
	if err != nil {
		return m.loss(&Error{Kind: NoSFTP, What: fmt.Sprintf("bring relay-host by SFTP: what answers is not SFTP: %v", err), Err: err,
			Next: fmt.Sprintf("A start-up file of %s's login shell, such as ~/.bashrc, prints something where there is no terminal. "+
				"The sftp program stumbles over that, too. Let it print to terminals only.", m.client.User())})
	}
	defer client.Close()
	return use(sftpFiles{client, m})
}

type sftpFiles struct {
	client  *sftp.Client
	machine *sshMachine
}

func (f sftpFiles) home() (string, error) { return f.client.RealPath(".") }

func (f sftpFiles) mkdir(folder string) error {
	return f.why(path.Dir(folder), "make folder", f.client.Mkdir(folder))
}

// look asks for all at once: that is one round trip.
func (f sftpFiles) look(paths []string) ([]place, error) {
	places, errs := make([]place, len(paths)), make([]error, len(paths))
	var asked sync.WaitGroup
	for i, at := range paths {
		asked.Go(func() {
			stat := f.client.Stat
			if i == 0 {
				stat = f.client.Lstat
			}
			info, err := stat(at)
			if err != nil {
				errs[i] = f.machine.loss(fmt.Errorf("look at new folder: %w", err))
				return
			}
			places[i] = place{path: at, owner: info.Sys().(*sftp.FileStat).UID, mode: info.Mode()}
		})
	}
	asked.Wait()
	return places, cmp.Or(errs...)
}

func (f sftpFiles) write(name string, content io.Reader) error {
	file, err := f.client.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL)
	if err == nil {
		_, err = file.ReadFromWithConcurrency(content, uploadsAhead)
		err = errors.Join(err, file.Chmod(0o700), file.Close())
	}
	return f.why(path.Dir(path.Dir(name)), "write file", err)
}

func (f sftpFiles) rmdir(folder string) error { return f.client.RemoveDirectory(folder) }
func (f sftpFiles) unlink(name string) error  { return f.client.Remove(name) }

// readOnly is a flag of the file systems that OpenSSH's sftp-server tells of
// (its PROTOCOL file, section 4.4).
const readOnly = 1

// why is the reason for which something could not be put below base; nil where
// it was. sftp-server calls most of them "Failure"; the file system tells more.
func (f sftpFiles) why(base, doing string, err error) error {
	if err == nil {
		return nil
	}
	var lost *LostError
	var said *sftp.StatusError
	if err = f.machine.loss(err); errors.As(err, &lost) {
		return err
	}
	if errors.As(err, &said) && said.FxCode() == sftp.ErrSSHFxFailure {
		system, unasked := f.client.StatVFS(base)
		switch {
		case unasked != nil:
		case system.Flag&readOnly != 0:
			return syscall.EROFS
		case system.Bavail*system.Frsize < 1<<20 || system.Files > 0 && system.Favail == 0:
			return syscall.ENOSPC
		}
	}
	return fmt.Errorf("%s: %w", doing, err)
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
