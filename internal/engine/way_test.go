package engine_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/relayctl/relayctl/internal/engine"
	"github.com/relayctl/relayctl/internal/plan"
	"github.com/relayctl/relayctl/internal/remote"
)

// inHome is homeStack with what stands in the file's ssh block and in those of
// its hosts, by their names.
func inHome(ssh map[string]string) string {
	text := homeStack
	for name, inside := range ssh {
		block := "ssh {\n" + inside + "\n}\n"
		if name == "" {
			text = block + text
		} else {
			text = strings.Replace(text, " \""+name+"\" {\n", " \""+name+"\" {\n"+block, 1)
		}
	}
	return text
}

// told is a way as a dialer is told of it: each host as user@address:port, with
// the key that logs in, the host's own and a sign where nothing else leads there.
func told(target engine.Target) string {
	var places []string
	for _, t := range append(target.Jump, target) {
		place := fmt.Sprintf("%s@%s:%d", t.User, t.Address, t.Port)
		for _, more := range []string{t.IdentityFile, t.HostKey} {
			if more != "" {
				place += " " + more
			}
		}
		if t.Direct {
			place += "!"
		}
		if len(t.Jump) > 0 && t.Name != target.Name {
			place += " with a way of its own"
		}
		places = append(places, place)
	}
	return strings.Join(places, " > ")
}

// Each host is dialled through the hops that the file has for it, and each hop
// is told as it is reached itself.
func TestTargetsCarryTheirHops(t *testing.T) {
	const key = "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"
	for name, row := range map[string]struct {
		ssh  map[string]string
		want map[string]string
	}{
		"none": {nil, map[string]string{"10.0.0.10": "@10.0.0.10:0", "10.0.0.21": "@10.0.0.21:0"}},
		"hosts of nobody": {
			map[string]string{"": "user = \"ops\"\nidentity_file = \"/keys/ours\"\njump = [\"gate@gw:2200\", \"inner\"]", "gpu-2": "user = \"root\"\nport = 2222\njump = \"none\""},
			map[string]string{
				"10.0.0.21": "gate@gw:2200 /keys/ours > @inner:0 /keys/ours > ops@10.0.0.21:0 /keys/ours",
				"10.0.0.22": "root@10.0.0.22:2222 /keys/ours!",
			},
		},
		"a host of the stack": {
			map[string]string{"": `jump = "edge"`, "edge": "user = \"root\"\nport = 2200\nidentity_file = \"/keys/edge\"\nhost_key = \"" + key + "\""},
			map[string]string{
				"10.0.0.10": "root@10.0.0.10:2200 /keys/edge " + key,
				"10.0.0.21": "root@10.0.0.10:2200 /keys/edge " + key + " > @10.0.0.21:0",
			},
		},
		"with hops of its own": {
			map[string]string{"edge": `jump = "gw"`, "gpu-1": `jump = "edge"`, "gpu-2": `jump = "gpu-1"`},
			map[string]string{"10.0.0.22": "@gw:0 > @10.0.0.10:0 > @10.0.0.21:0 > @10.0.0.22:0"},
		},
		"reached directly itself": {
			map[string]string{"edge": `jump = "none"`, "gpu-1": `jump = "edge"`, "gpu-2": `jump = "gpu-1"`},
			map[string]string{"10.0.0.10": "@10.0.0.10:0!", "10.0.0.21": "@10.0.0.10:0! > @10.0.0.21:0", "10.0.0.22": "@10.0.0.10:0! > @10.0.0.21:0 > @10.0.0.22:0"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHome(t)
				h.config.Stack = load(t, inHome(row.ssh))
				j := travel(h)
				h.connect().Close()
				for address, want := range row.want {
					if target, _ := j.to(address); told(target) != want {
						t.Errorf("%s is dialled as\n%s, want\n%s", address, told(target), want)
					}
				}
			})
		})
	}
}

