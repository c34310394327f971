package stack_test

import (
	"strings"
	"testing"

	"github.com/relayctl/relayctl/internal/stack"
)

func TestLineIsQuotedWithItsBlock(t *testing.T) {
	const src = "stack \"home\" {}\nproxy \"edge\" {\n  adress = \"x\"\n}\n"
	_, sources, _ := stack.Load("stack.hcl", stack.Options{ReadFile: func(string) ([]byte, error) { return []byte(src), nil }})
	for line, want := range map[int]string{
		0:  "",
		1:  "  stack.hcl line 1:\n   1: stack \"home\" {}\n",
		3:  "  stack.hcl line 3, in proxy \"edge\":\n   3:   adress = \"x\"\n",
		99: "",
	} {
		if got := sources.Snippet(sources.Line("stack.hcl", line)); strings.TrimRight(got, " ") != want {
			t.Errorf("line %d: %q, want %q", line, got, want)
		}
	}
	if got := sources.Snippet(sources.Line("other.hcl", 1)); got != "" {
		t.Errorf("line of another file: %q", got)
	}
}
