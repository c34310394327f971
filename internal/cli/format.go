package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/relayctl/relayctl/internal/stack"
)

type formatOptions struct {
	paths []string
	check bool
	diff  bool
}

// standardInput is the path that stands for it, and the name that it has in
// messages.
const (
	standardInput     = "-"
	standardInputName = "<stdin>"
)

func (a *app) formatCommand() *cobra.Command {
	var o formatOptions
	command := &cobra.Command{
		Use:   "fmt [file|folder|-]...",
		Short: "Bring stack files into canonical form",
		Long: `Bring stack files into canonical form: indentation, alignment and blanks. What
they mean, their comments and line ends stay as they are. The names of files
that changed are printed. Of a folder, the files in it that end in .hcl are
taken; - reads standard input and writes to standard output.`,
	}
	command.Args = func(_ *cobra.Command, args []string) error {
		o.paths = args
		if len(args) == 0 {
			o.paths = []string{defaultFile}
		}
		if len(args) > 1 && slices.Contains(args, standardInput) {
			return errors.New("- stands for standard input, and goes without other files")
		}
		return nil
	}
	command.ValidArgsFunction = func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return []cobra.Completion{"hcl"}, cobra.ShellCompDirectiveFilterFileExt
	}
	flags := command.Flags()
	flags.BoolVar(&o.check, "check", false, "change nothing; exit with 1 if any file would change")
	flags.BoolVar(&o.diff, "diff", false, "show what changes in the files, secrets left out")
	command.RunE = func(*cobra.Command, []string) error {
		if o.diff && !o.check && slices.Contains(o.paths, standardInput) {
			return errors.New("--diff with - goes with --check: standard output is for the text")
		}
		return a.format(o)
	}
	return command
}

// format goes on with the other files when one can't be formatted.
func (a *app) format(o formatOptions) error {
	var result error
	for _, path := range o.paths {
		files := []string{path}
		if info, err := os.Stat(path); path != standardInput && err == nil && info.IsDir() {
			if files, err = inFolder(path); err != nil {
				result = a.view.failed(err)
			}
		}
		for _, file := range files {
			if err := a.formatFile(file, o); err != nil {
				result = a.view.failed(err)
			}
		}
	}
	return result
}

func inFolder(folder string) ([]string, error) {
	files, err := fs.Glob(os.DirFS(folder), "*.hcl")
	if err == nil && len(files) == 0 {
		err = fmt.Errorf("no file in %s ends in .hcl", folder)
	}
	for i := range files {
		files[i] = filepath.Join(folder, files[i])
	}
	return files, err
}

// formatFile formats one file, and names it where it is not in canonical form, or
// was not; errTold also stands for the former.
func (a *app) formatFile(file string, o formatOptions) error {
	name, options, isInput := file, stack.Options{}, file == standardInput
	if isInput {
		name = standardInputName
		options.ReadFile = func(string) ([]byte, error) { return io.ReadAll(a.Stdin) }
	}
	formatted, sources, problems := stack.Format(name, options)
	if problems.HasErrors() {
		a.view.sources = sources
		a.view.diagnostics(problems)
		return errTold
	}
	switch {
	case isInput && !o.check:
		a.view.out.Write(formatted.After)
		return nil
	case !formatted.Changed():
		return nil
	case !o.check:
		if err := replace(file, formatted.After); err != nil {
			return fmt.Errorf("write %s: %w", file, err)
		}
	}
	a.view.out.printf("%s\n", a.view.clean(name))
	if o.diff {
		before, after := formatted.Masked()
		a.view.unified(0, name+" (as it is)", name+" (after fmt)", before, after)
	}
	if o.check {
		return errTold
	}
	return nil
}

// replace gives a file another content in one step, by a new file in its
// place that has its mode and its owner. Of a symbolic link the file that it
// leads to is replaced.
func replace(path string, content []byte) error {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	before, err := os.Stat(path)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // gone already where all went well
	owner := before.Sys().(*syscall.Stat_t)
	_, err = f.Write(content)
	if err := errors.Join(err, f.Chown(int(owner.Uid), int(owner.Gid)), f.Chmod(before.Mode()), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
