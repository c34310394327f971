package e2e_test

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/relayctl/relayctl/test/lab"
)

// searchForSecrets fails the test where a secret of the site was shown: by
// relayctl, in a journal, in a command line or in an environment on a host.
func (s *site) searchForSecrets() {
	secrets := s.allSecrets()
	s.search("the output of relayctl", s.said.String(), secrets)
	for _, h := range append([]*lab.Host{s.Edge}, s.Workers...) {
		for what, line := range map[string]string{
			"the journal":       "journalctl --no-pager --output=cat",
			"the command lines": "cat /proc/[0-9]*/cmdline | tr '\\0' '\\n'",
			"the environments":  "cat /proc/[0-9]*/environ | tr '\\0' '\\n'",
			"the files for all": "find /etc /usr/local /var/lib /tmp -xdev -type f -perm -o=r -size -4M -exec cat {} +",
		} {
			out, err := h.Run(s.t.Context(), line+" 2>/dev/null; true")
			if err != nil {
				continue // the test switched the host off
			}
			s.search(what+" on "+h.Name, out, secrets)
		}
	}
}

func (s *site) search(where, text string, secrets map[string]string) {
	for name, secret := range secrets {
		if strings.Contains(text, secret) {
			s.t.Errorf("%s shows %s", where, name)
		}
	}
}

// allSecrets collects what nobody may see, by a name for messages.
func (s *site) allSecrets() map[string]string {
	secrets := map[string]string{}
	for _, secret := range s.secrets {
		secrets["a secret of the stack file"] = secret
	}
	if keys, err := os.ReadFile(filepath.Join(s.home, "keys")); err == nil {
		for line := range strings.Lines(string(keys)) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
			secrets["the API key "+name] = value
		}
	}
	for _, h := range append([]*lab.Host{s.Edge}, s.Workers...) {
		out, err := h.Run(s.t.Context(), "cat /var/lib/relayctl/secrets/* 2>/dev/null; true")
		if err != nil {
			continue
		}
		for _, secret := range strings.Fields(out) {
			if len(secret) >= 32 {
				secrets["a secret of "+h.Name] = secret
			}
		}
	}
	return secrets
}
