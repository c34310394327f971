// Package cli is relayctl's command line. A command's file holds its flags, its
// work, and how that is told: in text, and in JSON for machines.
package cli

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/relayctl/relayctl/internal/engine"
)

// The exit codes: whatever goes wrong is one code, so that nobody has to tell
// kinds of errors apart by number.
const (
	exitOK      = 0
	exitError   = 1
	exitChanges = 2 // plan --detailed-exitcode: there are changes
)

var (
	// errTold means that what went wrong is on the screen already.
	errTold = errors.New("told already")
	// errChanges is no error: it asks for exitChanges.
	errChanges = errors.New("there are changes")
)

// app is the command line on one system.
type app struct {
	System
	view     *view
	connect  func(context.Context, engine.Config) (session, error)
	progress *progress // of the hosts that a command meets; nil before it does
	asker    *asker
}

func newApp(s System) *app { return &app{System: s, view: newView(s), asker: newAsker(s)} }

// Run runs the command line and returns its exit code.
func Run(system System) int {
	a := newApp(system)
	a.connect = func(ctx context.Context, config engine.Config) (session, error) { return engine.Connect(ctx, config) }
	return a.run()
}

func (a *app) run() int {
	root := a.rootCommand()
	command, err := root.ExecuteContextC(context.Background())
	if writeErr := a.view.err(); err == nil && writeErr != nil {
		err = a.view.failed(writeErr)
	}
	code := a.code(command, err)
	a.view.json.finish(code)
	if a.view.err() != nil {
		return exitError
	}
	return code
}

// code is the exit code that an error stands for. A mistake on the command line
// is printed.
func (a *app) code(command *cobra.Command, err error) int {
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errChanges):
		return exitChanges
	case !errors.Is(err, errTold):
		if kind := command.Annotations[jsonFlag]; kind != "" && slices.Contains(a.Args, "--"+jsonFlag) {
			a.printJSON(kind)
		}
		a.view.usageError(err, command.CommandPath(), a.meant(command))
	}
	return exitError
}

func (a *app) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "relayctl",
		Short: "One HTTPS endpoint over the models on your own GPU machines",
		Long: strings.TrimSpace(`
relayctl makes a public host and some GPU machines serve models through one
OpenAI-compatible HTTPS endpoint, as a stack file says. It keeps nothing on
this machine and may be run again at any time.

The stack file left out means ./stack.hcl.`),
		SilenceErrors:              true,
		SilenceUsage:               true,
		DisableSuggestions:         true, // printed by the view
		SuggestionsMinimumDistance: 2,
	}
	root.SetArgs(a.Args)
	root.SetIn(a.Stdin)
	root.SetOut(a.Stdout)
	root.SetErr(a.Stderr)
	root.AddCommand(a.planCommand(), a.applyCommand(), a.statusCommand(), a.rotateCommand(), a.historyCommand(), a.rollbackCommand(), a.destroyCommand(), a.validateCommand(), a.formatCommand(), a.caCommand(), a.sshCommand(), a.knownHostCommand(), a.versionCommand())
	root.SetFlagErrorFunc(flagError)
	a.setHelp(root)
	return root
}
