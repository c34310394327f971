package cli_test

import (
	"strings"
	"testing"
	"time"

	"github.com/relayctl/relayctl/internal/engine"
	"github.com/relayctl/relayctl/internal/plan"
)

func TestPlanExitCodes(t *testing.T) {
	lost := planOf(newPackage)
	lost.Failed = engine.HostErrors{unreachable("gpu-1", 9)}
	held := planOf(newPackage)
	held.Locks = []engine.Lock{{Host: "edge", Holder: "ann@desk", Command: "apply", Since: now.Local()}}
	left := planOf()
	left.Stays = engine.HostErrors{unreachable("gpu-9", 9)}
	left.GivenUp, left.Unknown = []string{"gpu-8"}, []string{"gpu-7"}
	clocks := planOf()
	clocks.Clocks = []engine.Clock{{Host: "gpu-1", Off: -62 * time.Minute}, {Host: "gpu-2", Off: 72 * time.Hour}}
	wrong := planOf()
	wrong.Clocks = []engine.Clock{{Off: 62 * time.Minute}}
	moved := planOf()
	moved.Hosts[0].Role, moved.Hosts[0].Worker = plan.RoleProxy, "gpu-9"
	moved.Stays = left.Stays
	attention := plan.Change{ID: inTheWay.ID, Action: plan.Attention, Reasons: []string{"not ours, left alone"}}
	for _, row := range []struct {
		name    string
		planned *engine.Planned
		args    []string
		code    int
	}{
		{"changes", planOf(newPackage), nil, 0},
		{"changes-detailed", planOf(newPackage), []string{"--detailed-exitcode"}, 2},
		{"none-detailed", planOf(), []string{"--detailed-exitcode"}, 0},
		{"attention-detailed", planOf(attention), []string{"--detailed-exitcode"}, 0},
		{"blocked-detailed", planOf(inTheWay), []string{"--detailed-exitcode"}, 2},
		{"blocked-for-good", planOf(portTaken), nil, 0},
		{"host-lost-detailed", lost, []string{"--detailed-exitcode"}, 1},
		{"left-the-stack", left, nil, 0},
		{"moved", moved, nil, 0},
		{"clocks-off-detailed", clocks, []string{"--detailed-exitcode"}, 0},
		{"own-clock-off", wrong, nil, 0},
		{"somebody-at-work", held, nil, 0},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := newConsole(t, "", append([]string{"plan"}, row.args...)...).run(&hosts{planned: row.planned})
			c.wantCode(t, row.code)
			if row.name == "somebody-at-work" {
				return // names a local time
			}
			golden(t, "plan-"+row.name, c.screen())
		})
	}
}

