package cli_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/relayctl/relayctl/internal/cli"
)

// Every command and every flag is explained.
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
		explained(t, string(page), command)
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
