package remotetest

import (
	"fmt"
	"io"
	"strings"

	"golang.org/x/crypto/ssh"
)

// Sudo is what sudo does.
type Sudo int

// The kinds of sudo.
const (
	SudoWorks             Sudo = iota // as NOPASSWD lets it: it reads nothing
	SudoWantsPassword                 // Debian's: at the end of its input, it tries once more
	SudoRSWantsPassword               // sudo-rs, where PAM wants no second attempt
	SudoRSAsksAgain                   // sudo-rs, where it does
	SudoWantsOtherCommand             // it takes the password, and may not run the command
	SudoAsksOddly                     // PAM asks in its own words, so that sudo does not ask in ours
	SudoSays                          // Options.SudoSays, and ends
	SudoMissing
)

// Doas is what doas does.
type Doas int

// The kinds of doas.
const (
	DoasMissing Doas = iota
	DoasWorks
	DoasWantsPassword
)

// SudoFailures is how many failed attempts sudo has counted.
func (s *Server) SudoFailures() int { return int(s.sudoFailures.Load()) }

// becomeRoot does what stands in a command line before the command that is to
// run as root. Without a rest it has ended, with a status.
func (s *Server) becomeRoot(words []string, on *execution) (rest []string, status int) {
	if words[0] == "env" {
		words = words[2:]
	}
	if s.options.Traces {
		fmt.Fprintln(on.Stderr(), "+", strings.Join(words, " "))
	}
	switch words[0] {
	case "doas":
		return s.doas(words[2:], on)
	case "sudo":
		return s.sudo(words[1:], on)
	}
	return words, 0
}

func (s *Server) doas(command []string, on *execution) (rest []string, status int) {
	switch s.options.Doas {
	case DoasMissing:
		fmt.Fprintln(on.Stderr(), "sh: 1: doas: not found")
		return nil, 127
	case DoasWantsPassword:
		fmt.Fprintln(on.Stderr(), "doas: Authentication required")
		return nil, 1
	}
	return command, 0
}

func (s *Server) sudo(words []string, on *execution) (rest []string, status int) {
	prompt := ""
	for len(words) > 0 && strings.HasPrefix(words[0], "-") {
		if words[0] == "-p" {
			prompt, words = words[1], words[1:]
		}
		words = words[1:]
	}
	say := func(text string) { fmt.Fprintln(on.Stderr(), text) }
	switch s.options.Sudo {
	case SudoWorks:
		return words, 0
	case SudoSays:
		say(s.options.SudoSays)
	case SudoMissing:
		say("sh: 1: sudo: not found")
		return nil, 127
	case SudoRSWantsPassword:
		if s.takesPassword("[sudo: "+prompt+"] Password: ", on) {
			return words, 0
		}
		say("\nsudo-rs: PAM error: Permission denied")
	case SudoAsksOddly:
		return s.asksAgain("Verification code: ", "Sorry, try again.", words, on)
	case SudoRSAsksAgain:
		return s.asksAgain("[sudo: "+prompt+"] Password: ", "\nsudo: Authentication failed, try again.", words, on)
	default:
		return s.asksAgain(prompt, "Sorry, try again.", words, on)
	}
	return nil, 1
}

// asksAgain asks three times, but gives up at the end of its input.
func (s *Server) asksAgain(prompt, again string, command []string, on *execution) (rest []string, status int) {
	for range 3 {
		switch isRight := s.takesPassword(prompt, on); {
		case on.isKilled():
			return nil, 1
		case !isRight:
			fmt.Fprintln(on.Stderr(), again)
		case s.options.Sudo == SudoWantsOtherCommand:
			fmt.Fprintln(on.Stderr(), "ops is not in the sudoers file.")
			return nil, 1
		default:
			return command, 0
		}
		if on.inputEnded {
			break
		}
	}
	fmt.Fprintln(on.Stderr(), "sudo: no password was provided\nsudo: 1 incorrect password attempt")
	return nil, 1
}

// takesPassword asks for one password and counts it where it is wrong. Whoever
// is killed meanwhile counts nothing.
func (s *Server) takesPassword(prompt string, on *execution) bool {
	io.WriteString(on.Stderr(), prompt)
	line, killed := s.readLine(on)
	isRight := line == s.options.SudoPassword && line != ""
	if !isRight && !killed {
		s.sudoFailures.Add(1)
	}
	return isRight
}

// execution is one run of a command. Its channel is the command's standard
// streams.
type execution struct {
	ssh.Channel
	killed     chan struct{} // closed by a signal
	inputEnded bool
}

// readLine reads a line without its end, unless the command is killed first.
func (s *Server) readLine(on *execution) (line string, killed bool) {
	read := make(chan string, 1)
	s.running.Go(func() { // ends with the channel at the latest
		var line []byte
		for one := make([]byte, 1); ; line = append(line, one[0]) {
			if _, err := io.ReadFull(on, one); err != nil {
				on.inputEnded = true
				break
			}
			if one[0] == '\n' {
				break
			}
		}
		read <- string(line)
	})
	select {
	case line := <-read:
		return line, false
	case <-on.killed:
		return "", true
	}
}

func (e *execution) isKilled() bool {
	select {
	case <-e.killed:
		return true
	default:
		return false
	}
}
