//go:build release

package payload_test

import (
	"os"
	"strings"
	"testing"

	"github.com/relayctl/relayctl/internal/payload"
)

// A release that carries yesterday's programs is none.
func TestCarriedVersion(t *testing.T) {
	content, err := os.ReadFile("../../VERSION")
	if err != nil {
		t.Fatal(err)
	}
	carried, err := payload.Load()
	if err != nil {
		t.Fatal(err)
	}
	for _, info := range carried.All() {
		if info.Version != strings.TrimSpace(string(content)) {
			t.Errorf("%s for %s has version %s, VERSION says %s", info.Name, info.Arch, info.Version, content)
		}
	}
}
