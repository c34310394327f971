// Package bench measures relayctl against the figures that it is held to: a
// plan in round trips and in time, and the relay beside what it stands before.
// docs/performance.md says how.
package bench_test

import (
	"testing"

	"github.com/relayctl/relayctl/internal/host"
	"github.com/relayctl/relayctl/internal/host/machine"
	"github.com/relayctl/relayctl/internal/host/machine/machinetest"
	"github.com/relayctl/relayctl/internal/plan"
)

// newMachine is a Debian 12 for the real relay-host to work on: its commands
// succeed at once, and its units run when they are told to.
func newMachine(t testing.TB, name string) *machinetest.Machine {
	m := machinetest.NewIn(t, t.TempDir()) // on a disk, as hosts are
	m.Caddy.Off = true                     // nobody answers there
	m.Write("/etc/machine-id", "id-of-"+name+"\n")
	m.Write("/proc/sys/kernel/random/boot_id", "boot-of-"+name+"\n")
	m.Write("/proc/sys/kernel/hostname", name+"\n")
	m.Write(ownProgram, string(programText("relay-host", "amd64")))
	return m
}

// ownProgram is where the relay-host that runs on a machine stands.
const ownProgram = "/proc/self/exe"

func relayHost(m *machinetest.Machine) *host.Host {
	return host.New(host.Config{
		Machine: machine.New(m.Config()), Version: version,
		Program: m.Path(ownProgram), Digest: plan.Digest(programText("relay-host", "amd64")),
	})
}
