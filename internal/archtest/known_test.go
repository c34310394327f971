package archtest

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/relayctl/relayctl/internal/cli"
)

// known is what documents may name.
type known struct {
	root     string
	targets  map[string]bool            // of the Makefile
	commands map[string]string          // of relayctl, with the help of each
	flags    map[string]bool            // of relay-server and relay-worker
	names    map[string]map[string]bool // by package below internal: Name and Type.Name
	source   string                     // all Go code and the Makefile
}

func readKnown(t *testing.T, root string) known {
	t.Helper()
	k := known{root: root, names: map[string]map[string]bool{}, flags: map[string]bool{}}
	makefile := readText(t, filepath.Join(root, "Makefile"))
	k.targets = matches(regexp.MustCompile(`(?m)^([a-z][a-z0-9-]*):`), makefile)
	k.commands = readCommands(t)
	k.source = makefile
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		k.source += string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"relay/program.go", "worker/program.go", "service/service.go"} {
		text := readText(t, filepath.Join(root, "internal", file))
		for flag := range matches(regexp.MustCompile(`\w\.\w+Var\(&[^,]+, "([a-z-]+)"`), text) {
			k.flags[flag] = true
		}
	}
	k.readNames(t)
	for what, n := range map[string]int{"targets": len(k.targets), "commands": len(k.commands), "flags": len(k.flags), "names": len(k.names)} {
		if n < 5 {
			t.Fatalf("only %d %s were found", n, what)
		}
	}
	return k
}

// readCommands asks relayctl itself.
func readCommands(t *testing.T) map[string]string {
	t.Helper()
	_, list, _ := strings.Cut(help(t), "Available Commands:\n")
	list, _, _ = strings.Cut(list, "\n\n")
	commands := map[string]string{}
	for name := range matches(regexp.MustCompile(`(?m)^  ([a-z-]+) `), list) {
		commands[name] = help(t, name)
	}
	return commands
}

func help(t *testing.T, command ...string) string {
	t.Helper()
	var out, errs bytes.Buffer
	code := cli.Run(cli.System{
		Args: append(command, "--help"), Stdin: strings.NewReader(""), Stdout: &out, Stderr: &errs,
		Env: func(string) (string, bool) { return "", false },
	})
	if code != 0 {
		t.Fatalf("relayctl %s --help: exit code %d\n%s", strings.Join(command, " "), code, errs.String())
	}
	return out.String()
}

// readNames collects what each package below internal declares.
func (k known) readNames(t *testing.T) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(k.root, "internal", "*", "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		folder := filepath.Base(filepath.Dir(path))
		if k.names[folder] == nil {
			k.names[folder] = map[string]bool{}
		}
		for _, name := range declared(file) {
			k.names[folder][name] = true
		}
	}
}

// declared lists the names that a file declares: Name, and Type.Name for
// methods and for members of structs and interfaces.
func declared(file *ast.File) []string {
	var list []string
	for _, declaration := range file.Decls {
		switch d := declaration.(type) {
		case *ast.FuncDecl:
			name := d.Name.Name
			if d.Recv != nil {
				name = receiver(d.Recv.List[0].Type) + "." + name
			}
			list = append(list, name)
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				list = append(list, specified(spec)...)
			}
		}
	}
	return list
}

func specified(spec ast.Spec) []string {
	var list []string
	switch s := spec.(type) {
	case *ast.ValueSpec:
		for _, name := range s.Names {
			list = append(list, name.Name)
		}
	case *ast.TypeSpec:
		list = append(list, s.Name.Name)
		var members *ast.FieldList
		switch kind := s.Type.(type) {
		case *ast.StructType:
			members = kind.Fields
		case *ast.InterfaceType:
			members = kind.Methods
		default:
			return list
		}
		for _, member := range members.List {
			for _, name := range member.Names {
				list = append(list, s.Name.Name+"."+name.Name)
			}
		}
	}
	return list
}

// receiver is the name of a method's type.
func receiver(kind ast.Expr) string {
	switch k := kind.(type) {
	case *ast.StarExpr:
		return receiver(k.X)
	case *ast.IndexExpr:
		return receiver(k.X)
	case *ast.Ident:
		return k.Name
	}
	return ""
}

// matches are the first groups of all matches.
func matches(pattern *regexp.Regexp, text string) map[string]bool {
	found := map[string]bool{}
	for _, match := range pattern.FindAllStringSubmatch(text, -1) {
		found[match[1]] = true
	}
	return found
}
