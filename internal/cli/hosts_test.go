package cli_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/relayctl/relayctl/internal/engine"
)

// meeting are the commands that meet hosts.
var meeting = []string{"plan", "apply --yes", "status", "history", "ca", "rotate-secret --yes", "rollback --yes", "destroy --yes"}

// Every command that meets hosts hands on how, and who may be asked.
func TestHowHostsAreMet(t *testing.T) {
	for _, words := range meeting {
		c := newConsole(t, "", append(strings.Fields(words), "--parallelism", "3", "--sudo-password-file", "password")...)
		if err := os.WriteFile("password", []byte("correct-horse\nsecond line\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		c.with(map[string]string{"RELAYCTL_SUDO_PASSWORD": "of the environment"})
		h := worldSaying("says", "block")
		c.run(h)
		if got := h.config; got.Parallelism != 3 || got.SudoPassword.Reveal() != "correct-horse" || got.Ask == nil {
			t.Errorf("%s: %+v\n%s", words, got, c.screen())
		}
		c = newConsole(t, "", strings.Fields(words)...)
		c.with(map[string]string{"RELAYCTL_SUDO_PASSWORD": "of the environment"})
		h = worldSaying("says", "block")
		c.run(h)
		if got := h.config; got.Parallelism != engine.DefaultParallelism || got.SudoPassword.Reveal() != "of the environment" {
			t.Errorf("%s: %+v\n%s", words, got, c.screen())
		}
	}
}

func TestPasswordFile(t *testing.T) {
	for _, one := range []struct {
		name    string
		content string
		mode    os.FileMode
		want    string
		err     string // part of what is printed
	}{
		{name: "a line", content: "correct-horse\n", mode: 0o600, want: "correct-horse"},
		{name: "without its end", content: "correct-horse", mode: 0o400, want: "correct-horse"},
		{name: "of Windows", content: "correct-horse\r\n", mode: 0o600, want: "correct-horse"},
		{name: "with blanks", content: " a b \n", mode: 0o600, want: " a b "},
		{name: "with more lines", content: "first\nsecond\n", mode: 0o600, want: "first"},
		{name: "empty", mode: 0o600, err: "password: there is no password in it"},
		{name: "an empty line", content: "\nsecond\n", mode: 0o600, err: "password: there is no password in it"},
		{name: "endless", content: strings.Repeat("x", 1<<20), mode: 0o600, err: "password: its first line is too long"},
		{name: "of the group", content: "correct-horse\n", mode: 0o640, err: "chmod 600 password"},
		{name: "of everybody", content: "correct-horse\n", mode: 0o604, err: "chmod 600 password"},
	} {
		c := newConsole(t, "", "plan", "--sudo-password-file", "password")
		if err := os.WriteFile("password", []byte(one.content), one.mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod("password", one.mode); err != nil { // whatever the umask
			t.Fatal(err)
		}
		h := &hosts{planned: planOf()}
		c.run(h)
		if got := h.config.SudoPassword.Reveal(); got != one.want {
			t.Errorf("%s: %q, want %q", one.name, got, one.want)
		}
		if screen := c.stderr.String(); (c.code != 0) != (one.err != "") || !strings.Contains(screen, one.err) || strings.Contains(screen, "horse") {
			t.Errorf("%s: exit code %d\n%s", one.name, c.code, screen)
		}
	}
}

// As a shell's <(pass show x) gives it.
func TestPasswordFromAPipe(t *testing.T) {
	c := newConsole(t, "", "plan", "--sudo-password-file", "pipe")
	if err := syscall.Mkfifo("pipe", 0o644); err != nil {
		t.Fatal(err)
	}
	wrote := make(chan error, 1)
	go func() { wrote <- os.WriteFile("pipe", []byte("correct-horse\n"), 0) }()
	h := &hosts{planned: planOf()}
	c.run(h).wantCode(t, 0)
	if err := <-wrote; err != nil || h.config.SudoPassword.Reveal() != "correct-horse" {
		t.Errorf("%q, %v", h.config.SudoPassword.Reveal(), err)
	}
}

// What can't hold a password is told before any host is met.
func TestPasswordFromNowhere(t *testing.T) {
	for path, want := range map[string]string{
		"none":      "open the file with the password for sudo: open none: no such file or directory",
		".":         ".: a password is read from a file or a pipe only",
		"/dev/null": "/dev/null: a password is read from a file or a pipe only",
	} {
		c := newConsole(t, "", "plan", "--sudo-password-file", path)
		h := &hosts{planned: planOf()}
		c.run(h).wantCode(t, 1)
		if screen := onOneLine(c.stderr.String()); !strings.Contains(screen, want) || h.config.Stack != nil {
			t.Errorf("%s: %s", path, screen)
		}
	}
	c := newConsole(t, "", "plan")
	c.with(map[string]string{"RELAYCTL_SUDO_PASSWORD": "correct-horse\nbattery"})
	c.run(&hosts{planned: planOf()}).wantCode(t, 1)
	if screen := c.stderr.String(); !strings.Contains(screen, "RELAYCTL_SUDO_PASSWORD holds more than one line") || strings.Contains(screen, "horse") {
		t.Error(screen)
	}
}

// onOneLine is a text without the places where it was broken.
func onOneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

func TestParallelismIsBounded(t *testing.T) {
	for text, ok := range map[string]bool{"1": true, "256": true, "0": false, "257": false, "-1": false, "many": false, "": false, "99999999999999999999": false} {
		c := newConsole(t, "", "plan", "--parallelism="+text)
		c.run(&hosts{planned: planOf()})
		if want := fmt.Sprintf("--parallelism takes a whole number from 1 to 256, not %q", text); (c.code == 0) != ok || !ok && !strings.Contains(onOneLine(c.stderr.String()), want) {
			t.Errorf("%q: exit code %d\n%s", text, c.code, c.stderr.String())
		}
	}
}

// A wrong file is named with its code for programs.
func TestPasswordFileInJSON(t *testing.T) {
	c := newConsole(t, "", "plan", "--json", "--sudo-password-file", "password").piped()
	if err := os.WriteFile(filepath.Join(".", "password"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	c.run(&hosts{planned: planOf()}).wantCode(t, 1)
	if !strings.Contains(c.stdout.String(), `"code":"password_file"`) {
		t.Error(c.stdout.String())
	}
}
