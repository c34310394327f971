package desired_test

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/relayctl/relayctl/internal/desired"
	"github.com/relayctl/relayctl/internal/plan"
)

func fileID(path string) plan.ID { return plan.ID{Kind: plan.KindFile, Name: path} }

// content is what a file's content should be.
func content(t *testing.T, in desired.Input, host, path string) plan.Value {
	t.Helper()
	return find(t, build(t, in), host, fileID(path)).Want[plan.AttrContent]
}

// setFact gives a thing on a host another attribute.
func setFact(in desired.Input, host string, id plan.ID, attr, value string) {
	for i, fact := range in.Hosts[host].Facts.Resources {
		if fact.ID == id {
			have := maps.Clone(fact.Have)
			have[attr] = value
			in.Hosts[host].Facts.Resources[i].Have = have
		}
	}
}

var laptop = plan.ID{Kind: plan.KindKey, Name: "laptop"}

// A key that nobody was shown is made anew, unless this very apply made it.
func TestKeyThatWasNeverShown(t *testing.T) {
	for _, row := range []struct {
		shown    string
		prepared bool
		known    bool
	}{
		{plan.No, false, false},
		{plan.No, true, true},
		{plan.Yes, false, true},
		{plan.Yes, true, true},
	} {
		in := input(t, readCase(t, "testdata/prepared.txtar"))
		in.Prepared = row.prepared
		setFact(in, "edge", laptop, plan.AttrShown, row.shown)
		key := find(t, build(t, in), "edge", laptop).Want[plan.AttrDigest]
		if key.IsKnown() != row.known {
			t.Errorf("shown %s, prepared %t: key is known: %t", row.shown, row.prepared, key.IsKnown())
		}
		if keys := content(t, in, "edge", "/etc/relay/keys.json"); keys.IsKnown() != row.known {
			t.Errorf("shown %s, prepared %t: keys.json is known: %t", row.shown, row.prepared, keys.IsKnown())
		}
	}
}

// The root for another domain is about to be made anew: nothing is rendered
// from the old one.
func TestRootOfAnotherDomain(t *testing.T) {
	in := input(t, readCase(t, "testdata/prepared.txtar"))
	in.Stack.Proxy.Domain = "new.example.com"
	for host, paths := range map[string][]string{
		"edge":  {"/etc/caddy/Caddyfile", "/etc/caddy/relayctl/ca.crt", "/etc/caddy/relayctl/ca.key"},
		"gpu-1": {"/etc/relay/ca.pem"},
	} {
		for _, path := range paths {
			if got := content(t, in, host, path); got != plan.MadeOn("edge") {
				t.Errorf("%s of %s is %+v", path, host, got)
			}
		}
	}
}

func TestBuildRefuses(t *testing.T) {
	broken := errors.New("no such program")
	for name, row := range map[string]struct {
		spoil func(*desired.Input)
		want  string
	}{
		"no stack":       {func(in *desired.Input) { in.Stack = nil }, "no stack"},
		"root not PEM":   {func(in *desired.Input) { setRoot(*in, "nonsense") }, "read root certificate of edge: not PEM"},
		"program":        {func(in *desired.Input) { in.Program = noProgram(broken) }, "of edge: find program relay-host for amd64: no such program"},
		"worker path":    {func(in *desired.Input) { in.Stack.Workers[0].Name = "../x" }, `worker "../x" cannot name a file`},
		"own key's name": {func(in *desired.Input) { in.Stack.APIKeys[0].Name = "relayctl-probe" }, `api_key "relayctl-probe": relayctl's own key has this name`},
		"braces":         {func(in *desired.Input) { in.Stack.Name = "{env.HOME}" }, `"{env.HOME}" may not stand in a Caddyfile`},
	} {
		in := input(t, readCase(t, "testdata/prepared.txtar"))
		row.spoil(&in)
		_, err := desired.Build(in)
		if err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: got %v, want %s", name, err, row.want)
		}
	}
	in := input(t, readCase(t, "testdata/prepared.txtar"))
	in.Program = noProgram(broken)
	if _, err := desired.Build(in); !errors.Is(err, broken) {
		t.Errorf("%v does not wrap its cause", err)
	}
}

func setRoot(in desired.Input, pem string) {
	setFact(in, "edge", plan.ID{Kind: plan.KindCA, Name: plan.CAInternal}, plan.AttrPublic, pem)
}

func noProgram(err error) func(string, string) (desired.Program, error) {
	return func(string, string) (desired.Program, error) { return desired.Program{}, err }
}

// A file is ours to read hashes from only if an apply left it, and only while
// the worker can't be looked at.
func TestStandingHashes(t *testing.T) {
	const path = "/etc/relay/workers.d/gpu-1.json"
	for name, row := range map[string]struct {
		spoil func(*plan.Fact)
		known bool
	}{
		"ours":     {func(*plan.Fact) {}, true},
		"not ours": {func(f *plan.Fact) { f.Applied = nil }, false},
		"broken":   {func(f *plan.Fact) { f.Content = []byte("{") }, false},
		"empty":    {func(f *plan.Fact) { f.Content = []byte("{}") }, false},
	} {
		in := input(t, readCase(t, "testdata/unreachable.txtar"))
		for i := range in.Hosts["edge"].Facts.Resources {
			if fact := &in.Hosts["edge"].Facts.Resources[i]; fact.ID == fileID(path) {
				row.spoil(fact)
			}
		}
		if got := content(t, in, "edge", path); got.IsKnown() != row.known {
			t.Errorf("%s: content is known: %t", name, got.IsKnown())
		}
	}
	in := input(t, readCase(t, "testdata/unreachable.txtar"))
	in.Hosts["gpu-1"] = desired.Seen{}
	if got := content(t, in, "edge", path); got != plan.MadeOn("gpu-1") {
		t.Errorf("a worker that was looked at and has no secret: %+v", got)
	}
}

