package host

import (
	"github.com/relayctl/relayctl/internal/host/machine"
	"github.com/relayctl/relayctl/internal/hostapi"
)

// IsUpload is what the tests of uploads use.
var IsUpload = isUpload

// AptSays is why apt failed that said so, where the machine's web proxy was
// given to it by these variables.
func AptSays(stdout, stderr string, proxy ...string) *hostapi.Error {
	return aptSays(&machine.CommandError{
		Name: "apt-get", ExitCode: 100, Stdout: machine.LastLines([]byte(stdout)), Stderr: machine.LastLines([]byte(stderr)),
	}, machine.WebProxy{Env: proxy})
}

// Explained is what is told of an error; need is how many bytes were to be
// written, where the error does not say so itself.
func Explained(err error, need int) *hostapi.Error {
	if need > 0 {
		err = machine.Needing(need, err)
	}
	return explained(err)
}

// CaddySites reads whose sites a Caddyfile has.
var CaddySites = caddySites
