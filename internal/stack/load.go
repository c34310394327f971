package stack

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"syscall"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
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
	unset    map[string]bool // variables that nothing gives a value; true: reported
	secrets  secrets
}

func newLoader(filename string, options Options) *loader {
	return &loader{options: options, filename: filename, sources: newSources(), unset: map[string]bool{},
		secrets: secrets{map[provenance]string{}, map[provenance]string{}}}
}

// Load reads the stack file filename. With an error among the diagnostics the
// stack is nil. The sources are never nil: they print the diagnostics.
func Load(filename string, options Options) (*Stack, *Sources, hcl.Diagnostics) {
	l := newLoader(filename, options)
	s := l.load()
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
	if d := l.otherFile(body); d != nil {
		l.diags = l.diags.Append(d)
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

// report adds an error.
func (l *loader) report(at hcl.Range, summary, format string, args ...any) {
	l.diags = l.diags.Append(problem(at, summary, format, args...))
}

// reportAside adds an error that has no place in a file.
func (l *loader) reportAside(summary, format string, args ...any) {
	l.diags = l.diags.Append(aside(summary, format, args...))
}

func (l *loader) env(name string) (string, bool) {
	if l.options.Env == nil {
		return "", false
	}
	return l.options.Env(name)
}

func (l *loader) readFile(path string) ([]byte, error) {
	read := l.options.ReadFile
	if read == nil {
		read = readRegular
	}
	content, err := read(path)
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
	if info.IsDir() {
		return nil, &fs.PathError{Op: "read", Path: path, Err: syscall.EISDIR}
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("not a regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxFile+1))
}

// parse reads and parses a file of HCL. It returns nil after reporting an
// error. Values of a file with hidden set are quoted in no message.
func (l *loader) parse(filename string, hidden bool) *hclsyntax.Body {
	src, err := l.readFile(filename)
	if err != nil {
		l.reportUnreadable(filename, err)
		return nil
	}
	if d := notUTF8(src, filename); d != nil {
		l.diags = l.diags.Append(d)
		return nil
	}
	src = ended(src)
	var body *hclsyntax.Body
	diags := guard(src, filename)
	if !diags.HasErrors() && !utf8.Valid(src) {
		diags = outsideUTF8(src, filename)
	}
	if !diags.HasErrors() {
		var file *hcl.File
		file, diags = hclsyntax.ParseConfig(src, filename, hcl.InitialPos)
		body = file.Body.(*hclsyntax.Body)
	}
	if hidden {
		l.sources.add(filename, src, body, valueSpans(src))
	} else {
		l.sources.add(filename, src, body, l.sources.secretSpans(src, !diags.HasErrors()))
	}
	if !diags.HasErrors() {
		return body
	}
	l.diags = l.diags.Append(firstProblem(src, filename, diags, hidden))
	return nil
}

// ended is a text whose last line has an end: without one, HCL finds no end of a
// text in lines.
func ended(src []byte) []byte {
	if len(src) == 0 || bytes.HasSuffix(src, []byte("\n")) || bytes.HasSuffix(src, []byte("\r")) {
		return src
	}
	return append(bytes.Clone(src), lineEnd(src)...)
}

// reportUnreadable says why a file can't be read. Of a folder, a stack file in
// it is named.
func (l *loader) reportUnreadable(filename string, err error) {
	if !errors.Is(err, syscall.EISDIR) {
		l.reportAside("Can't read file", "%s can't be read: %s.", filename, cause(err))
		return
	}
	advice := "Name a file in it."
	if inside := filepath.Join(filename, "stack.hcl"); l.isThere(inside) {
		advice = "Did you mean " + ShellPath(inside) + "?"
	}
	l.reportAside("Can't read file", "%s is a folder, not a file. %s", filename, advice)
}

func (l *loader) isThere(path string) bool {
	_, err := l.readFile(path)
	return err == nil
}

// sortByPlace orders diagnostics as a reader meets their causes; those without
// a place come first.
func sortByPlace(diags hcl.Diagnostics) {
	start := func(d *hcl.Diagnostic) (string, int) {
		if d.Subject == nil {
			return "", -1
		}
		return d.Subject.Filename, d.Subject.Start.Byte
	}
	sort.SliceStable(diags, func(i, j int) bool {
		fileI, byteI := start(diags[i])
		fileJ, byteJ := start(diags[j])
		if fileI != fileJ {
			return fileI < fileJ
		}
		return byteI < byteJ
	})
}
