package cli

import "github.com/spf13/cobra"

func (a *app) validateCommand() *cobra.Command {
	var o stackOptions
	command := &cobra.Command{
		Use:   "validate [stack.hcl]",
		Short: "Check a stack file, offline, without the values of its variables",
		RunE:  func(*cobra.Command, []string) error { return a.validate(o) },
	}
	takeStack(command, &o)
	a.takeJSON(command, typeValidate)
	return command
}

func (a *app) validate(o stackOptions) error {
	s, err := a.load(o, noValues)
	if err != nil {
		return err
	}
	a.view.json.stack = s.Name
	a.view.out.printf("%s is valid: stack %s with proxy %s, %s and %s.\n", a.view.clean(o.file), s.Name, s.Proxy.Name,
		plural(len(s.Workers), "worker", "workers"), plural(len(s.ModelNames()), "model", "models"))
	return nil
}
