package kind

import (
	"github.com/relayctl/relayctl/internal/host/machine"
	"github.com/relayctl/relayctl/internal/hostapi"
)

// AptSays is why apt failed that said so, where the machine's web proxy was
// given to it by these variables.
func AptSays(stdout, stderr string, proxy ...string) *hostapi.Error {
	return aptSays(&machine.CommandError{
		Name: "apt-get", ExitCode: 100, Stdout: machine.LastLines([]byte(stdout)), Stderr: machine.LastLines([]byte(stderr)),
	}, machine.WebProxy{Env: proxy})
}

// CaddySites reads whose sites a Caddyfile has.
var CaddySites = caddySites
