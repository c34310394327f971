package cli_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/relayctl/relayctl/internal/cli"
)

// Every command that people type and every flag of it is explained.
func TestCommandsAreDocumented(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(folder, "..", "..", "docs", "commands.md"))
	if err != nil {
		t.Fatal(err)
	}
	commands := cli.Root().Commands()
	if len(commands) < 6 {
		t.Fatalf("only %d commands", len(commands))
	}
	for _, command := range commands {
		if !command.Hidden {
			explained(t, string(page), command)
		}
	}
}

func explained(t *testing.T, page string, command *cobra.Command) {
	if !strings.Contains(page, "\n## "+command.CommandPath()+"\n") {
		t.Errorf("%s has no section", command.CommandPath())
	}
	for word := range strings.FieldsSeq(command.LocalFlags().FlagUsages()) {
		if strings.HasPrefix(word, "--") && word != "--help" && !strings.Contains(page, "`"+word) {
			t.Errorf("%s %s is not explained", command.CommandPath(), word)
		}
	}
}

// The README's first stack is one that relayctl takes.
// The stack that the README shows is the first example, which is valid.
func TestStackOfTheReadmeIsTheExample(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(folder, "..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	example, err := os.ReadFile(filepath.Join(folder, "..", "..", "examples", "stack.hcl"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(page), "```hcl\n"+string(example)+"```\n") {
		t.Error("the README does not show examples/stack.hcl as it is")
	}
	c := newConsole(t, "", "validate")
	if err := os.WriteFile("stack.hcl", example, 0o644); err != nil {
		t.Fatal(err)
	}
	c.run(&hosts{}).wantCode(t, 0)
	if want := "stack.hcl is valid: stack home with proxy edge, 1 worker and 1 model.\n"; c.stdout.String() != want {
		t.Errorf("validate prints %q, want %q", c.stdout.String(), want)
	}
}

func TestHelpFits80Columns(t *testing.T) {
	helps := [][]string{{"--help"}}
	for _, command := range cli.Root().Commands() {
		helps = append(helps, []string{command.Name(), "--help"})
	}
	if len(helps) < 7 {
		t.Fatalf("only %d commands", len(helps)-1)
	}
	for _, args := range helps {
		c := newConsole(t, "", args...).run(&hosts{})
		c.wantCode(t, 0)
		for line := range strings.Lines(c.stdout.String()) {
			if line = strings.TrimRight(line, "\n"); utf8.RuneCountInString(line) > 80 {
				t.Errorf("relayctl %s: %q is wider", strings.Join(args, " "), line)
			}
		}
	}
}
