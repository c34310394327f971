package cli_test

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/itchyny/gojq"
)

// The jq lines of the documentation do what it says, with what the golden
// files hold.
func TestOneLinersOfTheDocumentation(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(folder, "..", "..", "docs", "json.md"))
	if err != nil {
		t.Fatal(err)
	}
	lines := regexp.MustCompile(`(?m)^relayctl (\w+) --json .*\| jq -[cr]+ '(.*)'$`).FindAllStringSubmatch(string(page), -1)
	got := map[string][]string{}
	for _, line := range lines {
		name := line[1]
		if name == "apply" {
			got[name] = runJQ(t, line[2], name)
			name = "apply-failed"
		}
		got[name] = runJQ(t, line[2], name)
	}
	want := map[string][]string{
		"plan":   {`{"changes":5,"hosts":["edge"]}`},
		"status": {"gpu-2: no answer within 10 s", "gpu-3: relay-host runs as user 1000, not as root", "gpu-1: relay-worker does not run", "stack: llama3-8b: no token within 10 s"},
		"apply":  {"edge 1/6 package caddy: installed (14 s)"},
		"apply-failed": {
			"host_failed: gpu-2: connect: no answer from 10.0.0.21:22 within 10 s",
			"step_failed: gpu-1: unit relay-worker.service did not stay up", "no_token: llama3-8b: the relay says 503",
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// runJQ runs a filter over the documents of a golden file.
func runJQ(t *testing.T, filter, name string) []string {
	t.Helper()
	query, err := gojq.Parse(filter)
	if err != nil {
		t.Fatalf("%s: %v", filter, err)
	}
	var results []string
	for _, document := range documents(t, name) {
		iter := query.Run(document)
		for value, more := iter.Next(); more; value, more = iter.Next() {
			if text, isText := value.(string); isText {
				results = append(results, text)
				continue
			}
			text, err := gojq.Marshal(value)
			if err != nil {
				t.Fatalf("%s: %v (%v)", filter, value, err)
			}
			results = append(results, string(text))
		}
	}
	return results
}

func documents(t *testing.T, name string) []any {
	t.Helper()
	file, err := os.Open(filepath.Join(folder, "testdata", "screens", "json-"+name+".golden"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var list []any
	decoder := json.NewDecoder(file)
	for {
		var document any
		if err := decoder.Decode(&document); errors.Is(err, io.EOF) {
			return list
		} else if err != nil {
			t.Fatal(err)
		}
		list = append(list, document)
	}
}

// Every code that is printed has its line in the documentation, and the other
// way about.
func TestCodesAreDocumented(t *testing.T) {
	read := func(path ...string) string {
		text, err := os.ReadFile(filepath.Join(append([]string{folder}, path...)...))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	find := func(pattern, text string) []string {
		var list []string
		for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
			list = append(list, m[1])
		}
		slices.Sort(list)
		return slices.Compact(list)
	}
	inCode := find(`(?m)^\t(?:code\w+ += |\t\{[\w.]+, )"(\w+)"`, read("failure.go"))
	_, table, _ := strings.Cut(read("..", "..", "docs", "json.md"), "| code | |\n")
	table, _, _ = strings.Cut(table, "\n\n")
	var cells strings.Builder
	for row := range strings.Lines(table) {
		cells.WriteString(strings.Split(row, "|")[1])
	}
	inPage := find("`(\\w+)`", cells.String())
	if diff := cmp.Diff(inCode, inPage); diff != "" || len(inCode) < 15 {
		t.Errorf("codes (-in the code +in the page):\n%s", diff)
	}
}
