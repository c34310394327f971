package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// setHelp makes help fit the terminal, and a mistake in asking for it an error
// like any other.
func (a *app) setHelp(root *cobra.Command) {
	root.SetUsageTemplate(strings.ReplaceAll(root.UsageTemplate(), ".FlagUsages ", fmt.Sprintf(".FlagUsagesWrapped %d ", a.view.width)))
	root.SetHelpCommand(&cobra.Command{
		Use:   "help [command]",
		Short: "Help about any command",
		RunE: func(_ *cobra.Command, args []string) error {
			command, _, err := root.Find(args)
			if err != nil {
				return err
			}
			return command.Help()
		},
	})
	root.InitDefaultCompletionCmd(a.Args...)
	for _, command := range root.Commands() {
		if command.Name() == "completion" {
			command.Args = cobra.NoArgs
			command.RunE = func(command *cobra.Command, _ []string) error { return command.Help() }
		}
	}
}
