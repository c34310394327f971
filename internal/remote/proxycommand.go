package remote

import (
	"cmp"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/relayctl/relayctl/internal/secret"
)

// commandConn is the connection that a ProxyCommand makes: its standard input
// and output.
type commandConn struct {
	io.WriteCloser
	out     *os.File
	command *exec.Cmd
	said    *tail
	ended   chan struct{}
	end     sync.Once
	over    atomic.Bool // it has closed its output
}

// startCommand starts a ProxyCommand as ssh does, by the user's shell. It has
// no terminal: what it asks, nobody sees.
func startCommand(way route) (net.Conn, error) {
	out, outWriter, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make pipe: %w", err)
	}
	defer outWriter.Close()
	shell := cmp.Or(os.Getenv("SHELL"), "/bin/sh")
	c := &commandConn{out: out, said: &tail{}, ended: make(chan struct{}), command: exec.Command(shell, "-c", "exec "+way.command)}
	c.command.Stdout, c.command.Stderr, c.command.Env = outWriter, c.said, secret.OfOthers(os.Environ())
	c.command.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	c.command.WaitDelay = time.Second
	if c.WriteCloser, err = c.command.StdinPipe(); err == nil {
		err = c.command.Start()
	}
	if err != nil {
		out.Close()
		return nil, fmt.Errorf("start ProxyCommand: %w", err)
	}
	go func() {
		c.command.Wait()
		close(c.ended)
	}()
	return c, nil
}

func (c *commandConn) Read(p []byte) (int, error) {
	n, err := c.out.Read(p)
	if err == io.EOF {
		c.over.Store(true)
	}
	return n, err
}

// lastWord is how long a command that has closed its output may take to say
// why, and to end.
const lastWord = time.Second

// Close ends the command and all that it has started, and waits for its end.
func (c *commandConn) Close() error {
	c.end.Do(func() {
		c.WriteCloser.Close()
		c.out.Close()
		if c.over.Load() {
			select {
			case <-c.ended:
				return
			case <-time.After(lastWord):
			}
		}
		syscall.Kill(-c.command.Process.Pid, syscall.SIGHUP) // as ssh does
	})
	select {
	case <-c.ended:
	case <-time.After(lastStep):
		syscall.Kill(-c.command.Process.Pid, syscall.SIGKILL)
		<-c.ended
	}
	return nil
}

// commandAddr stands for where a command has connected to, which nobody knows.
type commandAddr struct{}

func (commandAddr) Network() string { return "command" }
func (commandAddr) String() string  { return "ProxyCommand" }

func (*commandConn) LocalAddr() net.Addr              { return commandAddr{} }
func (*commandConn) RemoteAddr() net.Addr             { return commandAddr{} }
func (*commandConn) SetDeadline(time.Time) error      { return os.ErrNoDeadline }
func (*commandConn) SetReadDeadline(time.Time) error  { return os.ErrNoDeadline }
func (*commandConn) SetWriteDeadline(time.Time) error { return os.ErrNoDeadline }
