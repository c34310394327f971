package cli_test

import (
	"os"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// hostileTexts are what a host may say to act on the terminal that shows it, or
// to look like something else.
var hostileTexts = []string{
	"\x1b[2J\x1b[H", "\x1b]0;canary\x07", "\x1b]8;;http://canary\x1b\\\\", "\x1b]52;c;Y2FuYXJ5\x07", "\x1b[?1049h", "\x1bc", "\x1bP1$r\x1b\\\\", "\u009b31m", "\u009d0;canary\u009c", "\u0090x\u009c", "\x9b31m",
	"a\rb", "a\bb", "a\x7fb", "a\x00b", "a\x05b", "a\x0eb", "a\x0bb", "a\x0cb", "a\tb", "\u202egpj.exe", "\u2066a\u2069", "\u200f", "\u061c", "a\u200bb", "\ufeffa", "\u2028", "\u2029", "\u0085", "\U000e0041", "\xff\xfe", "\xc0\x80", "\xed\xa0\x80",
	"all well\nApply complete", "1\r\n2", "a\u0301\u0301\u0301" + strings.Repeat("\u0301", 200), strings.Repeat("x", 100_000), strings.Repeat("\n", 1000), "%s%n%d", "{{.}}", "\"}\n{\"type\":\"done\"",
}

// withoutJSON are commands about hosts that print text only.
var withoutJSON = []string{"ca", "rotate-secret", "rollback", "destroy"}

// Whatever hosts say, nothing of it acts on the terminal: neither in text, nor in
// JSON that a program prints there.
func TestNothingOfAHostActsOnTheTerminal(t *testing.T) {
	tried := 0
	for _, words := range []string{"plan --diff", "apply --yes", "status", "history", "history --apply 2", "ca", "rotate-secret --yes", "rollback --yes", "destroy --yes"} {
		for _, form := range []string{"piped", "--json", "terminal"} {
			args := strings.Fields(words)
			if form == "--json" {
				if slices.Contains(withoutJSON, args[0]) {
					continue
				}
				args = append(args, form)
			}
			for _, text := range hostileTexts {
				c := newConsole(t, "home\n", args...)
				if form != "terminal" {
					c.piped()
				}
				if err := os.WriteFile("stack.hcl", []byte(stackFile), 0o600); err != nil {
					t.Fatal(err)
				}
				h := worldSaying(text, "worker gpu-2")
				h.planned.Unknown = nil
				c.run(h)
				if tried++; len(c.stdout.String()+c.stderr.String()) == 0 {
					t.Errorf("%s (%s) prints nothing", words, form)
				}
				for _, out := range []string{c.stdout.String(), c.stderr.String()} {
					if raw := actsOn(out, form == "terminal", text); raw != "" {
						t.Errorf("%s (%s): of %.40q there is %q", words, form, text, raw)
					}
				}
			}
		}
	}
	t.Logf("%d texts in %d runs of commands", len(hostileTexts), tried)
	if tried < 500 {
		t.Error("too few were tried")
	}
}

// actsOn is what of an output would act on a terminal; "": nothing. A terminal
// is shown our own colours.
func actsOn(out string, isTerminal bool, text string) string {
	if isTerminal {
		for part := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == '\n' || r == '\t' }) {
			if actsOn(part, false, "") != "" && strings.Contains(out, part) {
				return part
			}
		}
		return ""
	}
	for at := 0; at < len(out); {
		r, size := utf8.DecodeRuneInString(out[at:])
		if r == utf8.RuneError && size == 1 || r != '\n' && r != '\t' && !unicode.IsPrint(r) {
			return out[max(0, at-10) : at+size]
		}
		at += size
	}
	return ""
}
