package sshconfig

import (
	"slices"
	"strings"
	"testing"
)

func TestEnvironmentWithoutSecrets(t *testing.T) {
	got := withoutSecrets([]string{"PATH=/bin", "RELAYCTL_SUDO_PASSWORD=x", "HOME=/root", "RELAYCTL_VAR_a=y"})
	if want := []string{"PATH=/bin", "HOME=/root"}; !slices.Equal(got, want) {
		t.Errorf("environment is %q, want %q", got, want)
	}
	if got := withoutSecrets(nil); got == nil {
		t.Error("nothing left is nil, which means everything to os/exec")
	}
}

func FuzzParse(f *testing.F) {
	f.Add("user root\nport 22\nidentityfile ~/.ssh/a b\nidentityfile two\n")
	f.Fuzz(func(t *testing.T, text string) {
		for keyword, values := range parse(text).values {
			for _, value := range values {
				if !strings.Contains(text, strings.TrimSpace(keyword+" "+value)) && value != "" {
					t.Errorf("%q = %q is not in the text", keyword, value)
				}
			}
		}
	})
}
