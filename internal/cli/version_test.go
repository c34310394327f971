package cli_test

import (
	"bytes"
	"testing"

	"github.com/relayctl/relayctl/internal/cli"
	"github.com/relayctl/relayctl/internal/payload"
)

func TestVersionNamesWhatIsCarried(t *testing.T) {
	const digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	programs := []payload.Info{
		{Name: "relay-host", Arch: "amd64", Version: "0.3.0", Digest: digest, Size: 3_400_000},
		{Name: "relay-server", Arch: "arm64", Version: "0.3.0", Digest: digest, Size: 2_900_000},
	}
	for name, carried := range map[string][]payload.Info{"carrying": programs, "bare": nil} {
		var out bytes.Buffer
		cli.PrintVersion(&out, "0.3.0", carried)
		golden(t, "version-"+name, out.String())
	}
}
