package plan_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/relayctl/relayctl/internal/plan"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestTextOfPlans(t *testing.T) {
	quiet := edge(asWanted(proxyWants())...)
	nothing := plan.Plan{Stack: "home", Hosts: []plan.HostPlan{planOf(quiet)}}
	for _, row := range []struct {
		name    string
		plan    plan.Plan
		options plan.TextOptions
	}{
		{"busy-80", busyPlan(), plan.TextOptions{}},
		{"busy-200", busyPlan(), plan.TextOptions{Width: 200}},
		{"busy-ascii", busyPlan(), plan.TextOptions{ASCII: true}},
		{"busy-diff", busyPlan(), plan.TextOptions{Diff: true}},
		{"busy-colour", busyPlan(), plan.TextOptions{Color: true, Diff: true}},
		{"another-build", anotherBuildPlan(), plan.TextOptions{}},
		{"nothing", nothing, plan.TextOptions{}},
		{"nothing-seen-in-part", nothing, plan.TextOptions{Unseen: 1}},
		{"nothing-seen", plan.Plan{Stack: "home"}, plan.TextOptions{Unseen: 2}},
		{"attention-only", attentionPlan(), plan.TextOptions{}},
		{"in-the-way", blockedPlan(), plan.TextOptions{}},
		{"adopted", adoptedPlan(), plan.TextOptions{}},
		{"set-up-by-hand", handMadePlan(false), plan.TextOptions{}},
		{"set-up-by-hand-diff", handMadePlan(false), plan.TextOptions{Diff: true}},
		{"set-up-by-hand-adopted", handMadePlan(true), plan.TextOptions{}},
		{"adopted-by-half", plan.Plan{Stack: "home", Hosts: []plan.HostPlan{planOf(cutOffHost())}}, plan.TextOptions{}},
		{"left-the-stack", departedPlan(), plan.TextOptions{}},
		{"hostile", hostilePlan(), plan.TextOptions{}},
		{"hostile-ascii", hostilePlan(), plan.TextOptions{ASCII: true}},
	} {
		t.Run(row.name, func(t *testing.T) {
			row.options.File, row.options.Took = "stack.hcl", 620*time.Millisecond
			row.options.Texts = screenTexts
			var b strings.Builder
			if err := plan.WriteText(&b, row.plan, row.options); err != nil {
				t.Fatal(err)
			}
			golden(t, filepath.Join("testdata", row.name+".golden"), b.String())
		})
	}
}

func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Error("(-want +got; -update writes it anew)\n" + diff)
	}
}

// screenTexts is what the engine knows of two files; a secret one is among
// them, to show that nobody asks for it.
func screenTexts(_ string, c plan.Change) (before, after string, ok bool) {
	switch c.ID.Name {
	case "/etc/caddy/Caddyfile":
		return "# managed by relayctl, stack home\nllm.example.com {\n\trequest_body {\n\t\tmax_size 32MiB\n\t}\n}\n",
			"# managed by relayctl, stack home\nllm.example.com {\n\trequest_body {\n\t\tmax_size 64MiB\n\t}\n}\n", true
	case "/etc/relay/worker.json":
		return "{}\n\x1b[2J\u202e\\t\n", "{}\n", true
	case "/etc/relay/backend.key":
		return "THE-SECRET", "THE-OTHER-SECRET", true
	}
	return "", "", false
}

// busyPlan is a proxy that is edited, a worker that drifted, and a new one.
func busyPlan() plan.Plan {
	facts := asWanted(proxyWants())
	for i, f := range facts {
		switch f.ID.Name {
		case "/etc/caddy/Caddyfile":
			left(plan.AttrContent, "sha256:99")(&facts[i])
		case "home":
			left(plan.AttrDomain, "old.example.com")(&facts[i])
		case "/etc/relay/relay.json":
			have(plan.AttrMode, "0666")(&facts[i])
		}
	}
	proxy := edge(facts...)
	entry := want(plan.KindFile, "/etc/relay/workers.d/gpu-2.json", "mode=0640")
	entry.Want[plan.AttrContent] = plan.MadeOn("gpu-2")
	proxy.Want = append(proxy.Want, entry)
	return plan.Plan{Stack: "home", Hosts: []plan.HostPlan{
		planOf(proxy), planOf(driftedWorker()), planOf(newWorker()),
	}}
}

