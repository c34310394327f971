// Package e2e tests the whole path on real hosts: relayctl as it is built,
// started as a user starts it, against machines with systemd, sshd and apt. It
// is for what only real hosts can show; what a unit test can show belongs
// there. Each test function has a lab of its own, and its subtests follow each
// other on it. Labs run side by side, see turns; a test whose subject is not the
// first apply begins with appliedSite.
package e2e_test

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// relayctlProgram is the program under test.
var relayctlProgram string

// labs says whose turn it is to have one.
var labs *turns

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	flag.Parse()
	var err error
	if labs, err = newTurns(); err != nil {
		fmt.Fprintln(os.Stderr, "find out how many labs may stand at once:", err)
		return 1
	}
	folder, err := os.MkdirTemp("", "relayctl-e2e-")
	if err == nil {
		defer os.RemoveAll(folder)
		err = build(folder)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "build relayctl:", err)
		return 1
	}
	return m.Run()
}

// build makes relayctl, so that no test runs against yesterday's, and takes a
// copy, so that a build meanwhile does not change the program under test.
func build(folder string) error {
	top, err := filepath.Abs("../..")
	if err != nil {
		return err
	}
	if out, err := exec.Command("make", "--silent", "--directory="+top, "build").CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	program, err := os.ReadFile(filepath.Join(top, "bin", "relayctl"))
	if err != nil {
		return err
	}
	relayctlProgram = filepath.Join(folder, "relayctl")
	if err := os.WriteFile(relayctlProgram, program, 0o755); err != nil {
		return err
	}
	tests, err := os.Executable()
	if err != nil {
		return err
	}
	origin, err = digestOf(relayctlProgram, tests)
	return err
}
