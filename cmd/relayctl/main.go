// Command relayctl sets up a stack of hosts that serve models through one
// HTTPS endpoint, as a stack file describes it.
package main

import (
	"os"

	"github.com/relayctl/relayctl/internal/cli"
)

// version is set when a release is built.
var version = "dev"

func main() { os.Exit(cli.Main(version)) }
