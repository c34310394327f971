// Command relay-server takes requests for models over HTTP and hands them to
// workers that dialled in.
package main

import (
	"os"

	"github.com/relayctl/relayctl/internal/relay"
)

// version is set when a release is built.
var version = "dev"

func main() { os.Exit(relay.Main(os.Args[1:], version)) }