// A proxy that is this machine is no hop, and needs no SSH.
func TestHopThatIsThisMachine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		h.network["local"] = h.edge
		h.config.Stack = load(t, strings.Replace(inHome(map[string]string{"": `jump = "edge"`, "gpu-2": `jump = "gpu-1"`}), "10.0.0.10", "local", 1))
		j := travel(h)
		h.connect().Close()
		for address, want := range map[string]string{"10.0.0.21": "@10.0.0.21:0!", "10.0.0.22": "@10.0.0.21:0! > @10.0.0.22:0"} {
			if target, _ := j.to(address); told(target) != want {
				t.Errorf("%s is dialled as %s, want %s", address, told(target), want)
			}
		}
	})
}

// A worker with the proxy's address is on its machine where the same way leads
// there, and behind another host it is another machine.
func TestProxysAddressBehindAHop(t *testing.T) {
	for jump, hosts := range map[string]int{`jump = "gw"`: 3, `port = 22`: 3, `user = "root"`: 2, `jump = null`: 2} {
		synctest.Test(t, func(t *testing.T) {
			h := newHome(t)
			h.config.Stack = load(t, strings.Replace(inHome(map[string]string{"gpu-2": jump}), "10.0.0.22", "10.0.0.10", 1))
			j := travel(h)
			h.connect().Close()
			if len(j.went) != hosts {
				t.Errorf("%s: dialled %d hosts, want %d", jump, len(j.went), hosts)
			}
		})
	}
}

// A worker behind others that was taken out of the file is found by the way
// that the file had, as far as the file still knows it.
func TestDepartedWorkerBehindHops(t *testing.T) {
	for name, row := range map[string]struct {
		before, after map[string]string
		want, says    string
	}{
		"hosts of nobody": {
			map[string]string{"": "identity_file = \"/keys/ours\"\njump = \"gate@gw:2200,inner\"", "edge": `jump = "none"`},
			map[string]string{"": `identity_file = "/keys/new"`},
			"gate@gw:2200 /keys/new > @inner:0 /keys/new > @10.0.0.22:0 /keys/new", ", through gate@gw:2200, then inner",
		},
		"a host of the stack, as it is now": {
			map[string]string{"gpu-2": `jump = "edge"`},
			map[string]string{"edge": "user = \"root\"\njump = \"gw\""},
			"@gw:0 > root@10.0.0.10:0 > @10.0.0.22:0", ", through gw, then edge",
		},
		"directly":              {map[string]string{"gpu-2": `jump = "none"`}, map[string]string{"": `jump = "gw"`}, "@10.0.0.22:0!", ""},
		"nothing was said":      {nil, map[string]string{"": `jump = "john.doe@gw"`}, "john.doe@gw:0 > @10.0.0.22:0", ", through john.doe@gw"},
		"it was the hop itself": {nil, map[string]string{"": `jump = "10.0.0.22"`}, "@10.0.0.22:0", ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHome(t)
				h.config.Stack = load(t, inHome(row.before))
				h.mustApply()
				gone := inHome(row.after)
				h.config.Stack = load(t, gone[:strings.Index(gone, "worker \"gpu-2\"")])
				j := travel(h)
				h.mustApply()
				target, _ := j.to("10.0.0.22")
				if told(target) != row.want || target.Role != plan.RoleDeparted {
					t.Errorf("dialled as\n%s, want\n%s", told(target), row.want)
				}
				if want := "edge remembers it at 10.0.0.22" + row.says; j.told["gpu-2"] != want {
					t.Errorf("told before: %q, want %q", j.told["gpu-2"], want)
				}
				if h.gpu2.has("/etc/relay") || h.edge.remembers("10.0.0.22") {
					t.Error("it was not cleaned, or is still remembered")
				}
			})
		})
	}
}

// Of a site that leaves the file as a whole, one host leads to the other.
func TestSiteThatLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		h.config.Stack = load(t, inHome(map[string]string{"gpu-1": "user = \"gate\"\njump = \"gw\"", "gpu-2": `jump = "gpu-1"`}))
		h.mustApply()
		h.config.Stack = load(t, homeStack[:strings.Index(homeStack, "worker \"gpu-1\"")])
		j := travel(h)
		h.mustApply()
		if target, _ := j.to("10.0.0.22"); told(target) != "@gw:0 > gate@10.0.0.21:0 > @10.0.0.22:0" {
			t.Errorf("dialled as %s", told(target))
		}
		for _, gone := range []*machine{h.gpu1, h.gpu2} {
			if gone.has("/etc/relay") {
				t.Error("it was not cleaned")
			}
		}
	})
}

