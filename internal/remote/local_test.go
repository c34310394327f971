package remote_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/relayctl/relayctl/internal/remote"
)

// withSudo puts a sudo that lets everybody through before the real one, so
// that the tests need not run as root.
func withSudo(t *testing.T) {
	t.Helper()
	folder := t.TempDir()
	text := "#!/bin/sh\ntest \"$1\" = -S || exit 1\nshift 3\nexec \"$@\"\n"
	if err := os.WriteFile(filepath.Join(folder, "sudo"), []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", folder+":"+os.Getenv("PATH"))
}

// localProgram greets for whatever machine the test runs on.
type localProgram struct{ text string }

func (localProgram) Digest(string) (string, error) { return "v1", nil }

func (p localProgram) Packed(arch string) ([]byte, error) { return script{text: p.text}.Packed(arch) }

func TestLocalHost(t *testing.T) {
	withSudo(t)
	host := dial(t, &remote.Dialer{}, remote.Target{Name: "edge", Address: remote.Local})
	p := program(localProgram{programText("v1")})
	p.Name = "relayctl-test-program" // installed nowhere
	session, err := host.Start(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	echo(t, session)
	if _, err := os.Stat(filepath.Dir(session.Path())); !os.IsNotExist(err) {
		t.Errorf("left behind: %s (%v)", session.Path(), err)
	}
}

func TestLocalProgramEndsWithItsInput(t *testing.T) {
	withSudo(t)
	host := dial(t, &remote.Dialer{}, remote.Target{Address: remote.Local})
	p := program(localProgram{programText("v1")})
	p.Name = "relayctl-test-program"
	session, err := host.Start(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	if err := host.Close(); err != nil {
		t.Fatal(err)
	}
	if err := session.Wait(soon(t)); err != nil {
		t.Errorf("the program ended with %v", err)
	}
}

func TestLocalProgramThatDoesNotGreet(t *testing.T) {
	withSudo(t)
	host := dial(t, &remote.Dialer{}, remote.Target{Address: remote.Local})
	p := program(localProgram{"#!/bin/sh\nrm \"$0\"\necho broken >&2\nexit 7\n"})
	p.Name = "relayctl-test-program"
	err := startError[*remote.StartError](t, host, p)
	if exit := as[*remote.ExitError](t, err.Exit); exit.Status != 7 || !strings.Contains(err.Error(), "broken") {
		t.Errorf("error is %v", err)
	}
}