// anotherBuildPlan brings a program of the same version.
func anotherBuildPlan() plan.Plan {
	wants := slices.DeleteFunc(workerWants(), func(r plan.Resource) bool { return r.Kind == plan.KindKey })
	facts := asWanted(wants)
	for i, f := range facts {
		if f.ID.Kind == plan.KindProgram {
			left(plan.AttrDigest, "sha256:00")(&facts[i])
		}
	}
	host := driftedWorker()
	host.Want, host.Facts.Resources = wants, facts
	return plan.Plan{Stack: "home", Hosts: []plan.HostPlan{planOf(host)}}
}

func workerWants() []plan.Resource {
	unit := want(plan.KindUnit, "relay-worker.service", "enabled=yes", "running=yes")
	unit.Unit = &plan.Unit{Reload: []plan.ID{id(plan.KindFile, "/etc/relay/worker.json")}}
	program := want(plan.KindProgram, "relay-worker", "version=0.3.0", "digest=sha256:ab")
	program.Size = 3_250_000
	key := want(plan.KindFile, "/etc/relay/backend.key", "mode=0600", "content=hmac:00")
	key.Sensitive = true
	return []plan.Resource{
		want(plan.KindPackage, "python3-venv", "installed=yes"),
		want(plan.KindUser, "relay", "home=/nonexistent"),
		want(plan.KindSecret, "worker"),
		madeKey("laptop"),
		program, key,
		want(plan.KindFile, "/etc/relay/worker.json", "mode=0640", "content=sha256:dd"),
		want(plan.KindFile, "/etc/systemd/system/relay-worker.service.d/a-name-that-is-too-long.conf", "mode=0644", "content=sha256:ee"),
		unit,
	}
}

// madeKey is a key whose hash only the apply that makes it will know.
func madeKey(name string) plan.Resource {
	r := want(plan.KindKey, name, "shown=yes")
	r.Want[plan.AttrDigest] = plan.MadeOn("edge")
	return r
}

func driftedWorker() plan.Host {
	facts := asWanted(workerWants())
	for i, f := range facts {
		switch f.ID.Name {
		case "relay-worker":
			left(plan.AttrDigest, "sha256:00")(&facts[i])
			left(plan.AttrVersion, "0.2.9")(&facts[i])
		case "/etc/relay/backend.key":
			left(plan.AttrContent, "hmac:11")(&facts[i])
		case "/etc/relay/worker.json":
			have(plan.AttrContent, "sha256:11")(&facts[i])
		case "/etc/systemd/system/relay-worker.service.d/a-name-that-is-too-long.conf":
			left(plan.AttrContent, "sha256:11")(&facts[i])
		case "relay-worker.service":
			have(plan.AttrRunning, plan.No)(&facts[i])
		case "laptop":
			have(plan.AttrShown, plan.No)(&facts[i])
		case "relay":
			foreign(&facts[i])
		}
	}
	old := as(want(plan.KindFile, "/etc/relay/old.json", "content=sha256:00"))
	kept := as(want(plan.KindPackage, "curl", "installed=yes"))
	kept.Applied.Made = false
	return plan.Host{Name: "gpu-1", Address: "10.0.0.21", Role: plan.RoleWorker, Want: workerWants(), Facts: plan.Facts{
		Machine: plan.Machine{Pretty: "Ubuntu 24.04", Arch: "amd64"}, Manifest: &plan.Manifest{}, Resources: append(facts, old, kept),
	}}
}

