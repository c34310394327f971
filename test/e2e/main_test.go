// Package e2e tests the whole path on real hosts: relayctl as it is built,
// started as a user starts it, against machines with systemd, sshd and apt. It
// is for what only real hosts can show; what a unit test can show belongs
// there. Each test function has a lab of its own, and its subtests follow each
// other on it.
package e2e_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// relayctlProgram is the program under test.
var relayctlProgram string

func TestMain(m *testing.M) {
	if err := build(); err != nil {
		fmt.Fprintln(os.Stderr, "build relayctl:", err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// build makes relayctl, so that no test runs against yesterday's.
func build() error {
	top, err := filepath.Abs("../..")
	if err != nil {
		return err
	}
	relayctlProgram = filepath.Join(top, "bin", "relayctl")
	if out, err := exec.Command("make", "--silent", "--directory="+top, "build").CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}
