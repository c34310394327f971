package engine_test

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/relayctl/relayctl/internal/engine"
	"github.com/relayctl/relayctl/internal/stack"
)

// secretStack is homeStack with secrets of its user's own.
var secretStack = strings.Replace(homeStack, `"http://127.0.0.1:11435"`, `"http://127.0.0.1:11435"
    backend_key = file("shared.key")`, 1) + `
api_key "old" {
  value = file("shared.key")
}
`

// withoutSecrets loads a stack as a command does that needs none.
func withoutSecrets(t testing.TB, source string) *stack.Stack {
	t.Helper()
	s, _, diags := stack.Load("stack.hcl", stack.Options{
		NeedValues: true, SecretsAside: true,
		ReadFile: func(path string) ([]byte, error) {
			if path == "shared.key" {
				return nil, fs.ErrNotExist
			}
			return []byte(source), nil
		},
	})
	if diags.HasErrors() {
		t.Fatalf("load stack: %v", diags)
	}
	return s
}

// What can't be compared is told as such: neither as drift nor as right. All
// else is compared.
func TestStatusWithoutSecrets(t *testing.T) {
	admin := newAdmin(t, allConnected)
	const keyFile = "/etc/relay/backends/qwen3.key"
	for _, test := range []struct {
		name, source string
		spoil        func(*home)
		want         []string
	}{
		{"all well", secretStack, func(*home) {}, nil},
		{"another key", secretStack, func(h *home) { h.gpu2.write(keyFile, "another\n") },
			[]string{"gpu-2: 1 thing is not as the stack file says"}}, // the worker runs with the one before
		{"no key", secretStack, func(h *home) { os.Remove(h.gpu2.path(keyFile)) }, []string{"gpu-2: 2 things are not as the stack file says"}},
		{"the file of keys", secretStack, func(h *home) { h.edge.write("/etc/relay/keys.json", "{}") }, []string{"edge: 2 things are not as the stack file says"}},
		{"a key more", secretStack + "api_key \"older\" {\n  value = file(\"shared.key\")\n}\n", func(*home) {},
			[]string{"edge: 2 things are not as the stack file says"}},
		{"another limit", strings.Replace(secretStack, "value =", "models = [\"qwen3\"]\n  value =", 1), func(*home) {},
			[]string{"edge: 2 things are not as the stack file says"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHome(t)
				h.config.Stack = load(t, secretStack)
				h.mustApply()
				h.edge.useAdmin(admin)
				test.spoil(h)
				before := h.snapshots()
				h.config.Stack = withoutSecrets(t, test.source)
				status := h.status()
				if diff := cmp.Diff(test.want, problems(status)); diff != "" {
					t.Errorf("problems (-want +got):\n%s", diff)
				}
				want := []engine.NotCompared{
					{Host: "gpu-2", Block: `model "qwen3"`, Argument: "backend_key"}, {Host: "edge", Block: `api_key "old"`, Argument: "value"},
				}
				if diff := cmp.Diff(want, status.NotCompared[:min(2, len(status.NotCompared))]); diff != "" {
					t.Errorf("not compared (-want +got):\n%s", diff)
				}
				if diff := cmp.Diff(before, h.snapshots()); diff != "" {
					t.Errorf("status changed something (-before +after):\n%s", diff)
				}
			})
		})
	}
}

// A worker's secret is replaced without those of the stack file, which stay as
// they are on the hosts; where one is missing there, an apply comes first.
func TestRotateWithoutSecrets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const keyFile = "/etc/relay/backends/qwen3.key"
		r := newRotor(t)
		r.config.Stack = load(t, secretStack)
		r.mustApply()
		r.look()
		key, keys, secret := r.gpu2.read(keyFile), r.edge.read("/etc/relay/keys.json"), r.present(r.gpu2)
		r.config.Stack = withoutSecrets(t, secretStack)
		r.mustRotate(engine.RotateRequest{Worker: "gpu-2"})
		r.mustBeRotated("gpu-2", secret)
		if r.gpu2.read(keyFile) != key || r.edge.read("/etc/relay/keys.json") != keys {
			t.Error("the secrets of the stack file changed")
		}
		os.Remove(r.gpu2.path(keyFile))
		if _, err := r.rotate(t.Context(), engine.RotateRequest{Worker: "gpu-2"}); !errors.Is(err, engine.ErrDrift) || r.gpu2.has(keyFile) {
			t.Errorf("without the file: %v", err)
		}
	})
}
