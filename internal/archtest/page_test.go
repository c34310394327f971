package archtest

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// page is one document, in Markdown.
type page struct {
	path  string // relative to the module's folder
	text  string
	spans []string // what stands between backticks
	lines []string // of code blocks, comments left out
}

var (
	spanPattern    = regexp.MustCompile("`([^`\n]+)`")
	commentPattern = regexp.MustCompile(`(^|\s)#\s.*`)
	fencePattern   = regexp.MustCompile("^\\s*```")
)

// newPage takes a document apart.
func newPage(path, text string) page {
	p := page{path: path, text: text}
	fenced, indented, before := false, false, ""
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		isIndented := strings.HasPrefix(line, "    ")
		indented = isIndented && (indented || before == "")
		before = strings.TrimSpace(line)
		switch {
		case fencePattern.MatchString(line):
			fenced = !fenced
		case fenced || indented:
			p.lines = append(p.lines, strings.TrimSpace(commentPattern.ReplaceAllString(line, "")))
		default:
			for _, span := range spanPattern.FindAllStringSubmatch(line, -1) {
				p.spans = append(p.spans, span[1])
			}
		}
	}
	return p
}

// code is all code of the page.
func (p page) code() []string { return append(append([]string{}, p.spans...), p.lines...) }

// section is the text below a heading, up to the next one.
func (p page) section(heading string) string {
	_, rest, _ := strings.Cut(p.text, "\n"+heading+"\n")
	text, _, _ := strings.Cut(rest, "\n#")
	return text
}

// readPages reads every document of the project.
func readPages(t *testing.T, root string) []page {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(root, "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir(filepath.Join(root, "docs"), func(path string, entry fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".md") {
			paths = append(paths, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	var pages []page
	for _, path := range paths {
		relative, err := filepath.Rel(root, path)
		if err != nil {
			t.Fatal(err)
		}
		pages = append(pages, newPage(filepath.ToSlash(relative), readText(t, path)))
	}
	return pages
}

func readPage(t *testing.T, root, path string) page {
	t.Helper()
	return newPage(path, readText(t, filepath.Join(root, path)))
}

func readText(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// anchors are what links into a page may name, as its readers make them of
// headings.
func anchors(text string) map[string]bool {
	found := map[string]bool{}
	for line := range strings.Lines(text) {
		heading := strings.TrimLeft(line, "#")
		if heading == line || !strings.HasPrefix(heading, " ") {
			continue
		}
		anchor := strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
				return r
			}
			return -1
		}, strings.ToLower(strings.TrimSpace(heading)))
		found[anchor] = true
	}
	return found
}
