package lab_test

import (
	"testing"

	"github.com/relayctl/relayctl/test/lab"
)

func TestHosts(t *testing.T) {
	l := lab.New(t)
	hosts := l.BootAll(
		lab.Spec{Name: "edge", Suite: lab.Trixie},
		lab.Spec{Name: "gpu-1", Suite: lab.Bookworm},
		lab.Spec{Name: "gpu-2", Suite: lab.Trixie},
	)
	for _, h := range hosts {
		t.Log(lab.MustRun(t, h, "hostname; cat /etc/machine-id; ip -br a; grep PRETTY /etc/os-release; systemctl is-system-running; cat /etc/hosts"))
	}
}
