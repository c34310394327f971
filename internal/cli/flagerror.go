package cli

import (
	"errors"
	"fmt"

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
		takes := map[string]string{"int": "a whole number", "duration": "a duration such as 90m", "bool": "true or false"}
		flag := invalid.GetFlag()
		if form, ok := takes[flag.Value.Type()]; ok {
			return fmt.Errorf("--%s takes %s, not %q", flag.Name, form, invalid.GetValue())
		}
	}
	return err
}
