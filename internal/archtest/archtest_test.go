// Package archtest holds the import rules: dependencies point one way, the
// operator's code never reaches a host, and the programs for hosts are never
// linked into relayctl. And it holds the documents to the code: what they name
// exists, and what has to be named is.
package archtest

import (
	"slices"
	"strings"
	"testing"
)

const module = "github.com/relayctl/relayctl/"

// fewest is how many packages the module has at the very least: with fewer,
// the test did not look where it should.
const fewest = 20

// mayImport lists, for every package, the packages of this module that its
// code outside tests may import itself. A package that is not named may not
// exist.
var mayImport = map[string][]string{
	"cmd/relayctl":     {"internal/cli"},
	"cmd/relay-server": {"internal/relay"},
	"cmd/relay-worker": {"internal/worker"},
	"cmd/relay-host":   {"internal/host"},
	"internal/cli":     {"internal/engine", "internal/stack", "internal/plan", "internal/payload", "internal/secret"},
	"internal/engine":  {"internal/stack", "internal/desired", "internal/plan", "internal/remote", "internal/payload", "internal/hostapi", "internal/openai", "internal/secret"},
	"internal/desired": {"internal/stack", "internal/plan", "internal/secret", "templates"},
	"internal/stack":   {"internal/secret"},
	"internal/remote":  {"internal/remote/sshconfig", "internal/secret"},
	"internal/payload": {"internal/secret"},
	"internal/hostapi": {"internal/plan", "internal/secret"},
	"internal/host":    {"internal/host/kind", "internal/host/store", "internal/host/record", "internal/host/machine", "internal/hostapi", "internal/plan"},

	"internal/host/kind":    {"internal/host/store", "internal/host/record", "internal/host/machine", "internal/hostapi", "internal/plan", "internal/secret"},
	"internal/host/store":   {"internal/host/record", "internal/host/machine", "internal/hostapi", "internal/plan", "internal/secret"},
	"internal/host/record":  {"internal/host/machine", "internal/plan", "internal/secret"},
	"internal/host/machine": {"internal/plan", "internal/secret"},

	"internal/remote/sshconfig": {"internal/secret"},

	"internal/plan":     {},
	"internal/relay":    {"internal/protocol", "internal/openai", "internal/secret", "internal/service"},
	"internal/worker":   {"internal/protocol", "internal/openai", "internal/secret", "internal/service"},
	"internal/protocol": {"internal/secret"},
	"internal/openai":   {"internal/secret"},
	"internal/service":  {},
	"internal/secret":   {},
	"internal/archtest": {},
	"templates":         {},
}

// forTests are folders of code that only tests and the build use. It may
// import anything; nothing else may import it.
var forTests = []string{"test", "bench", "internal/remote/remotetest", "internal/host/machine/machinetest", "internal/payload/pack"}

// rule forbids a package everything below a prefix, however far away.
type rule struct {
	from, never, reason string
}

var rules = []rule{
	{"cmd/relayctl", module + "internal/relay", "host programs are carried as bytes"},
	{"cmd/relayctl", module + "internal/worker", "host programs are carried as bytes"},
	{"cmd/relayctl", module + "internal/host", "host programs are carried as bytes"},
	{"cmd/relayctl", module + "internal/protocol", "only relay and worker speak it"},

	{"cmd/relay-host", module + "internal/stack", "a host knows no stack files"},
	{"cmd/relay-host", module + "internal/desired", "a host is told what to be"},
	{"cmd/relay-host", module + "templates", "files come rendered"},
	{"cmd/relay-host", module + "internal/remote", "a host dials nobody"},
	{"cmd/relay-host", "golang.org/x/crypto/ssh", "a host dials nobody"},
	{"cmd/relay-host", "github.com/hashicorp/hcl", "a host knows no stack files"},
	{"cmd/relay-host", "github.com/spf13/cobra", "the operator's command line"},
	{"cmd/relay-host", "github.com/aymanbagabas/go-udiff", "people read plans on the operator's machine"},

	{"cmd/relay-server", module + "internal/worker", "the two ends meet in the protocol"},
	{"cmd/relay-server", module + "internal/stack", "it faces the network"},
	{"cmd/relay-server", module + "internal/host", "it faces the network"},
	{"cmd/relay-server", module + "internal/remote", "it faces the network"},
	{"cmd/relay-server", module + "templates", "it faces the network"},
	{"cmd/relay-server", "github.com/hashicorp/hcl", "it faces the network"},
	{"cmd/relay-server", "golang.org/x/crypto/ssh", "it faces the network"},
	{"cmd/relay-server", "github.com/spf13/cobra", "the operator's command line"},

	{"cmd/relay-worker", module + "internal/relay", "the two ends meet in the protocol"},
	{"cmd/relay-worker", module + "internal/stack", "it faces the network"},
	{"cmd/relay-worker", module + "internal/host", "it faces the network"},
	{"cmd/relay-worker", module + "internal/remote", "it faces the network"},
	{"cmd/relay-worker", module + "templates", "it faces the network"},
	{"cmd/relay-worker", "github.com/hashicorp/hcl", "it faces the network"},
	{"cmd/relay-worker", "golang.org/x/crypto/ssh", "it faces the network"},
	{"cmd/relay-worker", "github.com/spf13/cobra", "the operator's command line"},

	{"internal/plan", module, "planning is pure, and holds digests, never secrets"},
	{"internal/plan", "net/http", "planning is pure"},
	{"internal/plan", "os", "planning is pure"},
	{"internal/desired", "net/http", "it turns values into values"},
	{"internal/desired", "os/exec", "it turns values into values"},
	{"internal/desired", module + "internal/remote", "it turns values into values"},
	{"internal/stack", "net/http", "it touches no host"},
	{"internal/stack", "golang.org/x/crypto/ssh", "it touches no host"},
	{"internal/secret", module, "it is a leaf"},
	{"templates", module, "it is a leaf"},
}

func TestImports(t *testing.T) {
	g, err := readModule("../..")
	if err != nil {
		t.Fatal(err)
	}
	if len(g) < fewest {
		t.Fatalf("found %d packages, fewer than %d", len(g), fewest)
	}
	for _, violation := range g.violations(mayImport, rules) {
		t.Error(violation)
	}
}

// The rules themselves are tried on a small module that breaks each.
func TestViolationsAreFound(t *testing.T) {
	g := graph{
		"a":           {module + "b"},
		"b":           {module + "c", "os/exec"},
		"c":           {"example.com/hcl/v2"},
		"test/helper": {module + "a"},
		"d":           {module + "test/helper"},
	}
	may := map[string][]string{"a": {"b"}, "b": {}, "d": {"test/helper"}, "gone": {}}
	never := []rule{
		{"a", "example.com/hcl", "too far"},
		{"a", "os", "too near"},
		{"a", "example.com/h", "no prefix of a path"},
		{"lost", "os", "it is gone"},
	}
	want := []string{
		`b imports c, which is not among what it may import: nothing`,
		`c is in no rule: add it with what it may import`,
		`d imports test/helper, which is only for tests and the build`,
		`gone is in a rule and does not exist`,
		`lost is in a rule and does not exist`,
		`a imports b imports c imports example.com/hcl/v2: too far`,
		`a imports b imports os/exec: too near`,
	}
	got := g.violations(may, never)
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
