package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/relayctl/relayctl/internal/stack"
)

// defaultFile is the stack file where none is named.
const defaultFile = "stack.hcl"

// stackOptions says which stack a command is about.
type stackOptions struct {
	file     string
	leftOut  bool   // the file is the default
	flag     string // what stands before the file on the command line: "--stack "; empty: nothing does
	vars     []string
	varFiles []string
}

// takeStack lets a command take a stack file and the values of its variables.
func takeStack(command *cobra.Command, o *stackOptions) {
	command.Args = func(_ *cobra.Command, args []string) error {
		if len(args) > 1 {
			return fmt.Errorf("one stack file is taken, not %d: %s", len(args), strings.Join(args, " "))
		}
		if o.file, o.leftOut = defaultFile, len(args) == 0; !o.leftOut {
			o.file = args[0]
		}
		return nil
	}
	command.ValidArgsFunction = func(_ *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return []cobra.Completion{"hcl"}, cobra.ShellCompDirectiveFilterFileExt
	}
	takeVariables(command, o)
}

// takeVariables lets a command take the values of a stack's variables.
func takeVariables(command *cobra.Command, o *stackOptions) {
	command.Flags().StringArrayVar(&o.vars, "var", nil, "set a variable, as `NAME=VALUE`; not for sensitive ones")
	command.Flags().StringArrayVar(&o.varFiles, "var-file", nil, "read variables from `FILE`, a line NAME = VALUE each")
}

// needs says what of the values that a stack file asks for has to be there.
type needs int

const (
	noValues   needs = iota // what depends on a missing value is not checked
	noSecrets               // the content of secrets may be missing: the command does nothing with it
	everything              // hosts are compared with all of it
)

// load reads the stack file. What is wrong with it is printed; the error then
// is errTold.
func (a *app) load(o stackOptions, n needs) (*stack.Stack, error) {
	a.view.about = o
	s, sources, problems := stack.Load(o.file, stack.Options{
		Vars: o.vars, VarFiles: o.varFiles, Env: a.Env, Home: a.Home, NeedValues: n != noValues, SecretsAside: n == noSecrets,
	})
	a.view.keep(sources)
	a.view.diagnostics(problems)
	if !problems.HasErrors() {
		return s, nil
	}
	if _, err := os.Stat(o.file); o.leftOut && errors.Is(err, fs.ErrNotExist) {
		a.view.hint("No file was named, and ./" + defaultFile + " is what is taken then. Name the stack file, as in:\n  " + a.view.theSame(o.flag+"FILE"))
	}
	return nil, errTold
}

// again is the command line that runs a command, such as "apply --adopt", for
// the same stack, in a form that can be pasted into a shell.
func (o stackOptions) again(command string) string {
	words := append([]string{"relayctl"}, strings.Fields(command)...)
	for _, v := range o.vars {
		words = append(words, "--var", shellWord(v))
	}
	for _, file := range o.varFiles {
		words = append(words, "--var-file", shellWord(file))
	}
	return strings.Join(append(words, shellPath(o.file)), " ")
}

// shellWord writes a word so that a shell reads it as it is: fish as well, to
// which a backslash means something between quotes.
func shellWord(word string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._/-=:@,+"
	if word != "" && strings.Trim(word, plain) == "" {
		return word
	}
	return "'" + strings.NewReplacer("'", `'\''`, `\`, `'\\'`).Replace(word) + "'"
}

// shellPath is shellWord for the path of a file: one that begins with a hyphen
// is not taken for an option.
func shellPath(path string) string {
	if strings.HasPrefix(path, "-") {
		path = "./" + path
	}
	return shellWord(path)
}