func TestStatus(t *testing.T) {
	units := []engine.UnitStatus{{Name: "relay-server", Version: "0.3.0", Active: true}, {Name: "caddy", Version: "2.6.2-5", Active: true}}
	well := engine.Status{
		Stack: "home", URL: "https://llm.example.com", Applied: now.Add(-2 * time.Hour), Operator: "ops@desk",
		Hosts: []engine.HostStatus{
			{Name: "edge", Up: true, Units: units},
			{Name: "gpu-1", Up: true, Units: []engine.UnitStatus{{Name: "relay-worker", Version: "0.3.0", Active: true}}},
		},
		Models: []engine.ModelStatus{{Model: "llama3-8b", Workers: 1, Expected: 1, Running: 3, Known: true, Proof: answered().Models[0]}},
	}
	ill := well
	ill.Problems = []engine.Problem{
		{Host: "gpu-1", Summary: "unit relay-worker is not running", Log: []string{"exit \x1b[1mstatus 1"}, Command: "relayctl apply", Why: "starts it"},
		{Summary: "llama3-8b: no token within 10 s", Why: "The engine may hang.\nLook at its log on gpu-1."},
	}
	ill.Hosts = []engine.HostStatus{
		{Name: "edge", Up: true, Drift: 2, Units: units[:1]},
		{Name: "gpu-1", Up: true, Units: []engine.UnitStatus{{Name: "relay-worker", Version: "0.2.9", Wanted: "0.3.0"}}},
		{Name: "gpu-2"},
	}
	ill.Models = []engine.ModelStatus{{Model: "llama3-8b", Expected: 2, Proof: engine.ModelProof{Err: &engine.NoToken{Model: "llama3-8b"}}}}
	fresh := engine.Status{Stack: "home", URL: "https://llm.example.com", Hosts: well.Hosts[:1],
		Problems: []engine.Problem{{Summary: "nothing was applied yet", Command: "relayctl apply", Why: "sets the stack up"}}}
	lost := engine.Status{Stack: "home", URL: "https://llm.example.com", Hosts: []engine.HostStatus{{Name: "edge", Role: "proxy"}},
		Problems: []engine.Problem{{Host: "edge", Summary: "no answer within 10 s"}}}
	cold := well
	cold.Detours = []string{"domain: no such host"}
	cold.Problems = []engine.Problem{
		{Summary: "llama3-8b gave no token within 10 s: it may be loading, or hang", Log: []string{"gpu-1: connected; its engine at http://127.0.0.1:11434 gives no token"},
			Command: "relayctl status", Why: "looks again; the relay goes on asking"},
		{Kind: engine.EngineTrouble, Host: "gpu-1", Model: "llama3-8b", Summary: "llama3-8b fails there: nothing listens on 127.0.0.1:11434",
			Why: "Is the engine of llama3-8b up on gpu-1? It is expected at http://127.0.0.1:11434 (stack.hcl line 12)."},
	}
	one := well
	one.Hosts = []engine.HostStatus{
		{Name: "edge", Role: "proxy", Worker: "gpu-1", Up: true, Units: append(units, well.Hosts[1].Units...)},
	}
	without := well
	without.NotCompared = []engine.NotCompared{
		{Host: "gpu-1", Block: `model "llama3-8b"`, Argument: "backend_key"}, {Host: "edge", Block: `api_key "old"`, Argument: "value"},
	}
	for name, row := range map[string]struct {
		status engine.Status
		code   int
	}{"without-secrets": {without, 0}, "cold": {cold, 1}, "one-machine": {one, 0}, "lost": {lost, 1}, "well": {well, 0}, "ill": {ill, 1}, "fresh": {fresh, 1}} {
		t.Run(name, func(t *testing.T) {
			c := newConsole(t, "", "status").run(&hosts{status: &row.status})
			c.wantCode(t, row.code)
			golden(t, "status-"+name, c.screen())
		})
	}
}

func TestRootCertificateIsAllThatIsPrinted(t *testing.T) {
	const pem = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
	c := newConsole(t, "", "ca").run(&hosts{root: pem})
	c.wantCode(t, 0)
	if c.stdout.String() != pem || c.stderr.String() != "" {
		t.Error(c.screen())
	}
	c = newConsole(t, "", "ca").run(&hosts{err: engine.ErrNoCA})
	c.wantCode(t, 1)
	golden(t, "no-ca", c.screen())
}

func TestColourIsForTerminalsOnly(t *testing.T) {
	for _, row := range []struct {
		name           string
		terminal, want bool
		env            map[string]string
	}{
		{"terminal", true, true, map[string]string{"LANG": "C.UTF-8"}},
		{"pipe", false, false, map[string]string{"LANG": "C.UTF-8"}},
		{"NO_COLOR", true, false, map[string]string{"NO_COLOR": "1"}},
		{"dumb", true, false, map[string]string{"TERM": "dumb"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := newConsole(t, "", "plan")
			c.StdoutTerminal = row.terminal
			c.Env = func(name string) (string, bool) { value, ok := row.env[name]; return value, ok }
			c.run(&hosts{planned: planOf(newPackage)})
			if got := strings.Contains(c.stdout.String(), "\x1b"); got != row.want {
				t.Errorf("colour: %v, want %v", got, row.want)
			}
		})
	}
}

func TestNothingOutsideASCIIWhereTheLocaleIsNot(t *testing.T) {
	reload := plan.Change{ID: inTheWay.ID, Action: plan.Reload, Reasons: []string{"because é → e"}}
	for _, row := range []struct {
		env  map[string]string
		want string
	}{
		{map[string]string{"LANG": "C.UTF-8"}, "↻ reload nginx        because é → e"},
		{map[string]string{"LANG": "de_DE.utf8"}, "↻ reload nginx        because é → e"},
		{map[string]string{"LANG": "C.UTF-8", "LC_ALL": "C"}, `* reload nginx        because \u00e9 -> e`},
		{nil, `* reload nginx        because \u00e9 -> e`},
	} {
		c := newConsole(t, "", "plan").piped()
		c.Env = func(name string) (string, bool) { value, ok := row.env[name]; return value, ok }
		c.run(&hosts{planned: planOf(reload)})
		if !strings.Contains(c.stdout.String(), row.want) {
			t.Errorf("%v: no %q in\n%s", row.env, row.want, c.screen())
		}
	}
}
