package host_test

import (
	"testing"

	"github.com/relayctl/relayctl/internal/host"
	"github.com/relayctl/relayctl/internal/host/machine"
	"github.com/relayctl/relayctl/internal/host/machine/machinetest"
	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
)

// debian is a machine that relay-host works on.
type debian struct{ *machinetest.Machine }

func newMachine(t testing.TB) *debian { return &debian{machinetest.New(t)} }

// host is a fresh run of relay-host on the machine.
func (m *debian) host() *host.Host {
	return host.New(host.Config{
		Machine: machine.New(m.Config()), Version: "1.0.0",
		Program: m.Path("/proc/self/exe"), Digest: plan.Digest([]byte("this very program")),
	})
}

// networked is a relay-host that asks over the real network.
func networked(m *debian) *host.Host {
	config := m.Config()
	config.Dial = nil
	return host.New(host.Config{Machine: machine.New(config), Version: "1.0.0"})
}

// observe looks at resources with a fresh relay-host.
func (m *debian) observe(resources ...plan.Resource) plan.Facts {
	m.T.Helper()
	observation, err := m.host().Observe(m.T.Context(), hostapi.Observe{Resources: resources})
	if err != nil {
		m.T.Fatal(err)
	}
	return observation.Facts
}
