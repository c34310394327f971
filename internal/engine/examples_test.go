package engine_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/relayctl/relayctl/internal/stack"
)

// Every example is planned for fresh machines: one for each address.
func TestExamplesPlan(t *testing.T) {
	examples, err := filepath.Glob("../../examples/*.hcl")
	if err != nil || len(examples) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	for _, example := range examples {
		t.Run(filepath.Base(example), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHome(t)
				h.config.Stack = loadExample(t, example)
				h.network = network{}
				for _, host := range h.config.Stack.Hosts() {
					h.network[host.Address] = newMachine(t, host.Address)
				}
				h.config.Dialer = h.network
				planned := h.plan()
				if len(planned.Hosts) != len(h.network) || len(planned.Failed) > 0 || planned.Empty() || len(planned.Blocked()) > 0 {
					t.Errorf("failed %v; hosts %+v", planned.Failed, planned.Hosts)
				}
			})
		})
	}
}

// loadExample reads an example with keys for all that it asks for.
func loadExample(t *testing.T, path string) *stack.Stack {
	t.Helper()
	const key = "a-key-that-an-example-asks-for-0123456789"
	s, _, diags := stack.Load(path, stack.Options{
		NeedValues: true,
		Env:        func(name string) (string, bool) { return key, strings.HasSuffix(strings.ToLower(name), "_key") },
		ReadFile: func(path string) ([]byte, error) {
			if strings.HasSuffix(path, ".key") {
				return []byte(key), nil
			}
			return os.ReadFile(path)
		},
	})
	if diags.HasErrors() {
		t.Fatalf("load example: %v", diags)
	}
	return s
}
