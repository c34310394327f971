package archtest

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// graph lists the imports of each package of the module, tests left out, by
// the package's folder.
type graph map[string][]string

// readModule parses the imports of all Go files below root, whatever system
// they are for.
func readModule(root string) (graph, error) {
	g := graph{}
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := entry.Name()
		if entry.IsDir() {
			if name == "testdata" || path != root && strings.HasPrefix(name, ".") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		folder, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		return g.add(filepath.ToSlash(folder), path)
	})
	return g, err
}

// add parses one file. A folder with nothing but tests is a package too.
func (g graph) add(folder, path string) error {
	if _, ok := g[folder]; !ok {
		g[folder] = nil
	}
	if strings.HasSuffix(path, "_test.go") {
		return nil
	}
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
	if err != nil {
		return err
	}
	for _, spec := range file.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return err
		}
		if !slices.Contains(g[folder], imported) {
			g[folder] = append(g[folder], imported)
		}
	}
	return nil
}

// violations lists what breaks the rules.
func (g graph) violations(may map[string][]string, never []rule) []string {
	var found []string
	for _, name := range slices.Sorted(maps.Keys(g)) {
		if !onlyForTests(name) {
			found = append(found, g.directViolations(name, may)...)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(may)) {
		if _, ok := g[name]; !ok {
			found = append(found, name+" is in a rule and does not exist")
		}
	}
	for _, r := range never {
		if _, ok := g[r.from]; !ok {
			found = append(found, r.from+" is in a rule and does not exist")
			continue
		}
		if path := g.path(r.from, r.never, map[string]bool{}); path != nil {
			found = append(found, strings.Join(path, " imports ")+": "+r.reason)
		}
	}
	return found
}

// directViolations lists what a package imports itself and may not.
func (g graph) directViolations(name string, may map[string][]string) []string {
	allowed, ok := may[name]
	if !ok {
		return []string{name + " is in no rule: add it with what it may import"}
	}
	var found []string
	for _, imported := range g[name] {
		ours, ok := strings.CutPrefix(imported, module)
		switch {
		case !ok:
		case onlyForTests(ours):
			found = append(found, fmt.Sprintf("%s imports %s, which is only for tests and the build", name, ours))
		case !slices.Contains(allowed, ours):
			list := strings.Join(allowed, ", ")
			if list == "" {
				list = "nothing"
			}
			found = append(found, fmt.Sprintf("%s imports %s, which is not among what it may import: %s", name, ours, list))
		}
	}
	return found
}

// path finds how a package comes to import something below prefix, over
// however many packages of the module; nil where it does not.
func (g graph) path(from, prefix string, seen map[string]bool) []string {
	seen[from] = true
	for _, imported := range g[from] {
		ours, inside := strings.CutPrefix(imported, module)
		if below(imported, prefix) {
			return []string{from, strings.TrimPrefix(imported, module)}
		}
		if !inside || seen[ours] {
			continue
		}
		if rest := g.path(ours, prefix, seen); rest != nil {
			return append([]string{from}, rest...)
		}
	}
	return nil
}

// below reports whether an import path is prefix or under it. A prefix that
// ends in a slash is all that is under it.
func below(imported, prefix string) bool {
	return imported == prefix || strings.HasPrefix(imported, strings.TrimSuffix(prefix, "/")+"/")
}

// onlyForTests reports whether a folder holds code that only tests and the build use.
func onlyForTests(name string) bool {
	return slices.ContainsFunc(forTests, func(folder string) bool { return below(name, folder) })
}
