package lab

import (
	"fmt"
	"regexp"
)

// Spec says what host to boot.
type Spec struct {
	// Name is the host's name, also its DNS name in the lab: lower-case
	// letters, digits and hyphens, at most 24 bytes.
	Name string
	// Suite is Bookworm or Trixie. Empty means Trixie.
	Suite string
	// OSRelease, when not empty, replaces the content of the host's
	// os-release file: a host that says it is something else. See Fedora.
	OSRelease string
}

// Fedora is the os-release of a distribution that relayctl does not know.
const Fedora = `NAME="Fedora Linux"
VERSION="42 (Server Edition)"
ID=fedora
VERSION_ID=42
PRETTY_NAME="Fedora Linux 42 (Server Edition)"
`

var nameForm = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,23}$`)

func (s Spec) check() error {
	if !nameForm.MatchString(s.Name) {
		return fmt.Errorf("boot host %q: a name is lower-case letters, digits and hyphens, at most 24", s.Name)
	}
	switch s.Suite {
	case "", Bookworm, Trixie:
		return nil
	}
	return fmt.Errorf("boot host %s: no suite %q; there are %s and %s", s.Name, s.Suite, Bookworm, Trixie)
}

func (s Spec) suite() string {
	if s.Suite == "" {
		return Trixie
	}
	return s.Suite
}
