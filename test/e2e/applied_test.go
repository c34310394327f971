package e2e_test

import (
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/relayctl/relayctl/test/lab"
)

// appliedSite is newSite after an apply of its stack file, for tests whose
// subject is what comes then. It is applied once for each place that a lab can
// have; then the hosts are switched off, and frozen. They have just booted, and
// their workers are connected.
func appliedSite(t *testing.T) *site {
	t.Helper()
	s := emptySite(t)
	hosts, kept := s.BootFrozen(lab.Frozen{Origin: origin, Prepare: s.prepare}, siteSpecs...)
	s.settle(hosts)
	if out, err := exec.CommandContext(t.Context(), "cp", "-a", kept+"/.", s.home).CombinedOutput(); err != nil {
		t.Fatalf("take over the operator's home: %v: %s", err, out)
	}
	for _, w := range s.Workers {
		s.adopt(w.StubEngine(lab.StubOptions{Key: s.readHome(w.Name + ".key")}))
	}
	s.writeStack(s.stack())
	t.Cleanup(s.searchForSecrets)
	for _, w := range s.Workers {
		s.connection(w.Name)
	}
	return s
}

// prepare applies the stack file of newSite to hosts, with the operator's home
// in a folder.
func (s *site) prepare(hosts []*lab.Host, folder string) error {
	s.t.Helper()
	home := s.home
	defer func() { s.home = home }()
	s.home = folder
	s.settle(hosts)
	for _, w := range s.Workers {
		s.startEngine(w)
	}
	s.Engines, s.secrets = nil, nil // the test finds them in the folder, as any
	s.writeStack(s.stack())
	s.apply()
	s.mustBeDone()
	return nil
}

// origin names all that an applied site is made from.
var origin string

// digestOf is the digest of some files' content.
func digestOf(paths ...string) (string, error) {
	all := sha256.New()
	for _, path := range paths {
		file, err := os.Open(path)
		if err != nil {
			return "", err
		}
		_, err = io.Copy(all, file)
		file.Close()
		if err != nil {
			return "", fmt.Errorf("read %s: %w", filepath.Base(path), err)
		}
	}
	return fmt.Sprintf("%x", all.Sum(nil)), nil
}
