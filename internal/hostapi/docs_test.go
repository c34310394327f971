package hostapi_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strconv"
	"strings"
	"testing"
)

// Every operation and every code is explained to people.
func TestDocsNameEveryOperationAndCode(t *testing.T) {
	page, err := os.ReadFile("../../docs/hostapi.md")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, file := range []string{"messages.go", "error.go"} {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(node ast.Node) bool {
			spec, ok := node.(*ast.ValueSpec)
			if !ok {
				return true
			}
			kind, ok := spec.Type.(*ast.Ident)
			if !ok || kind.Name != "Op" && kind.Name != "Code" {
				return true
			}
			value, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			found++
			if !strings.Contains(string(page), "\n| `"+value+"` |") {
				t.Errorf("docs/hostapi.md does not explain %s %q", kind.Name, value)
			}
			return true
		})
	}
	if found < 20 {
		t.Errorf("only %d operations and codes were found", found)
	}
}
