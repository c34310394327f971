package protocol_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strings"
	"testing"
)

// Whoever implements the protocol from its page finds every frame type and
// every code there.
func TestDocsNameEveryTypeAndCode(t *testing.T) {
	page, err := os.ReadFile("../../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, file := range []string{"frame.go", "message.go"} {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(node ast.Node) bool {
			spec, ok := node.(*ast.ValueSpec)
			if !ok || len(spec.Values) != 1 {
				return true
			}
			row := rowOf(spec)
			if row == "" {
				return true
			}
			found++
			if !strings.Contains(string(page), "\n"+row) {
				t.Errorf("docs/protocol.md has no row %q for %s", row, spec.Names[0])
			}
			return true
		})
	}
	if found < 25 {
		t.Errorf("only %d types and codes were found", found)
	}
}

// rowOf is how the row of a constant begins; empty: it needs none.
func rowOf(spec *ast.ValueSpec) string {
	kind, isNamed := spec.Type.(*ast.Ident)
	value, isLiteral := spec.Values[0].(*ast.BasicLit)
	if !isNamed || !isLiteral {
		return ""
	}
	switch kind.Name {
	case "Type":
		name := strings.ToUpper(strings.TrimPrefix(spec.Names[0].Name, "Type"))
		return fmt.Sprintf("| %s | %s |", value.Value, name)
	case "ResetCode", "CloseCode", "ComeBack":
		return fmt.Sprintf("| `%s` |", strings.Trim(value.Value, `"`))
	}
	return ""
}
