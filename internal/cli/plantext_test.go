package cli_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/relayctl/relayctl/internal/cli"
	"github.com/relayctl/relayctl/internal/engine"
	"github.com/relayctl/relayctl/internal/plan"
	"github.com/relayctl/relayctl/test/plans"
)

// planText is a plan as it is printed.
func planText(p plan.Plan, o cli.PlanText) string {
	var b strings.Builder
	cli.PrintPlan(&b, p, o)
	return b.String()
}

func TestTextOfPlans(t *testing.T) {
	quiet := plans.Edge(plans.AsWanted(plans.ProxyWants())...)
	nothing := plan.Plan{Stack: "home", Hosts: []plan.HostPlan{hostPlanOf(quiet)}}
	for _, row := range []struct {
		name    string
		plan    plan.Plan
		options cli.PlanText
	}{
		{"busy-80", busyPlan(), cli.PlanText{}},
		{"busy-200", busyPlan(), cli.PlanText{Width: 200}},
		{"busy-ascii", busyPlan(), cli.PlanText{ASCII: true}},
		{"busy-diff", busyPlan(), cli.PlanText{Diff: true}},
		{"busy-colour", busyPlan(), cli.PlanText{Color: true, Diff: true}},
		{"another-build", anotherBuildPlan(), cli.PlanText{}},
		{"nothing", nothing, cli.PlanText{}},
		{"nothing-seen-in-part", nothing, cli.PlanText{Unseen: 1}},
		{"nothing-seen", plan.Plan{Stack: "home"}, cli.PlanText{Unseen: 2}},
		{"attention-only", attentionPlan(), cli.PlanText{}},
		{"in-the-way", blockedPlan(), cli.PlanText{}},
		{"adopted", adoptedPlan(), cli.PlanText{}},
		{"set-up-by-hand", handMadePlan(false), cli.PlanText{}},
		{"set-up-by-hand-diff", handMadePlan(false), cli.PlanText{Diff: true}},
		{"set-up-by-hand-adopted", handMadePlan(true), cli.PlanText{}},
		{"adopted-by-half", plan.Plan{Stack: "home", Hosts: []plan.HostPlan{hostPlanOf(plans.CutOffHost())}}, cli.PlanText{}},
		{"left-the-stack", departedPlan(), cli.PlanText{}},
		{"hostile", hostilePlan(), cli.PlanText{}},
		{"hostile-ascii", hostilePlan(), cli.PlanText{ASCII: true}},
	} {
		t.Run(row.name, func(t *testing.T) {
			row.options.Took, row.options.Texts = 620*time.Millisecond, screenTexts
			goldenPlan(t, row.name, planText(row.plan, row.options))
		})
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
	facts := plans.AsWanted(plans.ProxyWants())
	for i, f := range facts {
		switch f.ID.Name {
		case "/etc/caddy/Caddyfile":
			plans.Left(plan.AttrContent, "sha256:99")(&facts[i])
		case "home":
			plans.Left(plan.AttrDomain, "old.example.com")(&facts[i])
		case "/etc/relay/relay.json":
			plans.Have(plan.AttrMode, "0666")(&facts[i])
		}
	}
	proxy := plans.Edge(facts...)
	entry := plans.Want(plan.KindFile, "/etc/relay/workers.d/gpu-2.json", "mode=0640")
	entry.Want[plan.AttrContent] = plan.MadeOn("gpu-2")
	proxy.Want = append(proxy.Want, entry)
	return plan.Plan{Stack: "home", Hosts: []plan.HostPlan{
		hostPlanOf(proxy), hostPlanOf(driftedWorker()), hostPlanOf(newWorker()),
	}}
}

// anotherBuildPlan brings a program of the same version.
func anotherBuildPlan() plan.Plan {
	wants := slices.DeleteFunc(workerWants(), func(r plan.Resource) bool { return r.Kind == plan.KindKey })
	facts := plans.AsWanted(wants)
	for i, f := range facts {
		if f.ID.Kind == plan.KindProgram {
			plans.Left(plan.AttrDigest, "sha256:00")(&facts[i])
		}
	}
	host := driftedWorker()
	host.Want, host.Facts.Resources = wants, facts
	return plan.Plan{Stack: "home", Hosts: []plan.HostPlan{hostPlanOf(host)}}
}

func workerWants() []plan.Resource {
	unit := plans.Want(plan.KindUnit, "relay-worker.service", "enabled=yes", "running=yes")
	unit.Unit = &plan.Unit{Reload: []plan.ID{plans.ID(plan.KindFile, "/etc/relay/worker.json")}}
	program := plans.Want(plan.KindProgram, "relay-worker", "version=0.3.0", "digest=sha256:ab")
	program.Size = 3_250_000
	key := plans.Want(plan.KindFile, "/etc/relay/backend.key", "mode=0600", "content=hmac:00")
	key.Sensitive = true
	return []plan.Resource{
		plans.Want(plan.KindPackage, "python3-venv", "installed=yes"),
		plans.Want(plan.KindUser, "relay", "home=/nonexistent"),
		plans.Want(plan.KindSecret, "worker"),
		madeKey("laptop"),
		program, key,
		plans.Want(plan.KindFile, "/etc/relay/worker.json", "mode=0640", "content=sha256:dd"),
		plans.Want(plan.KindFile, "/etc/systemd/system/relay-worker.service.d/a-name-that-is-too-long.conf", "mode=0644", "content=sha256:ee"),
		unit,
	}
}

// madeKey is a key whose hash only the apply that makes it will know.
func madeKey(name string) plan.Resource {
	r := plans.Want(plan.KindKey, name, "shown=yes")
	r.Want[plan.AttrDigest] = plan.MadeOn("edge")
	return r
}

func driftedWorker() plan.Host {
	facts := plans.AsWanted(workerWants())
	for i, f := range facts {
		switch f.ID.Name {
		case "relay-worker":
			plans.Left(plan.AttrDigest, "sha256:00")(&facts[i])
			plans.Left(plan.AttrVersion, "0.2.9")(&facts[i])
		case "/etc/relay/backend.key":
			plans.Left(plan.AttrContent, "hmac:11")(&facts[i])
		case "/etc/relay/worker.json":
			plans.Have(plan.AttrContent, "sha256:11")(&facts[i])
		case "/etc/systemd/system/relay-worker.service.d/a-name-that-is-too-long.conf":
			plans.Left(plan.AttrContent, "sha256:11")(&facts[i])
		case "relay-worker.service":
			plans.Have(plan.AttrRunning, plan.No)(&facts[i])
		case "laptop":
			plans.Have(plan.AttrShown, plan.No)(&facts[i])
		case "relay":
			plans.Foreign(&facts[i])
		}
	}
	old := plans.As(plans.Want(plan.KindFile, "/etc/relay/old.json", "content=sha256:00"))
	kept := plans.As(plans.Want(plan.KindPackage, "curl", "installed=yes"))
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
	host := plans.Edge(plans.AsWanted(plans.ProxyWants())...)
	p := hostPlanOf(host)
	p.Changes = []plan.Change{{ID: plans.ID(plan.KindUnit, "ollama.service"), Action: plan.Attention, Reasons: []string{"not ours, left alone"}}}
	return plan.Plan{Stack: "home", Hosts: []plan.HostPlan{p}}
}

func hostInTheWay() plan.Host {
	facts := plans.AsWanted(plans.ProxyWants())
	for i, f := range facts {
		if f.ID.Name == "/etc/caddy/Caddyfile" {
			plans.Foreign(&facts[i])
			facts[i].Have = plans.With(f.Have, plan.AttrContent, "sha256:99")
		}
	}
	host := plans.Edge(facts...)
	host.Facts.Listeners = plans.MessyListeners()
	return host
}

func blockedPlan() plan.Plan {
	return plan.Plan{Stack: "home", Hosts: []plan.HostPlan{hostPlanOf(hostInTheWay())}}
}

func adoptedPlan() plan.Plan {
	host := hostInTheWay()
	host.Adopt = true
	host.Facts.Listeners = host.Facts.Listeners[:2]
	return plan.Plan{Stack: "home", Hosts: []plan.HostPlan{hostPlanOf(host)}}
}

// handMadePlan is of a host that somebody set up by hand, with a site of their
// own beside the one that is to be: all that can be taken over.
func handMadePlan(adopt bool) plan.Plan {
	caddyfile := plans.Hand()
	caddyfile.Content = []byte("import sites/*.caddy\nllm.example.com {\n\treverse_proxy 127.0.0.1:8080\n}\nblog.example.com, shop.example.com {\n\troot * /srv\n}\n")
	caddyfile.Serves, caddyfile.Imports = []string{"llm.example.com", "blog.example.com", "shop.example.com"}, []string{"sites/*.caddy"}
	on := []string{"enabled=yes", "running=yes"}
	page := plans.Found(plan.KindUnit, "page.service", "enabled=no", "running=yes")
	page.StartedBy = []string{"page.socket"}
	wants := plans.ProxyWants()
	nginx := plans.Found(plan.KindUnit, "nginx.service", on...)
	nginx.Serves = []string{"*.files.example.com", "llm.example.com", "www.example.com"}
	host := plans.Edge(plans.As(wants[0]), caddyfile, page, plans.Found(plan.KindUnit, "page.socket", on...), nginx,
		plans.Found(plan.KindUnit, "modelrelay-server.service", on...), plans.Found(plan.KindUnit, "caddy.service", "enabled=yes", "running=no"))
	for i := range wants {
		if wants[i].ID == caddyfile.ID {
			wants[i].Check, wants[i].Site = plan.LifecycleCaddy, "llm.example.com"
			wants[i].After = []plan.ID{{Kind: plan.KindFile, Name: "/etc/relay/relay.json"}, {Kind: plan.KindFile, Name: "/etc/relay/workers.d/gpu-1.json"},
				{Kind: plan.KindFile, Name: "/etc/systemd/system/relay-server.service"}}
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
	return plan.Plan{Stack: "home", Hosts: []plan.HostPlan{hostPlanOf(host)}}
}

func departedPlan() plan.Plan {
	host := driftedWorker()
	host.Role, host.Want = plan.RoleDeparted, nil
	return plan.Plan{Stack: "home", Hosts: []plan.HostPlan{hostPlanOf(plans.Edge(plans.AsWanted(plans.ProxyWants())...)), hostPlanOf(host)}}
}

// hostilePlan is of a host whose owner tries to draw on the operator's screen.
func hostilePlan() plan.Plan {
	host := plans.Edge(plans.AsWanted(plans.ProxyWants())...)
	host.Facts.Machine.Pretty = "Debian\x1b]0;owned\a 13 é"
	host.Facts.Listeners = []plan.Listener{
		{Address: "::", Port: 443, Process: "a\nb\x1b[2J\u202e\xff", PID: 7},
		{Address: "::", Port: 8080, Unit: "evil\x1b[1A.service"},
	}
	return plan.Plan{Stack: "home", Hosts: []plan.HostPlan{hostPlanOf(host)}}
}

func TestNoPlanReachesBeyondThePage(t *testing.T) {
	for _, p := range []plan.Plan{busyPlan(), blockedPlan(), adoptedPlan(), handMadePlan(false), handMadePlan(true), departedPlan(), hostilePlan()} {
		for line := range strings.Lines(planText(p, cli.PlanText{ASCII: true})) {
			if n := utf8.RuneCountInString(line) - 1; n > 80 && len(strings.Fields(line)) > 2 {
				t.Errorf("%d columns: %q", n, line)
			}
		}
	}
}

// Whatever a host calls its things, and a manifest other hosts, nothing of it
// reaches a terminal as it is, nor a program that prints it on one.
func TestPlanOfAHostThatLies(t *testing.T) {
	const csi = "\u009b31m"
	fact := plans.Found(csi, csi, "mode=0644")
	fact.Applied = &plan.Applied{ID: fact.ID, Made: true}
	host := hostPlanOf(plan.Host{Name: csi, Address: csi, Role: plan.RoleDeparted, Facts: plan.Facts{
		Machine: plan.Machine{Pretty: csi, Arch: csi}, Resources: []plan.Fact{fact},
	}})
	h := &hosts{planned: &engine.Planned{Plan: plan.Plan{Hosts: []plan.HostPlan{host}}}}
	for _, args := range [][]string{{"plan"}, {"plan", "--json"}} {
		out := newConsole(t, "", args...).run(h).stdout.String()
		if !strings.Contains(out, "31m") || strings.Contains(out, csi) {
			t.Errorf("%v: %q", args, out)
		}
	}
}

func TestTextOfOverriddenUnits(t *testing.T) {
	for _, row := range []struct {
		name          string
		shared, adopt bool
	}{{"overridden", true, false}, {"overridden-adopted", false, true}} {
		host := plans.OverriddenEdge(row.shared)
		host.Adopt = row.adopt
		whole := plan.Plan{Stack: "home", Hosts: []plan.HostPlan{hostPlanOf(host)}}
		goldenPlan(t, row.name, planText(whole, cli.PlanText{}))
	}
}

// A machine that was set aside is shown with its address once.
func TestTextOfAMachineThatWasSetAside(t *testing.T) {
	aside := plan.Member{Name: "gpu-1", Address: "10.0.0.21"}.Aside()
	p := plan.Plan{Stack: "home", Hosts: []plan.HostPlan{{
		Name: aside, Address: "10.0.0.21", Role: plan.RoleDeparted, Machine: plan.Machine{Pretty: "Debian 12", Arch: "amd64"},
		Changes: []plan.Change{{ID: plan.ID{Kind: plan.KindUser, Name: "relay"}, Action: plan.Remove}},
	}}}
	got := planText(p, cli.PlanText{})
	if want := "\ngpu-1 at 10.0.0.21  Debian 12, amd64: left the stack\n  - user relay\n"; !strings.Contains(got, want) {
		t.Errorf("no %q in\n%s", want, got)
	}
}

// What --adopt would do with a unit of our name is not what it does with one in
// the way of a port.
func TestTextOfAUnitOfOurName(t *testing.T) {
	ours := plans.Want(plan.KindUnit, "relay.service", "enabled=yes", "running=yes")
	theirs := plan.Change{ID: ours.ID, Action: plan.Attention, Resource: &ours, Block: "not made by relayctl", Adoptable: true}
	got := planText(plan.Plan{Stack: "home", Hosts: []plan.HostPlan{{Name: "edge", Changes: []plan.Change{theirs}}}}, cli.PlanText{Width: 200})
	if !strings.Contains(got, "; --adopt has ours take its place; its own file stays as it is\n") || strings.Contains(got, "stops and disables") {
		t.Errorf("the plan says\n%s", got)
	}
}

// A machine in two roles is shown under both names, and says where the worker
// went that had another one before.
func TestTextOfOneMachine(t *testing.T) {
	for _, columns := range []int{80, 200} {
		got := planText(oneMachinePlan(), cli.PlanText{Width: columns, Took: 620 * time.Millisecond})
		goldenPlan(t, fmt.Sprintf("one-machine-%d", columns), got)
		for line := range strings.Lines(got) {
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
	proxy := plans.Edge(plans.AsWanted(plans.ProxyWants())...)
	proxy.Worker = "gpu-1"
	entry := plans.Want(plan.KindFile, "/etc/relay/workers.d/gpu-1.json", "mode=0640")
	entry.Want[plan.AttrContent] = plan.MadeOn("edge")
	for i, r := range proxy.Want {
		if r.ID == entry.ID {
			proxy.Want[i] = entry
		}
	}
	proxy.Want = append(proxy.Want, plans.Want(plan.KindSecret, "worker"), plans.Want(plan.KindProgram, "relay-worker", "version=0.3.0", "digest=sha256:ab"))
	return plan.Plan{Stack: "home", Hosts: []plan.HostPlan{hostPlanOf(proxy), hostPlanOf(left)}}
}

// hostPlanOf is what a Diff of a host comes to.
func hostPlanOf(h plan.Host) plan.HostPlan {
	p, err := plan.Diff(h)
	if err != nil {
		panic(err)
	}
	return p
}
