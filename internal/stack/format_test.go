package stack_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/relayctl/relayctl/internal/stack"
)

func formatText(text string) (stack.Formatted, *stack.Sources, hcl.Diagnostics) {
	return stack.Format("stack.hcl", stack.Options{ReadFile: func(string) ([]byte, error) { return []byte(text), nil }})
}

func TestFormat(t *testing.T) {
	for _, row := range []struct{ name, before, after string }{
		{"empty", "", ""},
		{"good already", "stack \"home\" {}\n", "stack \"home\" {}\n"},
		{"no line end", "a = 1", "a = 1\n"},
		{"no line end after CRLF", "a = 1\r\nb = 2", "a = 1\r\nb = 2\n"},
		{"alignment", "a=1\nlong =  [ 1,2 ]\n", "a    = 1\nlong = [1, 2]\n"},
		{"indentation", "proxy \"edge\" {\n domain = \"x\"\n\ttls \"internal\" {}\n}\n", "proxy \"edge\" {\n  domain = \"x\"\n  tls \"internal\" {}\n}\n"},
		{"comments", "# one\na=1 # two\n// three\n/* four */\n", "# one\na = 1 # two\n// three\n/* four */\n"},
		{"CRLF stays", "a=1\r\n# c\r\nlonger=2\r\n", "a = 1\r\n# c\r\nlonger = 2\r\n"},
		{"a byte order mark goes", "\ufeffa = 1\n", "a = 1\n"},
		{"text in lines at the end", "a = <<E\nx\nE", "a = <<E\nx\nE\n"},
		{"blank lines stay", "a=1\n\n\nb=2\n", "a = 1\n\n\nb = 2\n"},
		{"texts stay", "a = \"x   y\"\nb = <<EOT\n  x   y\nEOT\n", "a = \"x   y\"\nb = <<EOT\n  x   y\nEOT\n"},
	} {
		got, _, problems := formatText(row.before)
		if problems.HasErrors() {
			t.Errorf("%s: %v", row.name, problems)
		}
		if diff := cmp.Diff(row.after, string(got.After)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", row.name, diff)
		}
		if got.Changed() != (row.before != row.after) {
			t.Errorf("%s: changed: %t", row.name, got.Changed())
		}
	}
}

func TestFormatTellsWhatDoesNotParse(t *testing.T) {
	for name, text := range map[string]string{
		"syntax": "stack \"home\" {\n", "nesting": "a = " + strings.Repeat("[", 1000), "no text": "a = \"\xff\"\n",
	} {
		got, _, problems := formatText(text)
		if !problems.HasErrors() || got.After != nil {
			t.Errorf("%s: %q, %v", name, got.After, problems)
		}
	}
}

func TestFormattedTextsShowNoSecret(t *testing.T) {
	const key = "abcdefghijklmnopqrstuvwxyz0123456789"
	got, _, _ := formatText("model \"m\" {\n backend_key=\"" + key + "\"\n}\n")
	before, after := got.Masked()
	if strings.Contains(before+after, key) || !strings.Contains(after, "  backend_key = ") || !strings.Contains(before, " backend_key=") {
		t.Errorf("before %q, after %q", before, after)
	}
}

// What the documents show is what relayctl fmt makes of it.
func TestExamplesAreInCanonicalForm(t *testing.T) {
	root := filepath.Join("..", "..")
	examples, err := filepath.Glob(filepath.Join(root, "examples", "*.hcl"))
	if err != nil || len(examples) == 0 {
		t.Fatalf("no examples (%v)", err)
	}
	snippets := 0
	for _, example := range examples {
		isCanonical(t, example, readAll(t, example))
	}
	pages, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil || len(pages) == 0 {
		t.Fatalf("no pages (%v)", err)
	}
	for _, page := range append(pages, filepath.Join(root, "README.md")) {
		for i, snippet := range strings.Split(readAll(t, page), "```hcl\n")[1:] {
			text, _, _ := strings.Cut(snippet, "```")
			isCanonical(t, page+", snippet "+string(rune('1'+i)), text)
			snippets++
		}
	}
	if snippets < 4 {
		t.Errorf("only %d snippets", snippets)
	}
}

func readAll(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func isCanonical(t *testing.T, name, text string) {
	t.Helper()
	got, _, problems := formatText(text)
	if problems.HasErrors() {
		t.Errorf("%s: %v", name, problems)
		return
	}
	if diff := cmp.Diff(string(got.After), text); diff != "" {
		t.Errorf("%s (-canonical +is):\n%s", name, diff)
	}
}

// Formatting twice is formatting once, and changes nothing but blanks.
func FuzzFormat(f *testing.F) {
	for _, seed := range []string{
		"a=1", "a = <<-EOT\n  x ${ b }\n  EOT\n", "b \"c\" {\nd=[\n1,\n2 # x\n]\n}", "a={x=1\nyy:2}\r\n", "a = \"${ b ? \"c\":d }\"", "/* x */ a /* y */ = 1", "a=b.*.c[ 0 ]",
		"a = [for x in y: x if z]", "#\n\n\n", "a = !b\nc = -d\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		once, _, problems := formatText(text)
		if problems.HasErrors() {
			return
		}
		if blankless(text) != blankless(string(once.After)) {
			t.Errorf("%q became %q", text, once.After)
		}
		if _, problems := hclsyntax.ParseConfig(once.After, "", hcl.InitialPos); problems.HasErrors() {
			t.Errorf("%q became %q, which does not parse: %v", text, once.After, problems)
		}
		again, _, problems := formatText(string(once.After))
		if problems.HasErrors() || !bytes.Equal(again.After, once.After) {
			t.Errorf("%q became %q, then %q (%v)", text, once.After, again.After, problems)
		}
	})
}

// blankless is a text without its blanks, line ends and byte order mark.
func blankless(text string) string {
	return strings.Map(func(r rune) rune {
		if strings.ContainsRune(" \t\r\n", r) {
			return -1
		}
		return r
	}, strings.TrimPrefix(text, "\ufeff"))
}
