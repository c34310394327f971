package host

import (
	"github.com/relayctl/relayctl/internal/host/machine"
	"github.com/relayctl/relayctl/internal/hostapi"
)

// IsUpload is what the tests of uploads use.
var IsUpload = isUpload

// Explained is what is told of an error; need is how many bytes were to be
// written, where the error does not say so itself.
func Explained(err error, need int) *hostapi.Error {
	if need > 0 {
		err = machine.Needing(need, err)
	}
	return explained(err)
}

// Describe is what there is to know of a kind; tests have kinds of their own.
var Describe = &describe
