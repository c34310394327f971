package remotetest

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"
)

// session serves the one command or subsystem of a channel.
func (s *Server) session(channel ssh.Channel, requests <-chan *ssh.Request) {
	defer channel.Close()
	for request := range requests {
		var wanted struct{ Text string }
		if err := ssh.Unmarshal(request.Payload, &wanted); err != nil {
			request.Reply(false, nil)
			continue
		}
		switch {
		case request.Type == "exec":
			s.at("exec")
			request.Reply(true, nil)
			s.execute(wanted.Text, channel, requests)
			return
		case request.Type == "subsystem" && wanted.Text == "sftp" && !s.options.NoSFTP:
			s.at("sftp")
			request.Reply(true, nil)
			s.running.Go(func() { ssh.DiscardRequests(requests) })
			if s.options.Chatty {
				io.WriteString(channel, s.options.Noise)
			}
			s.serveSFTP(channel)
			return
		default:
			request.Reply(false, nil)
		}
	}
}

// execute runs a command line and tells how it ended.
func (s *Server) execute(line string, channel ssh.Channel, requests <-chan *ssh.Request) {
	on := &execution{Channel: channel, killed: make(chan struct{})}
	s.running.Go(func() {
		for request := range requests {
			if request.Type == "signal" && !s.options.NoKill && !on.isKilled() {
				close(on.killed)
			}
		}
	})
	status := s.run(line, on)
	if on.isKilled() {
		channel.SendRequest("exit-signal", false, ssh.Marshal(struct {
			Signal   string
			Core     bool
			Text, In string
		}{Signal: "KILL"}))
		return
	}
	channel.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{uint32(status)}))
}

// run does what a login shell in its mood would do with a command line of plain
// words, and returns its exit status.
func (s *Server) run(line string, on *execution) int {
	s.mu.Lock()
	s.commands = append(s.commands, line)
	s.mu.Unlock()
	switch {
	case s.options.NoLogin:
		fmt.Fprintln(on, "This account is currently not available.")
		return 1
	case s.options.Hang:
		io.Copy(io.Discard, on)
		return 0
	}
	io.WriteString(on, s.options.Noise)
	if s.options.Shell {
		return s.child("/bin/sh", []string{"-c", line}, on)
	}
	return s.command(strings.Fields(line), on)
}

// command runs a command line.
func (s *Server) command(words []string, channel *execution) int {
	given := words[0]
	words, status := s.becomeRoot(words, channel)
	if len(words) == 0 {
		return status
	}
	switch words[0] {
	case "gzip":
		return s.child("/bin/gzip", []string{"-d", s.Path(words[2])}, channel)
	case "uname", "/usr/bin/uname":
		uname := s.options.Uname
		if uname == "" {
			uname = "Linux x86_64"
		}
		fmt.Fprintln(channel, uname)
		return 0
	}
	if s.options.Program != nil {
		return s.options.Program(channel, channel)
	}
	status = s.program(words, channel)
	if words[0] != given && (status == 126 || status == 127) {
		return 1 // sudo's own status for a program that it can't start
	}
	return status
}

// program runs a file of the host.
func (s *Server) program(words []string, channel ssh.Channel) int {
	file := s.Path(words[0])
	if _, err := os.Stat(file); err != nil {
		fmt.Fprintf(channel.Stderr(), "%s: command not found\n", words[0])
		return 127
	}
	for _, folder := range s.options.NoExec {
		if strings.HasPrefix(words[0], folder+"/") {
			fmt.Fprintf(channel.Stderr(), "%s: Permission denied\n", words[0])
			return 126
		}
	}
	return s.child(file, words[1:], channel)
}

// child runs a file of this machine.
func (s *Server) child(file string, args []string, channel ssh.Channel) int {
	child, stdin, err := startChild(file, args, channel)
	if err != nil {
		fmt.Fprintf(channel.Stderr(), "%s: %v\n", filepath.Base(file), err)
		return 126
	}
	ended := make(chan struct{})
	s.running.Go(func() { // the program sees its input end when the client lets go
		io.Copy(stdin, channel)
		stdin.Close()
	})
	s.running.Go(func() {
		select {
		case <-s.stopped:
			child.Process.Kill()
		case <-ended:
		}
	})
	err = child.Wait()
	close(ended)
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	return 0
}

// startChild starts a file, again while it is "busy": a child that another
// test forks may hold it open for the moment between fork and exec.
func startChild(file string, args []string, channel ssh.Channel) (*exec.Cmd, io.WriteCloser, error) {
	retry := time.NewTicker(5 * time.Millisecond)
	defer retry.Stop()
	for {
		child := exec.Command(file, args...)
		child.Dir = filepath.Dir(file)
		child.Stdout, child.Stderr = channel, channel.Stderr()
		stdin, err := child.StdinPipe()
		if err != nil {
			return nil, nil, err
		}
		err = child.Start()
		if !errors.Is(err, syscall.ETXTBSY) {
			return child, stdin, err
		}
		<-retry.C
	}
}

func (s *Server) serveSFTP(channel ssh.Channel) {
	root, err := os.OpenRoot(s.Root)
	if err != nil {
		return
	}
	defer root.Close()
	packets := &packetReader{ReadWriteCloser: channel, server: s, asked: map[string]os.FileMode{}}
	files := rootFiles{root, s, packets}
	server := sftp.NewRequestServer(packets,
		sftp.Handlers{FileGet: files, FilePut: files, FileCmd: files, FileList: files},
		sftp.WithStartDirectory(s.options.LoginDir))
	server.Serve()
	server.Close()
}
