package archtest

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// fewestPages is how many documents there are at the very least.
const fewestPages = 15

// Documents name only what exists: files, links, make targets, relayctl's
// commands and flags, settings by environment, and names in the code.
func TestDocumentsNameWhatExists(t *testing.T) {
	pages := readPages(t, "../..")
	if len(pages) < fewestPages {
		t.Fatalf("found %d documents, fewer than %d", len(pages), fewestPages)
	}
	k := readKnown(t, "../..")
	for _, p := range pages {
		for _, complaint := range k.complaints(p) {
			t.Errorf("%s: %s", p.path, complaint)
		}
	}
}

func (k known) complaints(p page) []string {
	return slices.Concat(k.lostFiles(p), k.lostLinks(p), k.lostTargets(p), k.lostCommands(p), k.lostNames(p))
}

var (
	pathPattern   = regexp.MustCompile(`(?:^|[^\w/.@*-])(?:\./)?((?:internal|cmd|test|templates|docs|examples|\.ci)/[\w.*/-]*\w)`)
	linkPattern   = regexp.MustCompile(`\]\(([^()\s]*)\)`)
	makePattern   = regexp.MustCompile(`(?:^|\s)make((?: [a-z][a-z0-9-]*)+)`)
	callPattern   = regexp.MustCompile(`^(?:\$ )?relayctl ([a-z][a-z-]*)([^>|&;]*)`)
	flagPattern   = regexp.MustCompile(`--([a-z][a-z-]*)`)
	envPattern    = regexp.MustCompile(`(?:^|[^\w$])([A-Z][A-Z0-9]*_[A-Z0-9_]*[A-Z0-9])(?:$|[^\w])`)
	goNamePattern = regexp.MustCompile(`^([a-z]+)\.([A-Za-z]\w*(?:\.[A-Za-z]\w*)?)$`)
	placeholder   = regexp.MustCompile(`\b[A-Z]{2,}\b`)
)

// lostFiles lists paths that lead nowhere. A word in capitals stands for any
// name.
func (k known) lostFiles(p page) []string {
	var lost []string
	for _, match := range pathPattern.FindAllStringSubmatch(p.text, -1) {
		path := filepath.Join(k.root, match[1])
		if _, err := os.Stat(path); err == nil {
			continue
		}
		if found, err := filepath.Glob(placeholder.ReplaceAllString(path, "*")); err != nil || len(found) == 0 {
			lost = append(lost, "there is no "+match[1])
		}
	}
	return lost
}

func (k known) lostLinks(p page) []string {
	var lost []string
	for _, match := range linkPattern.FindAllStringSubmatch(p.text, -1) {
		file, anchor, _ := strings.Cut(match[1], "#")
		if strings.Contains(file, "://") {
			continue
		}
		text := p.text
		if file != "" {
			path := filepath.Join(k.root, filepath.Dir(p.path), file)
			if _, err := os.Stat(path); err != nil {
				lost = append(lost, "a link leads to "+match[1]+", which is not there")
				continue
			}
			content, _ := os.ReadFile(path) // a folder has no anchors
			text = string(content)
		}
		if anchor != "" && !anchors(text)[anchor] {
			lost = append(lost, "a link leads to "+match[1]+", where there is no such heading")
		}
	}
	return lost
}

func (k known) lostTargets(p page) []string {
	var lost []string
	for _, code := range p.code() {
		for _, match := range makePattern.FindAllStringSubmatch(code, -1) {
			for _, target := range strings.Fields(match[1]) {
				if !k.targets[target] {
					lost = append(lost, "there is no make "+target)
				}
			}
		}
	}
	return lost
}

// lostCommands lists commands of relayctl and flags that it does not take. A
// flag by itself may be any command's, or relay-server's or relay-worker's.
func (k known) lostCommands(p page) []string {
	var lost []string
	for _, code := range p.code() {
		call := callPattern.FindStringSubmatch(code)
		if call == nil {
			continue
		}
		help, ok := k.commands[call[1]]
		if !ok {
			lost = append(lost, "there is no command relayctl "+call[1])
			continue
		}
		for flag := range matches(flagPattern, call[2]) {
			if !takes(help, flag) {
				lost = append(lost, fmt.Sprintf("relayctl %s takes no --%s", call[1], flag))
			}
		}
	}
	for _, span := range p.spans {
		if flag := flagPattern.FindStringSubmatch(span); strings.HasPrefix(span, "--") && flag != nil && !k.anyTakes(flag[1]) {
			lost = append(lost, "nothing takes --"+flag[1])
		}
	}
	return lost
}

