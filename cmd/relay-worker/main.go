// Command relay-worker dials a relay and answers its requests from an engine
// near by.
package main

import (
	"os"

	"github.com/relayctl/relayctl/internal/worker"
)

// version is set when a release is built.
var version = "dev"

func main() { os.Exit(worker.Main(os.Args[1:], version)) }
