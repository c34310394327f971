package stack_test

import (
	"os"
	"strings"
	"testing"
	"unicode"

	"github.com/relayctl/relayctl/internal/stack"
)

// Load answers every text with a stack or with errors, and never shows what
// came from the environment or a file. What a printed message holds can't
// drive a terminal.
func FuzzLoad(f *testing.F) {
	for _, pattern := range []string{"testdata/valid/*.hcl", "testdata/invalid/*.hcl"} {
		for _, file := range fixtures(f, pattern) {
			text, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(string(text))
		}
	}
	const key = "zx81-sinclair-spectrum-48k-0123456789"
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, key) {
			return
		}
		read := func(path string) ([]byte, error) {
			if path == "stack.hcl" {
				return []byte(text), nil
			}
			return []byte(key), nil
		}
		env := func(name string) (string, bool) { return key, !strings.HasPrefix(name, "RELAYCTL_VAR_") }
		for _, need := range []bool{false, true} {
			s, src, diags := stack.Load("stack.hcl", stack.Options{ReadFile: read, Env: env, NeedValues: need})
			if (s == nil) != diags.HasErrors() {
				t.Fatalf("stack %v with errors %v", s, diags)
			}
			all := printed(t, src, diags)
			if strings.Contains(all, key) {
				t.Fatalf("a value is shown:\n%s", all)
			}
			odd := func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) }
			if i := strings.IndexFunc(all, odd); i >= 0 {
				t.Fatalf("odd character at byte %d of:\n%q", i, all)
			}
			if s != nil {
				checkStack(t, s)
			}
		}
	})
}

// checkStack holds what everybody relies on.
func checkStack(t *testing.T, s *stack.Stack) {
	t.Helper()
	for _, h := range s.Hosts() {
		if strings.ContainsAny(h.SSH.User, " \t\n\"'`;&|<>()*?#!{}[]") || strings.ContainsFunc(h.Name+h.Address, func(r rune) bool {
			return r <= ' ' || r > '~' || strings.ContainsRune("\"'`$;&|<>()\\*?#!{}[]", r)
		}) {
			t.Fatalf("odd host %+v", h)
		}
		hops, _ := h.SSH.Way()
		for _, hop := range hops {
			if odd := strings.ContainsFunc(hop.Address, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune("\"'`$;&|<>()\\*?#!{}[]@,", r) }); odd ||
				strings.HasPrefix(hop.String(), "-") || strings.ContainsAny(hop.User, " \t\n\"'`;&|<>()*?#!{}[]:,%") || hop.Port < 0 || hop.Port > 65535 {
				t.Fatalf("odd hop %+v", hop)
			}
		}
		if again, err := s.SSHFor("10.0.0.99", 0, h.SSH.JumpText()); err != nil || h.SSH.JumpText() != "" && again.JumpText() != h.SSH.JumpText() {
			t.Fatalf("jump %q is read again as %q, %v", h.SSH.JumpText(), again.JumpText(), err)
		}
	}
	for _, w := range s.Workers {
		slugs := map[string]bool{}
		for _, m := range w.Models {
			if slugs[m.Slug()] || strings.ContainsAny(m.Slug(), "/ ") || strings.HasPrefix(m.Slug(), ".") {
				t.Fatalf("odd slug %q", m.Slug())
			}
			slugs[m.Slug()] = true
		}
	}
}
