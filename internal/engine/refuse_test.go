package engine_test

import (
	"errors"
	"os"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/relayctl/relayctl/internal/engine"
)

func TestRefusedHosts(t *testing.T) {
	for _, test := range []struct {
		name    string
		prepare func(*home)
		want    error
		says    string
	}{
		{"another system", func(h *home) {
			h.gpu1.write("/etc/os-release", "ID=fedora\nVERSION_ID=42\nPRETTY_NAME=\"Fedora Linux 42\"\n")
		},
			engine.ErrUnsupported, "Fedora Linux 42"},
		{"another architecture", func(h *home) { h.gpu1.arch = "riscv64" }, engine.ErrUnsupported, "riscv64"},
		{"a container", func(h *home) {
			if err := os.RemoveAll(h.gpu1.path("/run/systemd")); err != nil {
				h.t.Fatal(err)
			}
			h.gpu1.write("/proc/1/comm", "sshd\n")
		},
			engine.ErrUnsupported, "systemd does not run on it: pid 1 is sshd"},
		{"another stack", func(h *home) {
			h.gpu1.belongsTo("lab", testVersion)
		},
			engine.ErrOtherStack, `"lab"`},
		{"a newer relayctl", func(h *home) {
			h.gpu1.belongsTo("home", "0.10.0")
		},
			engine.ErrNewer, "0.10.0"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHome(t)
				test.prepare(h)
				before := h.gpu1.snapshot()
				outcome, err := h.apply()
				mustFail(t, err, "gpu-1")
				failure := outcome.Failed[0]
				if !errors.Is(err, test.want) || !strings.Contains(failure.Summary, test.says) || failure.Origin.Block != `worker "gpu-1"` || failure.Hint == "" {
					t.Errorf("error %+v", failure)
				}
				if !h.gpu2.has("/etc/relay/worker.json") {
					t.Error("gpu-2 was not finished")
				}
				for path, content := range h.gpu1.snapshot() {
					if before[path] != content {
						t.Errorf("%s was written on gpu-1", path)
					}
				}
			})
		})
	}
}

func TestNewer(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want bool
	}{
		{"0.3.0", "0.3.0", false},
		{"0.3.1", "0.3.0", true},
		{"0.10.0", "0.9.9", true},
		{"0.9.9", "0.10.0", false},
		{"v1.0.0", "0.10.0", true},
		{"1.0.0-rc1", "1.0.0", false},
		{"1.0.0+dirty", "1.0.0", false},
		{"devel", "1.0.0", false},
		{"1.0.0", "devel", false},
		{"1.0", "0.1.0", false},
		{"", "0.1.0", false},
	} {
		if got := engine.Newer(test.a, test.b); got != test.want {
			t.Errorf("newer(%q, %q) = %v", test.a, test.b, got)
		}
	}
}

func TestRootCA(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		session := h.connect()
		if root, err := session.RootCA(t.Context()); !errors.Is(err, engine.ErrNoCA) {
			t.Errorf("before the first apply: %q, %v", root, err)
		}
		session.Close()
		h.mustApply()
		session = h.connect()
		defer session.Close()
		root, err := session.RootCA(t.Context())
		if err != nil || !strings.HasPrefix(root, "-----BEGIN CERTIFICATE-----\n") || strings.Contains(root, "KEY") {
			t.Errorf("root %q, error %v", root, err)
		}
		said := "\x1b]0;owned\a\n" + strings.Replace(root, "CERTIFICATE-----\n", "CERTIFICATE-----\nNote: \x1b[2J\n\n", 1) + "\x1b[2J"
		if clean, err := engine.OnlyRoot(said, "llm.example.com"); err != nil || clean != root {
			t.Errorf("of %q came %q, %v", said, clean, err)
		}
		if got, err := engine.OnlyRoot("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "llm.example.com"); err == nil {
			t.Errorf("no certificate came out as %q", got)
		}
	})
}