func newWorker() plan.Host {
	return plan.Host{Name: "gpu-2", Address: "10.0.0.22", Role: plan.RoleWorker, Want: workerWants(),
		Facts: plan.Facts{Machine: plan.Machine{Pretty: "Debian 12", Arch: "arm64"}}}
}

func attentionPlan() plan.Plan {
	host := edge(asWanted(proxyWants())...)
	p := planOf(host)
	p.Changes = []plan.Change{{ID: id(plan.KindUnit, "ollama.service"), Action: plan.Attention, Reasons: []string{"not ours, left alone"}}}
	return plan.Plan{Stack: "home", Hosts: []plan.HostPlan{p}}
}

func inTheWay() plan.Host {
	facts := asWanted(proxyWants())
	for i, f := range facts {
		if f.ID.Name == "/etc/caddy/Caddyfile" {
			foreign(&facts[i])
			facts[i].Have = with(f.Have, plan.AttrContent, "sha256:99")
		}
	}
	host := edge(facts...)
	host.Facts.Listeners = messyListeners()
	return host
}

func blockedPlan() plan.Plan {
	return plan.Plan{Stack: "home", Hosts: []plan.HostPlan{planOf(inTheWay())}}
}

func adoptedPlan() plan.Plan {
	host := inTheWay()
	host.Adopt = true
	host.Facts.Listeners = host.Facts.Listeners[:2]
	return plan.Plan{Stack: "home", Hosts: []plan.HostPlan{planOf(host)}}
}

// handMadePlan is of a host that somebody set up by hand, with a site of their
// own beside the one that is to be: all that can be taken over.
func handMadePlan(adopt bool) plan.Plan {
	caddyfile := hand()
	caddyfile.Serves, caddyfile.Imports = []string{"llm.example.com", "blog.example.com", "shop.example.com"}, []string{"sites/*.caddy"}
	caddyfile.Content = []byte("import sites/*.caddy\nllm.example.com {\n\treverse_proxy 127.0.0.1:8080\n}\nblog.example.com, shop.example.com {\n\troot * /srv\n}\n")
	on := []string{"enabled=yes", "running=yes"}
	page := found(plan.KindUnit, "page.service", "enabled=no", "running=yes")
	page.StartedBy = []string{"page.socket"}
	wants := proxyWants()
	nginx := found(plan.KindUnit, "nginx.service", on...)
	nginx.Serves = []string{"*.files.example.com", "llm.example.com", "www.example.com"}
	host := edge(as(wants[0]), caddyfile, page, found(plan.KindUnit, "page.socket", on...), nginx,
		found(plan.KindUnit, "modelrelay-server.service", on...), found(plan.KindUnit, "caddy.service", "enabled=yes", "running=no"))
	for i := range wants {
		if wants[i].ID == caddyfile.ID {
			wants[i].Check, wants[i].Site = plan.LifecycleCaddy, "llm.example.com"
			wants[i].After = []plan.ID{id(plan.KindFile, "/etc/relay/relay.json"), id(plan.KindFile, "/etc/relay/workers.d/gpu-1.json"),
				id(plan.KindFile, "/etc/systemd/system/relay-server.service")}
		}
	}
	host.Want, host.Adopt, host.Facts.Manifest = wants, adopt, nil
	host.Ports = append(host.Ports, plan.Port{Number: 80, Unit: "caddy.service"})
	host.Facts.Listeners = []plan.Listener{
		{Address: "0.0.0.0", Port: 443, Process: "nginx", PID: 812, Unit: "nginx.service"},
		{Address: "::", Port: 443, Process: "nginx", PID: 812, Unit: "nginx.service"},
		{Address: "10.0.0.1", Port: 80, Process: "nginx", PID: 812, Unit: "nginx.service"},
		{Address: "10.0.0.2", Port: 80, Process: "systemd", PID: 1, Unit: "page.socket"},
		{Address: "127.0.0.1", Port: 8080, Process: "modelrelay-serv", PID: 640, Unit: "modelrelay-server.service"},
	}
	return plan.Plan{Stack: "home", Hosts: []plan.HostPlan{planOf(host)}}
}

