package desired_test

import (
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/relayctl/relayctl/internal/plan"
)

// The services are sandboxed as systemd itself scores it, in tenths: 20 is
// "OK", near the best that a service with a network can have.
func TestServicesAreSandboxed(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Log("not scored: no systemd-analyze on this machine")
		return
	}
	hosts := build(t, input(t, readCase(t, "testdata/prepared.txtar")))
	for _, row := range []struct {
		host      int
		unit      string
		threshold string
	}{
		{0, "relay-server.service", "20"},
		{1, "relay-worker.service", "20"},
	} {
		path := "/etc/systemd/system/" + row.unit
		find(t, hosts, hosts[row.host].Name, plan.ID{Kind: plan.KindFile, Name: path})
		file := filepath.Join(onDisk(t, hosts[row.host]), path)
		out, err := exec.Command(analyze, "security", "--offline=true", "--no-pager", "--threshold="+row.threshold, file).CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v\n%s", row.unit, err, out)
		}
	}
}
