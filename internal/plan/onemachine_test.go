package plan_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/relayctl/relayctl/internal/plan"
)

// A machine in two roles is shown under both names, and says where the worker
// went that had another one before.
func TestTextOfOneMachine(t *testing.T) {
	for _, columns := range []int{80, 200} {
		var b strings.Builder
		options := plan.TextOptions{Width: columns, File: "stack.hcl", Took: 620 * time.Millisecond}
		if err := plan.WriteText(&b, oneMachinePlan(), options); err != nil {
			t.Fatal(err)
		}
		golden(t, filepath.Join("testdata", fmt.Sprintf("one-machine-%d.golden", columns)), b.String())
		for line := range strings.Lines(b.String()) {
			if n := utf8.RuneCountInString(line) - 1; n > columns && len(strings.Fields(line)) > 2 {
				t.Errorf("%d columns: %q", n, line)
			}
		}
	}
}

// oneMachinePlan moves a worker from a machine of its own to the proxy's.
func oneMachinePlan() plan.Plan {
	left := driftedWorker()
	left.Role, left.Want = plan.RoleDeparted, nil
	proxy := edge(asWanted(proxyWants())...)
	proxy.Worker = "gpu-1"
	entry := want(plan.KindFile, "/etc/relay/workers.d/gpu-1.json", "mode=0640")
	entry.Want[plan.AttrContent] = plan.MadeOn("edge")
	for i, r := range proxy.Want {
		if r.ID == entry.ID {
			proxy.Want[i] = entry
		}
	}
	proxy.Want = append(proxy.Want, want(plan.KindSecret, "worker"), want(plan.KindProgram, "relay-worker", "version=0.3.0", "digest=sha256:ab"))
	return plan.Plan{Stack: "home", Hosts: []plan.HostPlan{planOf(proxy), planOf(left)}}
}
