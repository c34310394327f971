package desired_test

import (
	"os"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/relayctl/relayctl/internal/desired"
	"github.com/relayctl/relayctl/internal/plan"
	"github.com/relayctl/relayctl/internal/stack"
)

// keys of the stacks of these tests, brought by their owner.
const (
	ollamaKey = "ollama-key-of-gpu-2"
	oldKey    = "sk-0123456789abcdef0123456789abcdef"
)

// load reads a stack file from memory.
func load(t testing.TB, source string) *stack.Stack {
	t.Helper()
	env := map[string]string{"RELAYCTL_VAR_ollama_key": ollamaKey, "RELAYCTL_VAR_old_key": oldKey}
	s, _, diags := stack.Load("stack.hcl", stack.Options{
		NeedValues: true,
		Env:        func(name string) (string, bool) { value, ok := env[name]; return value, ok },
		ReadFile:   func(string) ([]byte, error) { return []byte(source), nil },
	})
	if diags.HasErrors() {
		t.Fatalf("load stack: %v", diags)
	}
	return s
}

// input builds the input that an archive describes: stack.hcl, and the facts
// of the hosts that were looked at. on-proxy names the worker on the proxy's
// machine. A line of facts is HOST ARCH, or HOST KIND
// NAME ATTRIBUTE=VALUE..., where ROOT stands for the root certificate. A file
// found/HOST/PATH is on that host, and ours.
func input(t testing.TB, archive *txtar.Archive) desired.Input {
	t.Helper()
	in := desired.Input{Program: program, Hosts: map[string]desired.Seen{}}
	for _, file := range archive.Files {
		content := string(file.Data)
		switch path, found := strings.CutPrefix(file.Name, "found/"); {
		case file.Name == "stack.hcl":
			in.Stack = load(t, content)
		case file.Name == "facts":
			for line := range strings.Lines(content) {
				addFact(t, in, strings.Fields(line))
			}
		case file.Name == "prepared":
			in.Prepared = true
		case file.Name == "on-proxy":
			in.OnProxy = strings.TrimSpace(content)
		case found:
			host, path, _ := strings.Cut(path, "/")
			id := plan.ID{Kind: plan.KindFile, Name: "/" + path}
			have := map[string]string{plan.AttrContent: plan.Digest(file.Data)}
			add(in, host, plan.Fact{ID: id, Exists: true, Have: have, Content: file.Data, Applied: &plan.Applied{ID: id, Have: have}})
		}
	}
	return in
}

func addFact(t testing.TB, in desired.Input, words []string) {
	t.Helper()
	if len(words) == 2 {
		machine := plan.Machine{System: "debian", Version: "12", Arch: words[1]}
		in.Hosts[words[0]] = desired.Seen{Facts: plan.Facts{Machine: machine}, MACKey: []byte(words[0] + "'s key for digests")}
		return
	}
	id := plan.ID{Kind: plan.Kind(words[1]), Name: words[2]}
	fact := plan.Fact{ID: id, Exists: true, Have: map[string]string{}}
	for _, pair := range words[3:] {
		name, value, _ := strings.Cut(pair, "=")
		if value == "ROOT" {
			value = root(t)
		}
		fact.Have[name] = value
	}
	add(in, words[0], fact)
}

func add(in desired.Input, host string, fact plan.Fact) {
	seen := in.Hosts[host]
	seen.Facts.Resources = append(seen.Facts.Resources, fact)
	in.Hosts[host] = seen
}

// root is a root certificate for llm.example.com, made once.
func root(t testing.TB) string {
	t.Helper()
	pem, err := os.ReadFile("testdata/root.pem")
	if err != nil {
		t.Fatal(err)
	}
	return string(pem)
}

func program(name, arch string) (desired.Program, error) {
	return desired.Program{Version: "0.3.0", Digest: plan.Digest([]byte(name + arch)), Size: 1 << 20}, nil
}

func build(t testing.TB, in desired.Input) []desired.Host {
	t.Helper()
	hosts, err := desired.Build(in)
	if err != nil {
		t.Fatal(err)
	}
	return hosts
}

// readCase reads one golden case.
func readCase(t testing.TB, path string) *txtar.Archive {
	t.Helper()
	archive, err := txtar.ParseFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return archive
}

// find returns the resource of a host.
func find(t testing.TB, hosts []desired.Host, host string, id plan.ID) plan.Resource {
	t.Helper()
	for _, h := range hosts {
		for _, r := range h.Want {
			if h.Name == host && r.ID == id {
				return r
			}
		}
	}
	t.Fatalf("no %s on %s", id, host)
	return plan.Resource{}
}
