package cli

import "github.com/spf13/cobra"

func (a *app) validateCommand() *cobra.Command {
	var o stackOptions
	command := &cobra.Command{
		Use:   "validate [stack.hcl]",
		Short: "Check a stack file, offline, without the values of its variables",
	}
	takeStack(command, &o)
	a.takeJSON(command, typeValidate)
	command.RunE = func(*cobra.Command, []string) error { return a.validate(o) }
	return command
}

func (a *app) validate(o stackOptions) error {
	s, err := a.load(o, noValues)
	if err != nil {
		return err
	}
	a.view.valid(o.file, s)
	return nil
}