func departedPlan() plan.Plan {
	host := driftedWorker()
	host.Role, host.Want = plan.RoleDeparted, nil
	return plan.Plan{Stack: "home", Hosts: []plan.HostPlan{planOf(edge(asWanted(proxyWants())...)), planOf(host)}}
}

// hostilePlan is of a host whose owner tries to draw on the operator's screen.
func hostilePlan() plan.Plan {
	host := edge(asWanted(proxyWants())...)
	host.Facts.Machine.Pretty = "Debian\x1b]0;owned\a 13 é"
	host.Facts.Listeners = []plan.Listener{
		{Address: "::", Port: 443, Process: "a\nb\x1b[2J\u202e\xff", PID: 7},
		{Address: "::", Port: 8080, Unit: "evil\x1b[1A.service"},
	}
	return plan.Plan{Stack: "home", Hosts: []plan.HostPlan{planOf(host)}}
}

func TestNoPlanReachesBeyondThePage(t *testing.T) {
	for _, p := range []plan.Plan{busyPlan(), blockedPlan(), adoptedPlan(), handMadePlan(false), handMadePlan(true), departedPlan(), hostilePlan()} {
		var b strings.Builder
		if err := plan.WriteText(&b, p, plan.TextOptions{File: "stack.hcl", ASCII: true}); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(b.String()) {
			if n := utf8.RuneCountInString(line) - 1; n > 80 && len(strings.Fields(line)) > 2 {
				t.Errorf("%d columns: %q", n, line)
			}
		}
	}
}

// Whatever a host says, only printable characters reach the terminal, and
// plain text passes unchanged.
func FuzzPrintable(f *testing.F) {
	for _, seed := range []string{"plain", "é→", "\x1b[2J", "\xff\xfe", "a\u202eb", "\\t\t", "\u0085\u200b"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		plain := true
		for i := range len(text) {
			plain = plain && text[i] >= ' ' && text[i] <= '~'
		}
		for _, ascii := range []bool{false, true} {
			got := plan.Printable(text, ascii)
			if plain && got != text {
				t.Errorf("%q became %q", text, got)
			}
			for _, r := range got {
				if r < ' ' || r >= 0x7f && r < 0xa0 || ascii && r > '~' {
					t.Errorf("%q became %q", text, got)
				}
			}
		}
	})
}

func TestSeconds(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0 ms", 240 * time.Millisecond: "240 ms", 620 * time.Millisecond: "0.6 s", 9900 * time.Millisecond: "9.9 s",
		9960 * time.Millisecond: "10 s", 31 * time.Second: "31 s", 59700 * time.Millisecond: "1 min", 125 * time.Second: "2 min 5 s",
	} {
		if got := plan.Seconds(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
}

// Whatever a host calls its things, and a manifest other hosts, nothing of it
// reaches a terminal as it is, nor a program that prints it on one.
func TestPlanOfAHostThatLies(t *testing.T) {
	const csi = "\u009b31m"
	fact := found(csi, csi, "mode=0644")
	fact.Applied = &plan.Applied{ID: fact.ID, Made: true}
	host := planOf(plan.Host{Name: csi, Address: csi, Role: plan.RoleDeparted, Facts: plan.Facts{
		Machine: plan.Machine{Pretty: csi, Arch: csi}, Resources: []plan.Fact{fact},
	}})
	var text strings.Builder
	whole := plan.Plan{Hosts: []plan.HostPlan{host}}
	if err := plan.WriteText(&text, whole, plan.TextOptions{Width: 80}); err != nil {
		t.Fatal(err)
	}
	document, err := json.Marshal(plan.NewDocument(whole, nil))
	if err != nil {
		t.Fatal(err)
	}
	for _, out := range []string{text.String(), string(document)} {
		if !strings.Contains(out, "31m") || strings.Contains(out, csi) {
			t.Errorf("%q", out)
		}
	}
}
