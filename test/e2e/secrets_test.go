package e2e_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/relayctl/relayctl/test/lab"
)

// searchForSecrets fails the test where a secret of the site was shown: by
// relayctl, in a journal, in a command line or in an environment on a host.
func (s *site) searchForSecrets() {
	secrets := s.allSecrets()
	if len(secrets) == 0 && len(s.Workers) > 0 {
		s.t.Error("no secret is known that could be searched for")
	}
	s.search("the output of relayctl", s.said.String(), secrets)
	searched, size := 1, s.said.Len()
	for _, h := range append([]*lab.Host{s.Edge}, s.Workers...) {
		for what, line := range map[string]string{
			"the journal":       "journalctl --no-pager --output=cat",
			"the command lines": "cat /proc/[0-9]*/cmdline | tr '\\0' '\\n'",
			"the environments":  "cat /proc/[0-9]*/environ | tr '\\0' '\\n'",
			"the files for all": "find /etc /usr/local /var/lib /tmp -xdev -type f -perm -o=r -size -4M -exec cat {} +",
		} {
			out, isOn := s.runIfOn(h, line+" 2>/dev/null; true")
			if isOn && len(out) < leastSearched {
				s.t.Errorf("%s on %s are %d bytes: nothing to search", what, h.Name, len(out))
			}
			s.search(what+" on "+h.Name, out, secrets)
			searched, size = searched+1, size+len(out)
		}
	}
	s.t.Logf("%d secrets looked for in %d outputs of %d KiB", len(secrets), searched, size>>10)
}

// leastSearched is how many bytes a running host has of anything that is
// searched: less is a search that does not work.
const leastSearched = 200

// runIfOn runs a line on a host, unless the test switched that off. The test's
// own context has ended when it cleans up.
func (s *site) runIfOn(h *lab.Host, line string) (out string, isOn bool) {
	s.t.Helper()
	out, err := h.Run(context.WithoutCancel(s.t.Context()), line)
	if errors.Is(err, lab.ErrOff) {
		return "", false
	}
	if err != nil {
		s.t.Errorf("search %s: %v", h.Name, err)
	}
	return out, err == nil
}

func (s *site) search(where, text string, secrets map[string]string) {
	for secret, name := range secrets {
		if strings.Contains(text, secret) {
			s.t.Errorf("%s shows %s", where, name)
		}
	}
}

// allSecrets collects what nobody may see, each with a name for messages.
func (s *site) allSecrets() map[string]string {
	secrets := map[string]string{}
	for _, secret := range s.secrets {
		secrets[secret] = "a secret of the stack file"
	}
	if keys, err := os.ReadFile(filepath.Join(s.home, "keys")); err == nil {
		for line := range strings.Lines(string(keys)) {
			if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
				secrets[value] = "the API key " + name
			}
		}
	}
	for _, h := range append([]*lab.Host{s.Edge}, s.Workers...) {
		out, _ := s.runIfOn(h, "cat /var/lib/relayctl/secrets/* 2>/dev/null; true")
		for _, secret := range strings.Fields(out) {
			if len(secret) >= 32 {
				secrets[secret] = "a secret of " + h.Name
			}
		}
	}
	return secrets
}
