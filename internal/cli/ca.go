package cli

import (
	"context"
	"strings"

	"github.com/spf13/cobra"
)

func (a *app) caCommand() *cobra.Command {
	var o hostsOptions
	command := &cobra.Command{
		Use:   "ca [stack.hcl]",
		Short: "Print the root certificate of the stack's own authority",
		Long: `Print the root certificate that clients of a stack with tls "internal" have to
trust, as PEM. It is kept on the proxy host.`,
		RunE: func(command *cobra.Command, _ []string) error { return a.ca(command.Context(), o) },
	}
	takeHosts(command, &o)
	return command
}

func (a *app) ca(ctx context.Context, o hostsOptions) error {
	return a.look(ctx, o, noSecrets, func(ctx context.Context, hosts session) error {
		root, err := hosts.RootCA(ctx)
		if err == nil {
			a.view.out.printf("%s\n", strings.TrimRight(root, "\n"))
		}
		return err
	})
}
