package cli

import "github.com/spf13/cobra"

// knownHostCommand is the command that ssh calls to know a host by its pinned
// key, and anyKeyFlag says that the pin does not tell which of its keys that is.
const knownHostCommand, anyKeyFlag = "known-host", "any-key"

// knownHostCommand tells ssh that a host has the key that it shows, where that
// is the pinned one. ssh calls it as its KnownHostsCommand.
func (a *app) knownHostCommand() *cobra.Command {
	var anyKey bool
	command := &cobra.Command{
		Use:    knownHostCommand + " PIN PURPOSE HOST FINGERPRINT TYPE KEY",
		Short:  "Tell ssh whether a host shows its pinned key (for ssh itself)",
		Hidden: true,
		Args:   cobra.ExactArgs(6),
		Run: func(_ *cobra.Command, args []string) {
			a.knownHost(args[0], args[1], args[2], args[3], args[4], args[5], anyKey)
		},
	}
	command.Flags().BoolVar(&anyKey, anyKeyFlag, false, "the pin does not say which of the host's keys it is")
	return command
}

// knownHost prints a line in known_hosts form for a key with the pinned
// fingerprint. Before a key is shown, ssh asks for what to look for.
func (a *app) knownHost(pin, purpose, host, fingerprint, kind, key string, anyKey bool) {
	switch {
	case fingerprint == pin:
		a.view.out.printf("%s %s %s\n", host, kind, key)
	case purpose == "HOSTNAME":
		a.view.errs.printf("relayctl: host_key pins %s for %s, which shows %s %s.\n", pin, host, kind, fingerprint)
		if anyKey {
			a.view.errs.printf("Where that is another key of the same host, host_key has to say which one is\npinned, as in %q.\n", "ssh-rsa "+pin)
		}
	}
}
