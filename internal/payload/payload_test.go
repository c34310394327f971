package payload_test

import (
	"errors"
	"testing"

	"github.com/relayctl/relayctl/internal/payload"
)

// Both builds are tested: a bare one carries nothing and says so, a release
// carries every program whole.
func TestCarried(t *testing.T) {
	carried, err := payload.Load()
	if errors.Is(err, payload.ErrNone) && !release {
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	if len(carried.All()) == 0 {
		t.Fatal("a release carries no programs")
	}
	for _, name := range []string{"relay-host", "relay-server", "relay-worker"} {
		for _, arch := range []string{"amd64", "arm64"} {
			packed, err := carried.Packed(name, arch)
			if err != nil {
				t.Error(err)
				continue
			}
			info, err := carried.Describe(name, arch)
			if err != nil || info.Size != int64(len(packed)) {
				t.Errorf("Describe(%s, %s) = %+v, %v; packed has %d bytes", name, arch, info, err, len(packed))
			}
		}
	}
	if _, err := carried.Describe("relay-host", "riscv64"); err == nil {
		t.Error("Describe finds a program for an architecture that is not carried")
	}
}
