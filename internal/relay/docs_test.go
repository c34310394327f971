package relay_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// TestErrorsAreDocumented: every code that the source can send stands in
// docs/api.md, and no other.
func TestErrorsAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := make(map[string]bool)
	for _, row := range regexp.MustCompile("(?m)^\\| \\d{3} \\| `(\\w+)`").FindAllStringSubmatch(string(page), -1) {
		documented[row[1]] = true
	}
	sent := sentCodes(t)
	if len(sent) < 15 {
		t.Fatalf("only %d codes found in the source", len(sent))
	}
	for code := range sent {
		if !documented[code] {
			t.Errorf("%s is sent and not documented", code)
		}
	}
	for code := range documented {
		if !sent[code] {
			t.Errorf("%s is documented and never sent", code)
		}
	}
}

// sentCodes reads the codes out of the calls that make errors for clients.
func sentCodes(t *testing.T) map[string]bool {
	t.Helper()
	argument := map[string]int{"busyError": 0, "serverError": 1, "invalidError": 1} // where each has the code
	codes := map[string]bool{"probe_only": true}                                    // made as a literal
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if !strings.HasSuffix(entry.Name(), ".go") || strings.HasSuffix(entry.Name(), "_test.go") || entry.Name() == "admin.go" {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), entry.Name(), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			name, ok := call.Fun.(*ast.Ident)
			if !ok {
				return true
			}
			if at, ok := argument[name.Name]; ok {
				if literal, ok := call.Args[at].(*ast.BasicLit); ok {
					code, err := strconv.Unquote(literal.Value)
					if err != nil {
						t.Fatal(err)
					}
					codes[code] = true
				}
			}
			return true
		})
	}
	return codes
}
