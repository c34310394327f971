package desired_test

import (
	"bytes"
	"io/fs"
	"path"
	"strings"
	"testing"
	"text/template"
	"text/template/parse"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/relayctl/relayctl/internal/desired"
	"github.com/relayctl/relayctl/internal/plan"
	"github.com/relayctl/relayctl/templates"
)

// evil are values that mean something to a shell, to Caddy or to systemd.
var evil = []string{
	"a;reboot", "$(id)", "`id`", "a\nimport /etc/passwd", "a\r\nUser=root", "}", "{", "{$HOME}", "{env.HOME}",
	`"`, `\`, `a\`, `"; respond "x`, "a b", "a,b", "%h", "%%", "#", "'", "<<EOF", "\x00", "\xff", "\u2028", "\u202e", "é", "",
}

func seed(f *testing.F) {
	for _, value := range evil {
		f.Add(value)
	}
}

func FuzzComment(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, value string) {
		got := desired.Comment(value)
		if strings.ContainsAny(got, "\n\r\\") || !utf8.ValidString(got) || strings.ContainsFunc(got, unicode.IsControl) {
			t.Errorf("comment of %q is %q", value, got)
		}
	})
}

// A unit file's line holds the value and nothing else, once systemd has put
// in its specifiers.
func FuzzSystemdText(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, value string) {
		got, err := desired.SystemdText(value)
		if err != nil {
			return
		}
		if strings.ContainsAny(got, "\n\r\\") || strings.Contains(strings.ReplaceAll(got, "%%", ""), "%") {
			t.Errorf("%q became %q", value, got)
		}
		if back := strings.ReplaceAll(got, "%%", "%"); back != value {
			t.Errorf("%q became %q, which systemd reads as %q", value, got, back)
		}
	})
}

// Caddy reads back one word, the value itself.
func FuzzCaddyQuote(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, value string) {
		got, err := desired.CaddyQuote(value)
		if err != nil {
			return
		}
		words := caddyWords(got + " next")
		if diff := cmp.Diff([]string{value, "next"}, words); diff != "" {
			t.Errorf("%q became %q, which Caddy reads as %q", value, got, words)
		}
		if strings.ContainsAny(got, "{}") {
			t.Errorf("%q became %q: Caddy puts in what braces name", value, got)
		}
	})
}

// caddyWords splits a line as a Caddyfile's lexer does: white space ends a
// word; double quotes and backticks hold one together, and only in the former,
// and only of a double quote, does a backslash take the meaning.
func caddyWords(line string) []string {
	var words []string
	var word []rune
	var quote rune
	started, escaped := false, false
	for _, r := range line {
		switch {
		case quote == '"' && escaped:
			if r != '"' {
				word = append(word, '\\')
			}
			word, escaped = append(word, r), false
		case quote == '"' && r == '\\':
			escaped = true
		case quote != 0 && r == quote:
			words, word, quote, started = append(words, string(word)), nil, 0, false
		case quote == 0 && !started && (r == '"' || r == '`'):
			quote = r
		case quote == 0 && unicode.IsSpace(r):
			if started {
				words, word, started = append(words, string(word)), nil, false
			}
		case quote == 0 && !started && r == '#':
			return words
		default:
			word, started = append(word, r), true
		}
	}
	if started || quote != 0 {
		words = append(words, string(word))
	}
	return words
}

// Whatever a name of the stack holds, it is refused, or every file keeps its
// lines.
func TestNoNameBreaksOut(t *testing.T) {
	archive := readCase(t, "testdata/prepared.txtar")
	plain := lines(t, input(t, archive))
	names := map[string]func(desired.Input, string){
		"stack":     func(in desired.Input, value string) { in.Stack.Name = value },
		"domain":    func(in desired.Input, value string) { in.Stack.Proxy.Domain = value },
		"worker":    func(in desired.Input, value string) { in.Stack.Workers[0].Name = value },
		"model":     func(in desired.Input, value string) { in.Stack.Workers[0].Models[0].Name = value },
		"upstream":  func(in desired.Input, value string) { in.Stack.Workers[1].Models[1].Upstream = value },
		"key":       func(in desired.Input, value string) { in.Stack.APIKeys[0].Name = value },
		"key model": func(in desired.Input, value string) { in.Stack.APIKeys[1].Models[0] = value },
	}
	taken := 0
	for name, set := range names {
		for _, value := range evil {
			in := input(t, archive)
			set(in, value)
			hosts, err := desired.Build(in)
			if err != nil {
				continue
			}
			taken++
			for file, count := range linesOf(hosts) {
				if want, known := plain[file]; known && count != want && !strings.HasSuffix(file, ".json") {
					t.Errorf("%s %q: %s has %d lines instead of %d", name, value, file, count, want)
				}
			}
		}
	}
	if taken == 0 {
		t.Error("every value was refused: nothing was tried")
	}
}

func lines(t *testing.T, in desired.Input) map[string]int { return linesOf(build(t, in)) }

func linesOf(hosts []desired.Host) map[string]int {
	count := map[string]int{}
	for _, h := range hosts {
		for _, r := range h.Want {
			if content := r.Want[plan.AttrContent]; r.Kind == plan.KindFile && content.IsKnown() {
				count[h.Name+r.Name] = bytes.Count(h.Blobs[content.Text].Reveal(), []byte("\n"))
			}
		}
	}
	return count
}

// A value that goes into a file goes through an escaper, but for paths of our
// own; and every template is one that the cases fill in.
func TestTemplatesEscapeAndAreUsed(t *testing.T) {
	filledIn := map[string]bool{}
	for _, golden := range cases(t) {
		for _, file := range readCase(t, golden).Files {
			filledIn[path.Base(file.Name)+".tmpl"] = strings.HasPrefix(file.Name, "want/")
		}
	}
	found := 0
	err := fs.WalkDir(templates.FS, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		found++
		if !filledIn[path.Base(name)] {
			t.Errorf("no case fills in %s", name)
		}
		source, err := fs.ReadFile(templates.FS, name)
		checkEscaped(t, name, string(source))
		return err
	})
	if err != nil || found == 0 {
		t.Fatalf("%d templates: %v", found, err)
	}
}

func checkEscaped(t *testing.T, name, source string) {
	t.Helper()
	nothing := func(string) string { return "" }
	escapers := template.FuncMap{"comment": nothing, "systemdText": nothing, "caddyQuote": nothing, "caddyText": nothing}
	parsed, err := template.New(name).Funcs(escapers).Parse(source)
	if err != nil {
		t.Fatal(err)
	}
	ours := []string{"{{.Program}}", "{{.Config}}"}
	var walk func(list *parse.ListNode)
	walk = func(list *parse.ListNode) {
		if list == nil {
			return
		}
		for _, node := range list.Nodes {
			switch node := node.(type) {
			case *parse.ActionNode:
				first, ok := node.Pipe.Cmds[0].Args[0].(*parse.IdentifierNode)
				escaped := ok && escapers[first.Ident] != nil
				if text := node.String(); !escaped && text != ours[0] && text != ours[1] {
					t.Errorf("%s puts in %s as it is", name, text)
				}
			case *parse.IfNode:
				walk(node.List)
				walk(node.ElseList)
			case *parse.TextNode, *parse.CommentNode:
			default:
				t.Errorf("%s: logic belongs into Go: %s", name, node)
			}
		}
	}
	walk(parsed.Root)
}
