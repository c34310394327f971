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
	via     *hop            // that the connection leads through; nil: none
	lost    context.Context // ends with the connection; its cause says why
	waits   sync.WaitGroup  // for all that ends with the connection
	said    string          // at the log-in
	used    atomic.Bool     // a session was opened
	closed  atomic.Bool     // by us
}

// misses is how many signs of life may be missing in a row. Behind a hop it is
// one more for each, so that the one that is silent is found to be.
func (m *sshMachine) misses() int {
	if m.via == nil {
		return 3
	}
	return m.via.machine.misses() + 1
}

// newSSHMachine takes over a connection that has just been made, and the share
// in the hop that it leads through.
func newSSHMachine(a *attempt, client *ssh.Client) *sshMachine {
	lost, lose := context.WithCancelCause(context.Background())
	m := &sshMachine{client: client, address: a.way.address, via: a.via, lost: lost, said: a.logIn.banner}
	m.waits.Go(func() { lose(client.Wait()) })
	m.waits.Go(func() {
		if err := keepAlive(lost, a.dialer.keepAlive(), m.misses(), m.ping, a.conn.received.Load); err != nil {
			lose(err)
			client.Close() // whoever waits for an answer stops waiting
		}
	})
	return m
}

// close ends the connection and returns when all that ends with it has.
func (m *sshMachine) close() error {
	m.closed.Store(true)
	err := m.client.Close()
	if err != nil && m.lost.Err() != nil {
		err = nil
	}
	m.waits.Wait()
	m.via.release()
	if err != nil {
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
	if m.via != nil && !m.closed.Load() && m.via.isGone() {
		err = m.via.machine.loss(err)
	}
	atOnce := !m.used.Load() && !errors.As(err, &silent)
	return &LostError{Address: m.address, User: m.client.User(), AtOnce: atOnce, Said: m.said, Err: err}
}

// isGone asks a hop whether its connection has ended.
func (h *hop) isGone() bool { return h.machine.lost.Err() != nil || h.machine.ping() != nil }

// ping waits for a sign of life; any answer is one.
func (m *sshMachine) ping() error {
	_, _, err := m.client.SendRequest("keepalive@openssh.com", true, nil)
	return err
}

func (m *sshMachine) start(command []string) (*process, error) {
	session, err := m.open()
	if err != nil {
		return nil, err
	}
	p := &process{stderr: &tail{}, ended: make(chan struct{}), end: func() { session.Close() }, kill: func() { session.Signal(ssh.SIGKILL) }}
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
