// Command relay-host looks at this machine and changes it, as relayctl asks
// over its standard input and output. People have no use for it by itself.
package main

import (
	"os"

	"github.com/relayctl/relayctl/internal/host"
)

// version is set when relayctl is built.
var version = "development"

func main() { os.Exit(host.Main(version, os.Args[1:])) }