// apply leaves everything as a host wants it: the facts that a look after an
// apply finds.
func apply(h desired.Host, facts plan.Facts) plan.Facts {
	facts.Manifest = &plan.Manifest{Number: 1}
	before := facts
	facts.Resources = nil
	for _, r := range h.Want {
		have := maps.Clone(before.Find(r.ID).Have) // what only facts have
		if have == nil {
			have = map[string]string{}
		}
		for name, value := range r.Want {
			have[name] = value.Text
		}
		facts.Resources = append(facts.Resources, plan.Fact{
			ID: r.ID, Exists: true, Have: have, Applied: &plan.Applied{ID: r.ID, Have: have, Made: true, Number: 1},
		})
	}
	return facts
}

// Nothing is left to do once all is as wanted.
func TestSecondPlanIsEmpty(t *testing.T) {
	for _, name := range []string{"prepared", "address"} {
		in := input(t, readCase(t, "testdata/"+name+".txtar"))
		for _, h := range build(t, in) {
			seen := in.Hosts[h.Name]
			seen.Facts = apply(h, seen.Facts)
			in.Hosts[h.Name] = seen
		}
		in.Prepared = false
		for _, h := range build(t, in) {
			p, err := plan.Diff(plan.Host{Name: h.Name, Role: h.Role, Want: h.Want, Ports: h.Ports, Facts: in.Hosts[h.Name].Facts})
			if err != nil || len(p.Changes) != 0 {
				t.Errorf("%s: %s: %v, error %v", name, h.Name, p.Changes, err)
			}
		}
	}
}

// Caddy checks its file together with the certificate and key that it names.
func TestCaddyfileComesAfterWhatItNames(t *testing.T) {
	in := input(t, readCase(t, "testdata/prepared.txtar"))
	h := build(t, in)[0]
	todo, err := plan.Diff(plan.Host{Want: h.Want, Facts: in.Hosts["edge"].Facts})
	if err != nil {
		t.Fatal(err)
	}
	place := map[string]int{}
	for i, c := range todo.Changes {
		place[c.ID.Name] = i + 1
	}
	caddyfile := place["/etc/caddy/Caddyfile"]
	for _, name := range []string{"caddy", "/etc/caddy/relayctl", "/etc/caddy/relayctl/ca.crt", "/etc/caddy/relayctl/ca.key"} {
		if place[name] == 0 || place[name] > caddyfile {
			t.Errorf("%s is change %d, the Caddyfile is %d", name, place[name], caddyfile)
		}
	}
}

// On one machine the relay knows the worker when that comes: it has loaded its
// hash.
func TestWorkerOnTheProxyStartsOnceTheRelayKnowsIt(t *testing.T) {
	in := input(t, readCase(t, "testdata/one-machine.txtar"))
	h := build(t, in)[0]
	facts := apply(h, in.Hosts["edge"].Facts)
	facts.Resources = slices.DeleteFunc(facts.Resources, func(f plan.Fact) bool {
		return f.Name == "relay-worker.service" || strings.HasPrefix(f.Name, "/etc/relay/workers.d/")
	})
	todo, err := plan.Diff(plan.Host{Want: h.Want, Facts: facts})
	if err != nil {
		t.Fatal(err)
	}
	var units []string
	for _, c := range todo.Changes {
		if c.ID.Kind == plan.KindUnit {
			units = append(units, string(c.Action)+" "+c.ID.Name)
		}
	}
	if diff := cmp.Diff([]string{"reload relay-server.service", "create relay-worker.service"}, units); diff != "" {
		t.Error("(-want +got)\n" + diff)
	}
}

// What belongs to the first stage is what other files wait for.
func TestPrepareStageSettlesEverything(t *testing.T) {
	in := input(t, readCase(t, "testdata/fresh.txtar"))
	var stage []string
	for _, h := range build(t, in) {
		for _, r := range h.Want {
			if desired.Prepare(r) {
				stage = append(stage, h.Name+" "+r.ID.String())
			}
		}
	}
	want := "edge program relay-host,edge ca internal,edge secret probe,edge key laptop," +
		"gpu-1 program relay-host,gpu-1 secret worker,gpu-2 program relay-host,gpu-2 secret worker"
	if got := strings.Join(stage, ","); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	for _, h := range build(t, input(t, readCase(t, "testdata/prepared.txtar"))) {
		for _, r := range h.Want {
			for name, value := range r.Want {
				if !value.IsKnown() {
					t.Errorf("%s: %s of %s waits for %s after the first stage", h.Name, name, r.ID, value.MadeOn)
				}
			}
		}
	}
}
