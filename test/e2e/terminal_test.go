package e2e_test

import (
	"bytes"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/relayctl/relayctl/test/lab"
)

// screen is what a program prints on a terminal, and where answers are typed.
type screen struct {
	keyboard io.Writer
	answers  map[string]string // to what ends with a question

	mu    sync.Mutex
	shown bytes.Buffer
	asked []string // questions, in turn
}

// Write implements io.Writer.
func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shown.Write(p)
	for question, answer := range s.answers {
		if bytes.HasSuffix(s.shown.Bytes(), []byte(question)) {
			s.asked = append(s.asked, question)
			if _, err := io.WriteString(s.keyboard, answer+"\n"); err != nil {
				return 0, err
			}
		}
	}
	return len(p), nil
}

// onTerminal runs relayctl on a terminal, at which somebody answers questions.
func (s *site) onTerminal(answers map[string]string, args ...string) (r result, asked []string) {
	s.t.Helper()
	cmd := s.commandOf("script", "--quiet", "--return", "--command", relayctlProgram+" "+strings.Join(args, " "), "/dev/null")
	keyboard, err := cmd.StdinPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	defer keyboard.Close()
	screen := &screen{keyboard: keyboard, answers: answers}
	cmd.Stdout, cmd.Stderr = screen, screen
	cmd.Env = append(cmd.Env, "TERM=xterm")
	err = cmd.Run()
	return s.ran(cmd, screen.shown.Bytes(), err), screen.asked
}

// TestTerminal has three hosts that want what only the operator knows.
func TestTerminal(t *testing.T) {
	s := appliedSite(t)
	const passphrase, password = "two words", "correct-horse"
	s.secrets = append(s.secrets, passphrase, password)
	key := filepath.Join(s.home, "encrypted")
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-f", key).CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen: %v: %s", err, out)
	}
	for _, h := range s.hosts() {
		lab.MustRun(t, h, "cat > /dev/null; echo '"+strings.TrimSpace(s.readHome("encrypted.pub"))+"' > /home/admin/.ssh/authorized_keys; echo admin:"+password+" | chpasswd")
	}
	s.writeStack(strings.Replace(s.stack(), s.SSHKeyFile, key, 1))
	ask := "Passphrase of " + key + ": "
	s.step("a passphrase", func() {
		r, asked := s.onTerminal(map[string]string{ask: passphrase}, "plan", "--detailed-exitcode")
		if r.code != 0 || len(asked) != 1 {
			s.t.Errorf("exit code %d, asked %q", r.code, asked)
		}
	})
	s.step("a wrong passphrase is asked for again", func() {
		r, asked := s.onTerminal(map[string]string{ask: "wrong"}, "plan")
		if r.code != 1 || len(asked) != 3 {
			s.t.Errorf("exit code %d, asked %q", r.code, asked)
		}
		want(s.t, r.out, "the passphrase does not open it")
	})
	s.step("without a terminal", func() {
		r := s.relayctl("plan")
		if r.code != 1 {
			s.t.Errorf("exit code %d", r.code)
		}
		want(s.t, r.out, "Error: edge: ", "ssh-add")
	})
	s.step("passwords", func() {
		for _, h := range s.hosts() {
			lab.MustRun(s.t, h, "rm /home/admin/.ssh/authorized_keys")
		}
		answers := map[string]string{ask: passphrase}
		for _, h := range s.hosts() {
			answers["Password of admin at "+h.Name+" ("+h.Addr+":22): "] = password
		}
		r, asked := s.onTerminal(answers, "plan", "--detailed-exitcode")
		if r.code != 0 || len(asked) != 3 {
			s.t.Errorf("exit code %d, asked %q", r.code, asked)
		}
	})
	s.step("a password for sudo serves all hosts", func() {
		for _, h := range s.hosts() {
			lab.MustRun(s.t, h, "echo '"+strings.TrimSpace(s.readHome("encrypted.pub"))+"' > /home/admin/.ssh/authorized_keys; chown admin /home/admin/.ssh/authorized_keys; "+
				"rm -f /etc/sudoers.d/*; echo 'admin ALL=(ALL) ALL' > /etc/sudoers.d/admin")
		}
		sudo := "Password of admin for sudo on edge, gpu-1, gpu-2: "
		r, asked := s.onTerminal(map[string]string{ask: passphrase, sudo: password}, "plan", "--detailed-exitcode")
		if r.code != 0 || len(asked) != 2 || asked[1] != sudo {
			s.t.Errorf("exit code %d, asked %q", r.code, asked)
		}
	})
}
