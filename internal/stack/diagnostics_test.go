package stack_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/hcl/v2"

	"github.com/relayctl/relayctl/internal/stack"
)

func TestWriteDiagnostics(t *testing.T) {
	const text = "stack \"home\" {}\n\nproxy \"edge\" {\n\tadress = \"203.0.113.10\" \x1b[31m # red\r\n  domain  = \"llm.example.com\"\n  tls \"internal\" {}\n}\n"
	_, src, diags := stack.Load("stack.hcl", stack.Options{ReadFile: files{"stack.hcl": strings.ReplaceAll(text, " \x1b[31m #", " # \x1b[31m")}.read})
	for name, c := range map[string]struct {
		width int
		color bool
		want  string
	}{
		"plain": {80, false, `Error: Unsupported argument

  on stack.hcl line 4, in proxy "edge":
   4:   adress = "203.0.113.10" # �[31m red

An argument named "adress" is not expected here. Did you mean "address"?
`},
		"narrow": {30, false, `Error: Unsupported argument

  on stack.hcl line 4, in proxy "edge":
   4:   adress = "203.0.113.1…

An argument named "adress" is
not expected here. Did you
mean "address"?
`},
		"colour": {0, true, "\x1b[1;31mError:\x1b[0m Unsupported argument\n\n" +
			"  on stack.hcl line 4, in proxy \"edge\":\n" +
			"   4:   \x1b[4madress\x1b[0m = \"203.0.113.10\" # �[31m red\n\n" +
			"An argument named \"adress\" is not expected here. Did you mean \"address\"?\n"},
	} {
		var b bytes.Buffer
		if err := src.WriteDiagnostics(&b, diags, c.width, c.color); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, b.String()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestWriteDiagnosticsWithoutAPlace(t *testing.T) {
	_, src, diags := stack.Load("nowhere.hcl", stack.Options{ReadFile: files{}.read})
	const want = `Error: Can't read file

nowhere.hcl can't be read: file does not exist.
`
	if diff := cmp.Diff(want, printed(t, src, diags)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestWriteDiagnosticsOfOthers(t *testing.T) {
	s := load(t, "testdata/valid/full.hcl")
	elsewhere := hcl.Range{Filename: "other.hcl", Start: hcl.Pos{Line: 3}}
	late := s.Proxy.Range
	late.Start.Byte, late.End.Byte = 1<<20, 1<<20+5
	got := printed(t, s.Sources, hcl.Diagnostics{
		{Severity: hcl.DiagError, Summary: "Old", Subject: &elsewhere},
		{Severity: hcl.DiagError, Summary: "Late", Subject: &late},
	})
	const want = "Error: Old\n\n  on other.hcl line 3:\n\nError: Late\n\n  on testdata/valid/full.hcl line 35:\n  35:\n"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestWriteDiagnosticsToABrokenPipe(t *testing.T) {
	_, src, diags := stack.Load("nowhere.hcl", stack.Options{ReadFile: files{}.read})
	broken := errors.New("broken pipe")
	if err := src.WriteDiagnostics(failing{broken}, diags, 80, false); !errors.Is(err, broken) {
		t.Errorf("error = %v", err)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

func TestSnippet(t *testing.T) {
	s := load(t, "testdata/valid/full.hcl")
	model := s.Workers[0].Models[0]
	for name, c := range map[string]struct {
		at   hcl.Range
		want string
	}{
		"block": {model.Range, `  testdata/valid/full.hcl line 61, in worker "gpu-1":
  61:   model "llama3-8b" {
`},
		"argument": {model.At("backend_key"), `  testdata/valid/full.hcl line 63, in worker "gpu-1", model "llama3-8b":
  63:     backend_key = trimspace(file("../ollama.key"))
`},
		"outermost": {s.Proxy.Range, `  testdata/valid/full.hcl line 35:
  35: proxy "edge" {
`},
		"nowhere": {hcl.Range{}, ""},
	} {
		if diff := cmp.Diff(c.want, s.Sources.Snippet(c.at)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	var none *stack.Sources
	if got := none.Snippet(model.Range); got != "" {
		t.Errorf("snippet of nothing: %s", got)
	}
}

// Files that would exhaust the parser's stack or memory are refused.
func TestHostileFiles(t *testing.T) {
	for name, text := range map[string]string{
		"brackets":   "locals {\n a = " + strings.Repeat("[", 1<<17),
		"prefixes":   "locals {\n a = " + strings.Repeat("!", 1<<17) + "true\n}\n",
		"choices":    "locals {\n a = " + strings.Repeat("true?1:", 1<<15) + "1\n}\n",
		"sum":        "locals {\n a = " + strings.Repeat("1+", 1<<16) + "1\n}\n",
		"digits":     "locals {\n a = " + strings.Repeat("9", 1<<17) + "\n}\n",
		"templates":  "locals {\n a = " + strings.Repeat(`"${`, 1<<16),
		"blocks":     strings.Repeat("a {\n", 1<<15),
		"large":      strings.Repeat("#", 256<<10+1),
		"exponent":   "ssh { user = 1e99999999 }",
		"no text":    "\x00\xff\xfe",
		"wide field": `locals { a = format("%99999999d", 1) }`,
	} {
		s, src, diags := stack.Load("stack.hcl", stack.Options{ReadFile: files{"stack.hcl": text}.read})
		if s != nil || !diags.HasErrors() {
			t.Errorf("%s: taken", name)
		}
		if all := printed(t, src, diags); !utf8.ValidString(all) || len(all) > 1<<14 {
			t.Errorf("%s: %d bytes of messages", name, len(all))
		}
	}
}
