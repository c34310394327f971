package archtest

import (
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/relayctl/relayctl/internal/desired"
	"github.com/relayctl/relayctl/internal/plan"
	"github.com/relayctl/relayctl/internal/stack"
)

// Every package has its sentence in the architecture.
func TestArchitectureNamesEveryPackage(t *testing.T) {
	g, err := readModule("../..")
	if err != nil {
		t.Fatal(err)
	}
	if len(g) < fewest {
		t.Fatalf("found %d packages, fewer than %d", len(g), fewest)
	}
	var named []string
	for line := range strings.Lines(readPage(t, "../..", "docs/architecture.md").section("## The packages")) {
		if cells := strings.Split(line, "|"); len(cells) == 4 && strings.TrimSpace(cells[2]) != "" {
			for _, span := range spanPattern.FindAllStringSubmatch(cells[1], -1) {
				named = append(named, span[1])
			}
		}
	}
	slices.Sort(named)
	if diff := cmp.Diff(slices.Sorted(maps.Keys(g)), named); diff != "" {
		t.Errorf("packages in docs/architecture.md (-in the tree +named):\n%s", diff)
	}
}

// Whoever looks after a host finds there what the examples bring there.
func TestOperationsNamesAllThatIsOnHosts(t *testing.T) {
	text := readPage(t, "../..", "docs/operations.md").text
	examples, err := filepath.Glob("../../examples/*.hcl")
	if err != nil || len(examples) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	for _, example := range examples {
		s, _, problems := stack.Load(example, stack.Options{})
		if problems.HasErrors() {
			t.Fatal(problems)
		}
		hosts, err := desired.Build(desired.Input{Stack: s})
		if err != nil {
			t.Fatal(err)
		}
		for _, host := range hosts {
			for _, resource := range host.Want {
				if name := onEveryHost(resource.ID); !strings.Contains(text, name) {
					t.Errorf("docs/operations.md does not name %s %s, which %s has in %s", resource.Kind, name, host.Name, example)
				}
			}
		}
	}
}

// onEveryHost is how the page writes a name that differs from stack to stack.
func onEveryHost(id plan.ID) string {
	folder, base := filepath.Split(id.Name)
	switch {
	case id.Kind == plan.KindFile && folder == "/etc/relay/workers.d/":
		return folder + "NAME.json"
	case id.Kind == plan.KindFile && folder == "/etc/relay/backends/":
		return folder + "MODEL.key"
	case id.Kind == plan.KindKey:
		return "API keys"
	case id.Kind == plan.KindSecret || id.Kind == plan.KindCA:
		return base
	}
	return id.Name
}

// Every library has its line, with what it is for, and no line is left over.
func TestLibrariesAreExplained(t *testing.T) {
	module := regexp.MustCompile(`(?m)^\t([\w./-]+) v\S+$|^(?:tool |\t)(\S+/cmd/\S+)$`)
	var libraries []string
	for _, match := range module.FindAllStringSubmatch(readText(t, "../../go.mod"), -1) {
		libraries = append(libraries, libraryName(match[1]+match[2]))
	}
	if len(libraries) < 10 {
		t.Fatalf("found %d libraries in go.mod", len(libraries))
	}
	var explained []string
	for line := range strings.Lines(readPage(t, "../..", "docs/adr/0003-libraries.md").text) {
		cells := strings.Split(line, "|")
		if len(cells) < 4 || strings.TrimSpace(cells[1]) == "library" || strings.Contains(cells[1], "---") {
			continue
		}
		for cell := range strings.SplitSeq(cells[1], ",") {
			explained = append(explained, libraryName(strings.TrimSpace(cell)))
		}
	}
	slices.Sort(libraries)
	slices.Sort(explained)
	if diff := cmp.Diff(libraries, explained); diff != "" {
		t.Errorf("libraries (-in go.mod +explained):\n%s", diff)
	}
}

// libraryName is a module as people call it: without host and version.
func libraryName(module string) string {
	module = strings.TrimPrefix(module, "github.com/")
	for _, inner := range []string{"/ssh", "/cmd/staticcheck", "/cmd/govulncheck"} { // of x/crypto, of go/tools, of x/vuln
		module = strings.TrimSuffix(module, inner)
	}
	return regexp.MustCompile(`/v\d+$`).ReplaceAllString(module, "")
}

// Decisions are numbered without a gap, listed, and of one form.
func TestDecisions(t *testing.T) {
	files, err := filepath.Glob("../../docs/adr/0*.md")
	if err != nil || len(files) < 5 {
		t.Fatalf("%d decisions: %v", len(files), err)
	}
	list := readPage(t, "../..", "docs/adr/README.md").text
	for i, path := range files {
		name, text := filepath.Base(path), readText(t, path)
		title, _, _ := strings.Cut(text, "\n")
		title = strings.TrimPrefix(title, fmt.Sprintf("# %d. ", i+1))
		if !strings.HasPrefix(name, fmt.Sprintf("%04d-", i+1)) || strings.HasPrefix(title, "#") {
			t.Errorf("%s: is not number %d by name and title", name, i+1)
		}
		if entry := fmt.Sprintf("%d. [%s](%s)\n", i+1, title, name); !strings.Contains(list, entry) {
			t.Errorf("docs/adr/README.md does not list %s", entry)
		}
		for _, part := range []string{"## Context", "## Decision", "## Consequences"} {
			if strings.Count(text, "\n"+part+"\n") != 1 {
				t.Errorf("%s: has no %q", name, part)
			}
		}
	}
}
