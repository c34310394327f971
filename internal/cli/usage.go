package cli

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/relayctl/relayctl/internal/stack"
)

// flagError words a mistake in a flag for people: the nearest flag instead of
// an unknown one, and what a value has to be.
func flagError(command *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	var invalid *pflag.InvalidValueError
	switch {
	case errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() == "":
		var names []string
		command.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
		if near, ok := stack.Nearest(unknown.GetSpecifiedName(), names); ok {
			return fmt.Errorf("%w. Did you mean --%s?", err, near)
		}
	case errors.As(err, &invalid):
		takes := map[string]string{"int": "a whole number", "duration": "a duration such as 90m", "bool": "true or false", "parallelism": "a whole number from 1 to " + strconv.Itoa(maxParallelism)}
		flag := invalid.GetFlag()
		if form, ok := takes[flag.Value.Type()]; ok {
			return fmt.Errorf("--%s takes %s, not %q", flag.Name, form, invalid.GetValue())
		}
	}
	return err
}

// meant lists the commands that a mistyped one may have been.
func (a *app) meant(command *cobra.Command) []string {
	if command.HasParent() || len(a.Args) == 0 {
		return nil
	}
	name := strings.TrimLeft(a.Args[0], "-")
	if len(name) < 2 {
		return nil
	}
	return command.SuggestionsFor(name)
}

// usageError prints what is wrong with the command line.
func (v *view) usageError(err error, command string, meant []string) {
	text, see := err.Error(), "See: "+command+" --help"
	if len(meant) > 0 {
		text += ". Did you mean " + strings.Join(meant, " or ") + "?"
	}
	v.json.fail(failure{Code: codeUsage, Message: text, Hint: see})
	v.heading(text)
	v.errs.printf("\n%s\n", see)
}

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
