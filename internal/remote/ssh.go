package remote

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/crypto/ssh"
)

// sshMachine is a host at the other end of an SSH connection.
type sshMachine struct {
	client  *ssh.Client
	address string
	lost    context.Context // ends with the connection; its cause says why
	waits   *sync.WaitGroup // for all that ends with the connection
	said    string          // at the log-in
	used    atomic.Bool     // a session was opened
}

// newSSHHost takes over a connection that has just been made.
func newSSHHost(d *Dialer, way route, client *ssh.Client, conn *watchedConn, said string) *Host {
	lost, lose := context.WithCancelCause(context.Background())
	h := &Host{target: way.target, user: way.user, root: way.user == "root", greetIn: d.timeout()}
	m := &sshMachine{client: client, address: way.address, lost: lost, waits: &h.background, said: said}
	h.way = m
	h.background.Go(func() { lose(client.Wait()) })
	h.background.Go(func() {
		if err := keepAlive(lost, d.keepAlive(), 3, m.ping, conn.received.Load); err != nil {
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
