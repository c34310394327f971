package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

// localMachine is the machine that relayctl runs on.
type localMachine struct {
	counters *counters
	children sync.WaitGroup
	closing  context.Context
	shut     context.CancelFunc
}

// lastStep is how long close waits for programs whose input has ended.
const lastStep = 5 * time.Second

func dialLocal(t Target, greetIn time.Duration) *Host {
	h := &Host{target: t, who: whoRuns(), greetIn: greetIn, counters: &counters{}}
	closing, shut := context.WithCancel(context.Background())
	h.way = &localMachine{counters: h.counters, closing: closing, shut: shut}
	return h
}

func whoRuns() login {
	who := login{user: "you", root: os.Geteuid() == 0}
	if me, err := user.Current(); err == nil {
		who.user = me.Username
	}
	return who
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
	child.Stdout, child.Stderr = outWriter, p.stderr
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
	m.counters.programs.Add(1)
	p.end = func() {
		p.stdin.Close()
		out.Close()
	}
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

func (m *localMachine) withFolders(use func(folders) error) error { return use(localFolders{}) }

type localFolders struct{}

func (localFolders) home() (string, error) {
	me, err := user.Current()
	if err != nil {
		return "", err
	}
	return me.HomeDir, nil
}

func (f localFolders) put(folder, name string, content io.Reader) error {
	if err := os.Mkdir(folder, 0o700); err != nil {
		return fmt.Errorf("make folder: %w", err)
	}
	places, err := lookLocally(pathsUp(folder))
	if err == nil {
		err = checkPrivate(places)
	}
	if err != nil {
		syscall.Rmdir(folder) // and nothing else: it may be somebody else's
		return err
	}
	if err := writeLocally(filepath.Join(folder, name+packedAs), content); err != nil {
		f.remove(folder, name) // as far as it got; the error to report is the first
		return fmt.Errorf("write file: %w", err)
	}
	return nil
}

// lookLocally tells what stands at a path, and at those above it.
func lookLocally(paths []string) ([]place, error) {
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

// writeLocally makes a file that the login may run.
func writeLocally(name string, content io.Reader) error {
	// A child forked while the file is open for writing would hold it open,
	// and the kernel refuses to run it then ("text file busy").
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o700)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, content)
	return errors.Join(err, file.Close())
}

func (localFolders) remove(folder, name string) (bool, error) {
	if unlessGone(syscall.Rmdir(folder)) == nil {
		return false, nil // mostly: the program has removed both
	}
	stood := syscall.Unlink(filepath.Join(folder, name)) == nil
	os.Remove(filepath.Join(folder, name+packedAs)) // mostly unpacked and gone; else the folder stays, and says so
	return stood, unlessGone(os.Remove(folder))
}