// Hops that the proxy host remembers end where the file's own would, whatever
// it remembers: in a circle of hosts that left, for one.
func TestRememberedHopsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		h.mustApply()
		h.rememberAlso(map[string]any{"name": "gpu-9", "address": "10.0.0.99", "jump": "gpu-8"})
		h.rememberAlso(map[string]any{"name": "gpu-8", "address": "10.0.0.98", "jump": "gpu-9"})
		h.rememberAlso(map[string]any{"name": "gpu-7", "address": "10.0.0.97", "jump": "gpu-6"})
		h.rememberAlso(map[string]any{"name": "gpu-6", "address": "127.0.0.1", "user": "ops"})
		j := travel(h)
		planned := h.plan()
		for address, want := range map[string]string{"10.0.0.99": "@gpu-9:0 > @10.0.0.98:0 > @10.0.0.99:0", "10.0.0.98": "@gpu-8:0 > @10.0.0.99:0 > @10.0.0.98:0"} {
			if target, _ := j.to(address); told(target) != want {
				t.Errorf("%s is dialled as %s, want %s", address, told(target), want)
			}
		}
		for _, failure := range planned.Stays {
			if isFar := failure.Host == "gpu-7" || failure.Host == "gpu-6"; errors.Is(failure, engine.ErrNotFollowed) != isFar {
				t.Errorf("%s: %v", failure.Host, failure)
			}
		}
		if len(planned.Stays) != 4 {
			t.Errorf("stays %v", planned.Stays)
		}
	})
}

// All that is known of a host and of its hops is told to who dials. What leads to
// a host that left has to be known, too.
func TestWayTo(t *testing.T) {
	hop := engine.Target{Member: plan.Member{Name: "gate@gw:2200", Address: "gw", User: "gate", Port: 2200}, IdentityFile: "/keys/ours", Direct: true}
	edge := engine.Target{Member: plan.Member{Name: "edge", Address: "10.0.0.10", User: "ops", Port: 22, Sudo: "password"}, HostKey: "SHA256:x", Role: plan.RoleProxy}
	for role, known := range map[plan.Role]bool{plan.RoleWorker: false, plan.RoleDeparted: true} {
		got := engine.WayTo(engine.Target{
			Member: plan.Member{Name: "gpu-1", Address: "10.0.0.21", User: "root", Port: 2222, Sudo: "none", Jump: "gw"}, IdentityFile: "/keys/gpu", HostKey: "SHA256:y",
			Jump: []engine.Target{hop, edge}, Role: role,
		})
		want := remote.Target{
			Name: "gpu-1", Address: "10.0.0.21", User: "root", Port: 2222, IdentityFile: "/keys/gpu", HostKey: "SHA256:y", Sudo: remote.SudoNone, KnownOnly: known,
			Jump: []remote.Target{
				{Name: "gate@gw:2200", Address: "gw", User: "gate", Port: 2200, IdentityFile: "/keys/ours", BesidesOthers: true, Direct: true, KnownOnly: known},
				{Name: "edge", Address: "10.0.0.10", User: "ops", Port: 22, HostKey: "SHA256:x", Sudo: remote.SudoPassword, KnownOnly: known},
			},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", role, diff)
		}
	}
}

// The name of a hop in the file is what the file's side knows by it, and no
// address that the proxy host remembers.
func TestRememberedNamesAreNoneOfTheFilesHops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		h.mustApply()
		h.config.Stack = load(t, inHome(map[string]string{"": `jump = "gw"`}))
		h.rememberAlso(map[string]any{"name": "gpu-9", "address": "10.0.0.99"})
		h.rememberAlso(map[string]any{"name": "gw", "address": "10.0.0.66"})
		j := travel(h)
		h.plan()
		for _, address := range []string{"10.0.0.21", "10.0.0.99"} {
			if target, _ := j.to(address); told(target) != "@gw:0 > @"+address+":0" {
				t.Errorf("dialled as %s", told(target))
			}
		}
	})
}
