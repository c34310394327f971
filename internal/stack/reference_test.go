package stack_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/relayctl/relayctl/internal/stack"
)

func readReference(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/stack.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// section cuts the part of a document from a heading to the next one.
func section(t *testing.T, document, heading string) string {
	t.Helper()
	_, rest, ok := strings.Cut(document, "\n"+heading+"\n")
	if !ok {
		t.Fatalf("no heading %q", heading)
	}
	if end := regexp.MustCompile(`(?m)^##+ `).FindStringIndex(rest); end != nil {
		rest = rest[:end[0]]
	}
	return rest
}

// Each argument has a row in the section of its block with what it takes and
// its default, word for word as the decoder has them.
func TestReferenceHasEveryArgument(t *testing.T) {
	document := readReference(t)
	rows := stack.ReferenceRows()
	if len(rows) < 20 {
		t.Fatalf("only %d arguments", len(rows))
	}
	for _, r := range rows {
		if strings.HasPrefix(r.Block, "ssh in ") {
			continue // explained once, for the file
		}
		want := "| `" + r.Name + "` | " + r.Says + " | " + r.Default + " |"
		if !strings.Contains(section(t, document, "## "+r.Block), want) {
			t.Errorf("section %q lacks the row\n%s", r.Block, want)
		}
	}
}

func TestReferenceHasEverythingNotSupportedYet(t *testing.T) {
	text := section(t, readReference(t), "## Not supported yet")
	names := stack.Later()
	if len(names) < 20 {
		t.Fatalf("only %d names", len(names))
	}
	for _, name := range names {
		if !strings.Contains(text, "`"+name+"`") {
			t.Errorf("the list lacks `%s`", name)
		}
	}
}

func TestReferenceHasEveryFunction(t *testing.T) {
	text := section(t, readReference(t), "## Functions")
	for _, name := range stack.FunctionNames() {
		if !strings.Contains(text, "`"+name+"(") {
			t.Errorf("no row for %s()", name)
		}
	}
	rows := regexp.MustCompile("(?m)^\\| `([a-z]+)\\(").FindAllStringSubmatch(text, -1)
	if len(rows) == 0 || len(rows) != len(stack.FunctionNames()) {
		t.Errorf("%d rows for %d functions", len(rows), len(stack.FunctionNames()))
	}
	for _, m := range rows {
		if !strings.Contains(" "+strings.Join(stack.FunctionNames(), " ")+" ", " "+m[1]+" ") {
			t.Errorf("there is no function %s()", m[1])
		}
	}
}

func TestDefaultsAreValid(t *testing.T) {
	rows := stack.ReferenceRows()
	if len(rows) < 20 {
		t.Fatalf("only %d rows", len(rows))
	}
	for _, r := range rows {
		if r.Problem != "" {
			t.Errorf("the default of %s in %s %s", r.Name, r.Block, r.Problem)
		}
	}
}

// Every piece of HCL in the reference is valid, once what it leaves out is
// added.
func TestReferenceSnippets(t *testing.T) {
	snippets := regexp.MustCompile("(?s)```hcl\n(.*?)```").FindAllStringSubmatch(readReference(t), -1)
	if len(snippets) == 0 {
		t.Fatal("no snippets")
	}
	rest := map[string]string{
		"stack":  "stack \"rest\" {}\n",
		"proxy":  "proxy \"rest\" {\n  address = \"192.0.2.99\"\n  domain = \"rest.example.com\"\n  tls \"internal\" {}\n}\n",
		"worker": "worker \"rest-1\" {\n  address = \"192.0.2.98\"\n  model \"llama3-8b\" {\n    backend = \"http://127.0.0.1:1\"\n  }\n}\n",
	}
	for _, m := range snippets {
		text := m[1]
		for name, block := range rest {
			if !regexp.MustCompile(`(?m)^` + name + ` "`).MatchString(text) {
				text += block
			}
		}
		_, src, diags := stack.Load("stack.md", stack.Options{ReadFile: files{"stack.md": text}.read})
		if len(diags) > 0 {
			t.Errorf("%s\n%s", m[1], printed(t, src, diags))
		}
	}
}

// The examples are valid as they are, and complete with what they ask for.
func TestExamples(t *testing.T) {
	for _, file := range fixtures(t, "../../examples/*.hcl") {
		t.Run(filepath.Base(file), func(t *testing.T) {
			if _, src, diags := stack.Load(file, stack.Options{}); len(diags) > 0 {
				t.Errorf("validate:\n%s", printed(t, src, diags))
			}
			options := stack.Options{NeedValues: true, ReadFile: readOrKey}
			if filepath.Base(file) != "stack.hcl" { // the first stack asks for nothing
				options.Env = func(string) (string, bool) { return oldKey, true }
			}
			s, src, diags := stack.Load(file, options)
			if len(diags) > 0 {
				t.Fatalf("with values:\n%s", printed(t, src, diags))
			}
			if len(s.Workers) == 0 || len(s.APIKeys) == 0 {
				t.Error("nothing to try")
			}
		})
	}
}

// readOrKey reads a file, or a key where an example names one.
func readOrKey(path string) ([]byte, error) {
	if strings.HasSuffix(path, ".key") {
		return []byte(oldKey + "\n"), nil
	}
	return os.ReadFile(path)
}