func takes(help, flag string) bool {
	return regexp.MustCompile(`(?m)^ .*--` + flag + `\b`).MatchString(help)
}

func (k known) anyTakes(flag string) bool {
	for _, help := range k.commands {
		if takes(help, flag) {
			return true
		}
	}
	return k.flags[flag]
}

// fileEndings end names of files, which look like names in Go.
var fileEndings = []string{"go", "hcl", "json", "md", "pem", "secret", "service", "v1"}

// lostNames lists environment variables that no code reads, and names in Go
// that no package declares.
func (k known) lostNames(p page) []string {
	var lost []string
	for _, code := range p.code() {
		for name := range matches(envPattern, code) {
			prefix := name[:strings.LastIndexByte(name, '_')+1] // RELAYCTL_VAR_name
			if !strings.Contains(k.source, name) && !strings.Contains(k.source, `"`+prefix+`"`) {
				lost = append(lost, "nothing reads "+name)
			}
		}
	}
	for _, span := range p.spans {
		match := goNamePattern.FindStringSubmatch(span)
		if match == nil || k.names[match[1]] == nil || slices.Contains(fileEndings, match[2]) {
			continue
		}
		if !k.names[match[1]][match[2]] {
			lost = append(lost, "package "+match[1]+" has no "+match[2])
		}
	}
	return lost
}

// The test above is tried on a page where everything is wrong, and on one where
// nothing is.
func TestWrongDocumentsAreFound(t *testing.T) {
	k := readKnown(t, "../..")
	wrong := newPage("docs/wrong.md", strings.Join([]string{
		"# Heading", "See internal/plan/nothing.go and ./internal/nowhere/..., [a](gone.md), [b](#no-heading), [c](stack.md#nor-here).",
		"`make haste`, `relayctl destroy`, `relayctl plan --yes`, `--force`, `NO_SUCH_THING=1`, `plan.Nothing`, `engine.Session.Nothing`",
		"```sh", "sudo make build sense # make comments", "relayctl status --diff", "```", "", "    relayctl undo", "",
	}, "\n"))
	want := []string{
		"there is no internal/plan/nothing.go",
		"there is no internal/nowhere",
		"a link leads to gone.md, which is not there",
		"a link leads to #no-heading, where there is no such heading",
		"a link leads to stack.md#nor-here, where there is no such heading",
		"there is no make haste",
		"there is no make sense",
		"there is no command relayctl destroy",
		"relayctl plan takes no --yes",
		"relayctl status takes no --diff",
		"there is no command relayctl undo",
		"nothing takes --force",
		"nothing reads NO_SUCH_THING",
		"package plan has no Nothing",
		"package engine has no Session.Nothing",
	}
	if diff := cmp.Diff(want, k.complaints(wrong)); diff != "" {
		t.Errorf("complaints (-want +got):\n%s", diff)
	}
	right := newPage("docs/right.md", strings.Join([]string{
		"# Two words, `code`", "internal/plan/KIND.go, ./internal/..., https://example.com/docs/none, /usr/local/lib/internal/none,",
		"[a](stack.md#names), [b](#two-words-code), [c](../examples/), [d](https://example.com/none), stack.hcl",
		"`make lint unit`, `relayctl plan --diff`, `--api-keys-file`, `RELAYCTL_VAR_domain`, `WORKER_SECRET=…`, `plan.Change.Block`, `relay.json`",
		"```", "while relayctl is connected, make something", "```", "",
	}, "\n"))
	if diff := cmp.Diff([]string{"there is no make something"}, k.complaints(right)); diff != "" {
		t.Errorf("complaints (-want +got):\n%s", diff)
	}
}
