package remote

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
)

// sshMachine is a host at the other end of an SSH connection.
type sshMachine struct {
	client   *ssh.Client
	address  string
	counters *counters
	lost     context.Context // ends with the connection; its cause says why
	waits    *sync.WaitGroup // for all that ends with the connection
	said     string          // at the log-in
	used     atomic.Bool     // a session was opened
}

// newSSHHost takes over a connection that has just been made.
func newSSHHost(d *Dialer, way route, client *ssh.Client, counters *counters, said string) *Host {
	lost, lose := context.WithCancelCause(context.Background())
	h := &Host{
		target:   way.target,
		who:      login{user: way.user, root: way.user == "root"},
		greetIn:  d.timeout(),
		counters: counters,
	}
	m := &sshMachine{
		client:   client,
		address:  way.address,
		counters: counters,
		lost:     lost,
		waits:    &h.background,
		said:     said,
	}
	h.way = m
	h.background.Go(func() { lose(client.Wait()) })
	h.background.Go(func() {
		if err := keepAlive(lost, d.keepAlive(), 3, m.ping, counters.received.Load); err != nil {
			lose(err)
			client.Close() // whoever waits for an answer stops waiting
		}
	})
	return h
}

func (m *sshMachine) close() error {
	if err := m.client.Close(); err != nil && m.lost.Err() == nil {
		return fmt.Errorf("close connection to %s: %w", m.address, err)
	}
	return nil
}

// loss is why the connection ended, or otherwise where it still stands: a
// break shows as an odd error first, and only asking the host tells.
func (m *sshMachine) loss(otherwise error) error {
	err := m.ping()
	switch {
	case err == nil:
		return otherwise
	case m.lost.Err() != nil:
		err = context.Cause(m.lost)
	}
	var silent *SilentError
	atOnce := !m.used.Load() && !errors.As(err, &silent)
	return &LostError{Address: m.address, User: m.client.User(), AtOnce: atOnce, Said: m.said, Err: err}
}

// ping waits for a sign of life; any answer is one.
func (m *sshMachine) ping() error {
	_, _, err := m.client.SendRequest("keepalive@openssh.com", true, nil)
	return err
}

func (m *sshMachine) start(command []string) (*process, error) {
	session, err := m.client.NewSession()
	if err != nil {
		return nil, m.loss(fmt.Errorf("open session: %w", err))
	}
	m.used.Store(true)
	m.counters.programs.Add(1)
	p := &process{stderr: &tail{}, ended: make(chan struct{}), end: func() { session.Close() }}
	session.Stderr = p.stderr
	stdin, inErr := session.StdinPipe()
	stdout, outErr := session.StdoutPipe()
	p.stdin, p.stdout = stdin, stdout
	if err := errors.Join(inErr, outErr, session.Start(strings.Join(command, " "))); err != nil {
		session.Close()
		return nil, m.loss(fmt.Errorf("start %s: %w", command[len(command)-1], err))
	}
	m.waits.Go(func() {
		p.exit = m.exit(session.Wait())
		close(p.ended)
	})
	return p, nil
}

// exit translates how a session ended.
func (m *sshMachine) exit(err error) error {
	var exit *ssh.ExitError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &exit):
		return &ExitError{Status: exit.ExitStatus(), Signal: exit.Signal()}
	}
	return m.loss(fmt.Errorf("wait for program: %w", err))
}

// uploadsAhead is how many packets of 32 KiB are on their way at once: with
// fewer, a distant host is waited for more than it is sent to.
const uploadsAhead = 64

func (m *sshMachine) withFolders(use func(folders) error) error {
	session, err := m.client.NewSession()
	if err != nil {
		return m.loss(fmt.Errorf("open session: %w", err))
	}
	defer session.Close()
	in, inErr := session.StdinPipe()
	out, outErr := session.StdoutPipe()
	if err := errors.Join(inErr, outErr, session.RequestSubsystem("sftp")); err != nil {
		return m.loss(&SFTPError{User: m.client.User(), Err: err})
	}
	client, err := sftp.NewClientPipe(out, &privateFolders{WriteCloser: in}, sftp.MaxConcurrentRequestsPerFile(uploadsAhead))
	if err != nil {
		return m.loss(&SFTPError{User: m.client.User(), Noise: true, Err: err})
	}
	defer client.Close()
	m.counters.uploads.Add(1)
	return use(sftpFolders{client: client, machine: m})
}

type sftpFolders struct {
	client  *sftp.Client
	machine *sshMachine
}

func (f sftpFolders) home() (string, error) { return f.client.RealPath(".") }

func (f sftpFolders) put(folder, name string, content io.Reader) error {
	if err := f.client.Mkdir(folder); err != nil {
		return f.why(folder, "make folder", err)
	}
	places, err := f.look(pathsUp(folder))
	if err == nil {
		err = checkPrivate(places)
	}
	if err != nil {
		f.client.RemoveDirectory(folder) // and nothing else: it may be somebody else's
		return err
	}
	if err := f.write(path.Join(folder, name+packedAs), content); err != nil {
		err = f.why(folder, "write file", err)
		f.remove(folder, name) // as far as it got; the error to report is the first
		return err
	}
	return nil
}

// look tells what stands at a path, and at those above it. All are asked for at
// once: that is one round trip.
func (f sftpFolders) look(paths []string) ([]place, error) {
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

// write makes a file that the login may run.
func (f sftpFolders) write(name string, content io.Reader) error {
	file, err := f.client.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return err
	}
	_, err = file.ReadFromWithConcurrency(content, uploadsAhead)
	return errors.Join(err, file.Chmod(0o700), file.Close())
}

// Of the file systems that OpenSSH's sftp-server tells of (its PROTOCOL file,
// section 4.4).
const readOnly = 1

// why is the reason for which something could not be put. sftp-server calls
// most of them "Failure"; the file system tells more.
func (f sftpFolders) why(folder, doing string, err error) error {
	var lost *LostError
	var said *sftp.StatusError
	switch err = f.machine.loss(err); {
	case errors.As(err, &lost):
		return err
	case !errors.As(err, &said) || said.FxCode() != sftp.ErrSSHFxFailure:
		return fmt.Errorf("%s: %w", doing, err)
	}
	system, unasked := f.client.StatVFS(path.Dir(folder))
	switch {
	case unasked != nil:
		return fmt.Errorf("%s: %w", doing, err)
	case system.Flag&readOnly != 0:
		return syscall.EROFS
	case system.Bavail*system.Frsize < 1<<20 || system.Files > 0 && system.Favail == 0:
		return syscall.ENOSPC
	}
	return fmt.Errorf("%s: %w", doing, err)
}

func (f sftpFolders) remove(folder, name string) (bool, error) {
	if unlessGone(f.client.RemoveDirectory(folder)) == nil {
		return false, nil // mostly: the program has removed both
	}
	stood := f.client.Remove(path.Join(folder, name)) == nil
	f.client.Remove(path.Join(folder, name+packedAs)) // mostly unpacked and gone; else the folder stays, and says so
	return stood, unlessGone(f.client.RemoveDirectory(folder))
}
