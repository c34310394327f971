package cli

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/spf13/cobra"

	"github.com/relayctl/relayctl/internal/stack"
)

var (
	errNoSSH     = errors.New("there is no ssh program on this machine's PATH")
	errLocalOpts = errors.New("this machine is reached without ssh, and takes no options of it")
)

func (a *app) sshCommand() *cobra.Command {
	o := stackOptions{flag: "--stack "}
	command := &cobra.Command{
		Use:   "ssh [flags] HOST [command...]",
		Short: "Open a shell on a host of the stack, or run a command there",
		Long: `Open a shell on a host of the stack, or run a command there: by this machine's
own ssh, on the way that the stack file has to that host. What stands behind the
host is ssh's: its options, then the command. Its exit code is ssh's, too.`,
		Example: `  relayctl ssh gpu-1
  relayctl ssh gpu-1 nvidia-smi
  relayctl ssh gpu-1 -t journalctl -fu relay-worker
  relayctl ssh gpu-1 -N -L 9000:localhost:9000`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("ssh takes the name of a host, as in: relayctl ssh gpu-1")
			}
			return nil
		},
		ValidArgsFunction: func(command *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveDefault
			}
			return a.hostNames(o), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(command *cobra.Command, args []string) error {
			o.leftOut = !command.Flags().Changed("stack")
			return a.view.failed(a.ssh(o, args[0], args[1:]))
		},
	}
	command.DisableFlagsInUseLine = true
	command.Flags().SetInterspersed(false)
	command.Flags().StringVar(&o.file, "stack", defaultFile, "the stack `FILE`")
	takeVariables(command, &o)
	return command
}

// ssh has ssh take relayctl's place, or a shell for this machine itself.
func (a *app) ssh(o stackOptions, name string, args []string) error {
	s, err := a.load(o, noSecrets)
	if err != nil {
		return err
	}
	h, err := namedHost(s, name)
	if err != nil {
		return err
	}
	if h.IsLocal() {
		return a.shell(args)
	}
	path, err := exec.LookPath("ssh")
	if err != nil {
		return errNoSSH
	}
	relayctl, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	words := append([]string{"ssh"}, sshLine{relayctl}.to(h)...)
	return a.replaced(path, append(words, args...))
}

// shell runs a command on this machine as ssh would on another: words are
// joined and go to the user's shell.
func (a *app) shell(args []string) error {
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	path := a.env("SHELL")
	if path == "" {
		path = "/bin/sh"
	}
	words := []string{path}
	if len(args) > 0 {
		if strings.HasPrefix(args[0], "-") {
			return errLocalOpts
		}
		words = append(words, "-c", strings.Join(args, " "))
	}
	return a.replaced(path, words)
}

// replaced has another program take relayctl's place.
func (a *app) replaced(path string, words []string) error {
	return fmt.Errorf("run %s: %w", path, a.Exec(path, words, os.Environ()))
}

// namedHost finds a host of a stack by its name.
func namedHost(s *stack.Stack, name string) (*stack.Host, error) {
	var all []string
	for _, h := range s.Hosts() {
		if h.Name == name {
			return h, nil
		}
		all = append(all, h.Name)
	}
	return nil, fmt.Errorf("stack %s has no host %q. Its hosts: %s", s.Name, name, strings.Join(all, ", "))
}

// hostNames lists the hosts of a stack, for a shell that completes one.
func (a *app) hostNames(o stackOptions) []cobra.Completion {
	s, _, _ := stack.Load(o.file, stack.Options{Vars: o.vars, VarFiles: o.varFiles, Env: a.Env, Home: a.Home})
	if s == nil {
		return nil
	}
	return names(s.Hosts(), func(h *stack.Host) cobra.Completion {
		return cobra.CompletionWithDesc(h.Name, string(h.Role)+" "+h.Address)
	})
}
