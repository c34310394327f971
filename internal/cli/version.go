package cli

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/relayctl/relayctl/internal/payload"
)

func (a *app) versionCommand() *cobra.Command {
	command := &cobra.Command{
		Use:   "version",
		Short: "Show the version, and the programs for hosts that it carries",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return errors.New("version takes no arguments")
			}
			return nil
		},
	}
	command.RunE = func(*cobra.Command, []string) error { return a.version() }
	return command
}

// version shows what this build is. That it carries nothing is no error of
// this command.
func (a *app) version() error {
	carried, err := payload.Load()
	switch {
	case errors.Is(err, payload.ErrNone):
		a.view.version(a.Version, nil)
	case err != nil:
		return a.view.failed(err)
	default:
		a.view.version(a.Version, carried.All())
	}
	return nil
}
