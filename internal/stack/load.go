package stack

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
)

// Options says where values of variables come from, and what Load may read.
type Options struct {
	Vars     []string // NAME=VALUE as given to --var; refused for sensitive variables
	VarFiles []string // paths of files of assignments; a later one wins

	// Env looks up an environment variable: for RELAYCTL_VAR_name and env().
	// Nil is an empty environment.
	Env func(name string) (string, bool)

	// Home is what ~/ in paths stands for; "" leaves it as it stands.
	Home string

	// ReadFile reads the stack file, the files of VarFiles and those that
	// file() names. Nil reads the file system, regular files only. Of neither
	// is more taken than 256 KiB.
	ReadFile func(path string) ([]byte, error)

	// NeedValues makes it an error that a variable, an environment variable or
	// a file that the stack asks for is missing. Without it the attributes
	// that depend on them are left zero: good for validating only.
	NeedValues bool
	// SecretsAside, with NeedValues, lets those be missing that only the
	// content of secrets hangs on: such a secret is secret.Unknown. For commands
	// that do nothing with it.
	SecretsAside bool
}

// needsAll reports whether nothing may be missing.
func (o Options) needsAll() bool { return o.NeedValues && !o.SecretsAside }

// maxFile bounds every file that is read, in bytes. A worker with a model
// takes about 200, so a thousand of them fit.
const maxFile = 256 << 10

// loader is one run of Load.
type loader struct {
	options  Options
	filename string
	sources  *Sources
	diags    hcl.Diagnostics
	secrets  secrets
	lacks    []hcl.Range // what hangs on values that are not given, and is no secret
}

func newLoader(filename string, options Options) *loader {
	if options.Env == nil {
		options.Env = func(string) (string, bool) { return "", false }
	}
	if options.ReadFile == nil {
		options.ReadFile = readRegular
	}
	return &loader{options: options, filename: filename, sources: newSources(),
		secrets: secrets{map[provenance]string{}, map[provenance]string{}}}
}

// Load reads the stack file filename. With an error among the diagnostics the
// stack is nil. The sources are never nil: they print the diagnostics.
func Load(filename string, options Options) (*Stack, *Sources, hcl.Diagnostics) {
	l := newLoader(filename, options)
	s := l.load()
	if lacks := l.lacks; len(lacks) > 0 && !l.diags.HasErrors() {
		options.SecretsAside = false
		l = newLoader(filename, options)
		s = l.load() // reports all that is missing
		l.diags = slices.DeleteFunc(l.diags, func(d *hcl.Diagnostic) bool {
			return d.Subject != nil && !slices.ContainsFunc(lacks, d.Subject.Overlaps)
		})
	}
	l.sources.conceal(l.diags)
	sortByPlace(l.diags)
	if l.diags.HasErrors() {
		return nil, l.sources, l.diags
	}
	return s, l.sources, l.diags
}

func (l *loader) load() *Stack {
	body := l.parse(l.filename, false)
	if body == nil {
		return nil
	}
	variables := l.declareVariables(body)
	scope := &scope{variables: variables, values: l.variableValues(variables), functions: l.functions()}
	l.evaluateLocals(body, scope)
	root := l.decodeFile(body, scope)
	s := l.build(root)
	l.checkStack(s)
	s.Sources = l.sources
	return s
}

// report adds an error; a range of no file is no place.
func (l *loader) report(at hcl.Range, summary, format string, args ...any) {
	l.diags = l.diags.Append(problem(at, summary, format, args...))
}

func (l *loader) readFile(path string) ([]byte, error) {
	content, err := l.options.ReadFile(path)
	if err == nil && len(content) > maxFile {
		return nil, fmt.Errorf("larger than %d KiB", maxFile>>10)
	}
	return content, err
}

// readRegular reads no more than one byte over maxFile of a regular file: a
// device or a pipe might never end.
func readRegular(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() && !info.IsDir() { // of a folder, reading says so
		return nil, errors.New("not a regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxFile+1))
}

// sortByPlace orders diagnostics as a reader meets their causes; those without
// a place come first.
func sortByPlace(diags hcl.Diagnostics) {
	place := func(d *hcl.Diagnostic) hcl.Range {
		if d.Subject == nil {
			return hcl.Range{}
		}
		return *d.Subject
	}
	slices.SortStableFunc(diags, func(a, b *hcl.Diagnostic) int {
		x, y := place(a), place(b)
		return cmp.Or(strings.Compare(x.Filename, y.Filename), x.Start.Byte-y.Start.Byte)
	})
}
