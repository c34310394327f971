package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"sync"
	"syscall"
	"time"

	"github.com/relayctl/relayctl/internal/secret"
)

// localMachine is the machine that relayctl runs on.
type localMachine struct {
	children sync.WaitGroup
	closing  context.Context
	shut     context.CancelFunc
}

// lastStep is how long close waits for programs whose input has ended.
const lastStep = 5 * time.Second

func dialLocal(t Target, greetIn time.Duration) *Host {
	name := "you"
	if me, err := user.Current(); err == nil {
		name = me.Username
	}
	closing, shut := context.WithCancel(context.Background())
	return &Host{target: t, user: name, root: os.Geteuid() == 0, greetIn: greetIn, way: &localMachine{closing: closing, shut: shut}}
}

func (m *localMachine) close() error {
	m.shut()
	ended := make(chan struct{})
	go func() {
		m.children.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		return nil
	case <-time.After(lastStep):
		return fmt.Errorf("close local host: a program still finishes its last step after %v", lastStep)
	}
}

func (m *localMachine) start(command []string) (*process, error) {
	out, outWriter, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make pipe: %w", err)
	}
	defer outWriter.Close()
	p := &process{stdout: out, stderr: &tail{}, ended: make(chan struct{})}
	child := exec.Command(command[0], command[1:]...)
	child.Stdout, child.Stderr, child.Env = outWriter, p.stderr, secret.OfOthers(os.Environ())
	child.WaitDelay = lastStep
	// A Ctrl-C at the terminal is for relayctl; the program is told by the end
	// of its input and finishes the step it is in.
	child.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if p.stdin, err = child.StdinPipe(); err == nil {
		err = child.Start()
	}
	if err != nil {
		out.Close()
		return nil, fmt.Errorf("start %s: %w", command[len(command)-1], err)
	}
	p.end = func() {
		p.stdin.Close()
		out.Close()
	}
	p.kill = func() { child.Process.Kill() }
	forget := context.AfterFunc(m.closing, p.end)
	m.children.Go(func() {
		p.exit = localExit(child.Wait())
		forget()
		close(p.ended)
	})
	return p, nil
}

// localExit translates how a child ended.
func localExit(err error) error {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return err
	}
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return &ExitError{Status: -1, Signal: status.Signal().String()}
	}
	return &ExitError{Status: exit.ExitCode()}
}

func (m *localMachine) withFiles(use func(hostFiles) error) error { return use(localFiles{}) }

type localFiles struct{}

func (localFiles) home() (string, error) {
	me, err := user.Current()
	if err != nil {
		return "", err
	}
	return me.HomeDir, nil
}

func (localFiles) mkdir(folder string) error {
	if err := os.Mkdir(folder, 0o700); err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	return nil
}

func (localFiles) look(paths []string) ([]place, error) {
	var places []place
	stat := os.Lstat
	for _, at := range paths {
		info, err := stat(at)
		if err != nil {
			return nil, fmt.Errorf("look at new folder: %w", err)
		}
		places = append(places, place{path: at, owner: info.Sys().(*syscall.Stat_t).Uid, mode: info.Mode()})
		stat = os.Stat
	}
	return places, nil
}

func (localFiles) write(name string, content io.Reader) error {
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o700)
	if err == nil {
		_, err = io.Copy(file, content)
		err = errors.Join(err, file.Close())
	}
	if err != nil {
		return fmt.Errorf("write file: %w", err)
	}
	return nil
}

func (localFiles) rmdir(folder string) error { return syscall.Rmdir(folder) }
func (localFiles) unlink(name string) error  { return syscall.Unlink(name) }
