package secret_test

import (
	"slices"
	"testing"

	"github.com/relayctl/relayctl/internal/secret"
)

func TestEnvironmentOfOthers(t *testing.T) {
	got := secret.OfOthers([]string{"PATH=/bin", "RELAYCTL_SUDO_PASSWORD=x", "HOME=/root", "RELAYCTL_VAR_a=y"})
	if want := []string{"PATH=/bin", "HOME=/root"}; !slices.Equal(got, want) {
		t.Errorf("environment is %q, want %q", got, want)
	}
	if got := secret.OfOthers([]string{"RELAYCTL_VAR_a=y"}); got == nil || len(got) > 0 {
		t.Errorf("environment is %#v, want one that is empty and not nil", got)
	}
}
