package cli

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
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
	files, result := a.stackFiles(o.paths)
	for _, file := range files {
		if err := a.formatFile(file, o); err != nil {
			result = errTold
		}
	}
	return result
}

// stackFiles lists the files that paths stand for, each once. What can't be
// listed is printed.
func (a *app) stackFiles(paths []string) ([]string, error) {
	var files []string
	var result error
	for _, path := range paths {
		found := []string{path}
		if info, err := os.Stat(path); path != standardInput && err == nil && info.IsDir() {
			if found, err = inFolder(path); err != nil {
				result = a.view.failed(err)
			}
		}
		for _, file := range found {
			if !slices.Contains(files, file) {
				files = append(files, file)
			}
		}
	}
	return files, result
}

func inFolder(folder string) ([]string, error) {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return nil, err
	}
	var files []string
	for _, entry := range entries {
		if !entry.IsDir() && strings.HasSuffix(entry.Name(), ".hcl") {
			files = append(files, filepath.Join(folder, entry.Name()))
		}
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("no file in %s ends in .hcl", folder)
	}
	return files, nil
}

// formatFile formats one file. The error is errTold: what is wrong with it is
// printed, or that it is not in canonical form.
func (a *app) formatFile(file string, o formatOptions) error {
	name, options := file, stack.Options{}
	if file == standardInput {
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
	case file == standardInput && !o.check:
		a.view.text(formatted.After)
	case !formatted.Changed():
		return nil
	case file != standardInput && !o.check:
		if err := replace(file, formatted.After); err != nil {
			return a.view.failed(fmt.Errorf("write %s: %w", file, err))
		}
	}
	a.view.formatted(name, formatted, o, file == standardInput)
	if o.check {
		return errTold
	}
	return nil
}

// replace gives a file another content in one step, by a new file in its
// place that has its mode and its owner. Of a symbolic link the file that it
// leads to is replaced.
func replace(path string, content []byte) (err error) {
	path, err = filepath.EvalSymlinks(path)
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
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	if err := errors.Join(fill(f, content, before), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// fill writes a new file's content, with the mode and owner of another.
func fill(f *os.File, content []byte, like fs.FileInfo) error {
	if stat, ok := like.Sys().(*syscall.Stat_t); ok && !ownedLike(f, stat) {
		if err := f.Chown(int(stat.Uid), int(stat.Gid)); err != nil {
			return fmt.Errorf("keep its owner: %w", err)
		}
	}
	if err := f.Chmod(like.Mode()); err != nil {
		return err
	}
	if _, err := f.Write(content); err != nil {
		return err
	}
	return f.Sync()
}

// ownedLike reports whether a file has owner and group of another: then
// nothing is to be changed, which not everybody may.
func ownedLike(f *os.File, like *syscall.Stat_t) bool {
	info, err := f.Stat()
	if err != nil {
		return false
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && stat.Uid == like.Uid && stat.Gid == like.Gid
}

// text prints a text as it is.
func (v *view) text(text []byte) { v.out.Write(text) }

// formatted names a file that is not in canonical form, or was not. What is
// read from standard input has no name to print, unless it is only checked.
func (v *view) formatted(name string, f stack.Formatted, o formatOptions, isInput bool) {
	if isInput && !o.check {
		return
	}
	v.out.printf("%s\n", v.clean(name))
	if o.diff {
		before, after := f.Masked()
		v.unified(0, name+" (as it is)", name+" (after fmt)", before, after)
	}
}
