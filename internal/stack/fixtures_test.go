package stack_test

import (
	"bytes"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/hcl/v2"

	"github.com/relayctl/relayctl/internal/stack"
)

var update = flag.Bool("update", false, "write the golden files anew")

// oldKey is a key that is good enough to be brought along.
const oldKey = "a-key-that-a-user-brought-along-0123456789"

// fixtureEnv is the environment that fixtures are loaded in.
func fixtureEnv(name string) (string, bool) {
	v, ok := map[string]string{
		"HOME":                    "/home/elsewhere", // ssh goes by the account, and so does ~/
		"OLD_KEY":                 oldKey,
		"SHORT_KEY":               "under-thirty-two-characters",
		"SPACED":                  "hunter2hunter2 ",
		"EMPTY":                   "",
		"RELAYCTL_VAR_laptop_key": "laptop-0123456789-0123456789-0123456789",
		"RELAYCTL_VAR_key":        "hunter2hunter2hunter2hunter2hunter2hunter2",
		"RELAYCTL_VAR_count":      "three",
	}[name]
	return v, ok
}

// fixtures lists the files that match a pattern, and fails without any.
func fixtures(t testing.TB, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Fatalf("no file matches %s", pattern)
	}
	return files
}

func TestValidFixtures(t *testing.T) {
	for _, file := range fixtures(t, "testdata/valid/*.hcl") {
		t.Run(filepath.Base(file), func(t *testing.T) {
			needValues := !strings.HasPrefix(filepath.Base(file), "unknown-")
			got, src, diags := stack.Load(file, stack.Options{Env: fixtureEnv, Home: "/home/ops", NeedValues: needValues})
			if len(diags) > 0 || got == nil {
				t.Fatalf("stack %v, and:\n%s", got, printed(t, src, diags))
			}
		})
	}
}

// Each line of a fixture that has to be blamed says so itself, with all its
// summaries: # error: Summary | Summary.
func TestInvalidFixtures(t *testing.T) {
	for _, file := range fixtures(t, "testdata/invalid/*.hcl") {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got, src, diags := stack.Load(file, stack.Options{Env: fixtureEnv, Home: "/home/ops", NeedValues: true})
			if got != nil {
				t.Error("a stack came with the errors")
			}
			if diff := cmp.Diff(expected(text), found(diags)); diff != "" {
				t.Errorf("diagnostics (-want +got):\n%s\n%s", diff, printed(t, src, diags))
			}
			all := printed(t, src, diags)
			if strings.Contains(all, "hunter2") {
				t.Errorf("a secret is printed:\n%s", all)
			}
			golden(t, strings.TrimSuffix(file, ".hcl")+".txt", strings.ReplaceAll(all, file, "stack.hcl"))
		})
	}
}

// Without values a fixture has the same mistakes, less those that are about
// values.
func TestInvalidFixturesWithoutValues(t *testing.T) {
	needed := []string{"Variable without value", "Error in function call", "Invalid secret", "Duplicate key",
		"Invalid value for variable"}
	for _, file := range fixtures(t, "testdata/invalid/*.hcl") {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		aboutValues := func(line string) bool {
			_, summary, _ := strings.Cut(line, ": ")
			return slices.Contains(needed, summary)
		}
		_, _, diags := stack.Load(file, stack.Options{})
		want := slices.DeleteFunc(expected(text), aboutValues)
		got := slices.DeleteFunc(found(diags), aboutValues)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", file, diff)
		}
	}
}

var expectation = regexp.MustCompile(`# error: (.*)$`)

// expected lists "line: summary" as the comments in a fixture say.
func expected(text []byte) []string {
	list := []string{}
	for i, line := range strings.Split(string(text), "\n") {
		m := expectation.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		for summary := range strings.SplitSeq(m[1], "|") {
			list = append(list, fmt.Sprintf("%d: %s", i+1, strings.TrimSpace(summary)))
		}
	}
	slices.Sort(list)
	return list
}

// found lists "line: summary" of diagnostics.
func found(diags hcl.Diagnostics) []string {
	list := []string{}
	for _, d := range diags {
		line := 0
		if d.Subject != nil {
			line = d.Subject.Start.Line
		}
		list = append(list, fmt.Sprintf("%d: %s", line, d.Summary))
	}
	slices.Sort(list)
	return list
}

// printed is what a user would see.
func printed(t *testing.T, src *stack.Sources, diags hcl.Diagnostics) string {
	t.Helper()
	var b bytes.Buffer
	if err := src.WriteDiagnostics(&b, diags, 80, false); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// golden compares a text with a file.
func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}

// files is a file system of a few texts, for Options.ReadFile.
type files map[string]string

func (f files) read(path string) ([]byte, error) {
	text, ok := f[path]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
	}
	return []byte(text), nil
}
