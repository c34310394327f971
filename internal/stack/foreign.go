package stack

import (
	"bytes"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// A file that is something else than HCL gives an error on every line. What it
// is instead explains them all, and is told alone.

// magic is how files begin that are no text.
var magic = []struct{ start, what string }{
	{"\x7fELF", "a program (ELF)"}, {"MZ\x90", "a program of Windows"}, {"\x1f\x8b", "compressed (gzip)"},
	{"BZh", "compressed (bzip2)"}, {"\xfd7zXZ", "compressed (xz)"}, {"\x28\xb5\x2f\xfd", "compressed (zstd)"},
	{"PK\x03\x04", "an archive (zip) or an office document"}, {"\x89PNG", "an image (PNG)"}, {"\xff\xd8\xff", "an image (JPEG)"},
	{"GIF8", "an image (GIF)"}, {"%PDF-", "a PDF"}, {"SQLite format 3", "a database (SQLite)"},
}

// notUTF8 recognises what no line of can be quoted: another encoding, and files
// that are no text.
func notUTF8(src []byte, filename string) *hcl.Diagnostic {
	if encoding := wideEncoding(src); encoding != "" {
		name, _, _ := strings.Cut(encoding, " ")
		return aside(name+" text", "%s is %s text, and only UTF-8 is read. Save it as UTF-8 in your editor, or convert it:\n  %s",
			filename, name, convert8(strings.TrimPrefix(encoding, name+" "), filename))
	}
	for _, m := range magic {
		if bytes.HasPrefix(src, []byte(m.start)) {
			return aside("Not a text", "%s is %s, not a text. Is it the right file?", filename, m.what)
		}
	}
	if at := bytes.IndexByte(src, 0); at >= 0 {
		return problem(rangeAt(src, filename, at), "Not a text",
			"A byte of zero stands here, which no text has. Is it the right file, and is it whole?")
	}
	if at := bytes.IndexByte(src, '\r'); at >= 0 && at < len(bytes.TrimSpace(src)) && !bytes.ContainsRune(src, '\n') {
		return aside("Line ends of another kind", "The lines of %s end in CR alone, so that all of it is one line. Convert it:\n  tr '\\r' '\\n' < %s > %s",
			filename, ShellPath(filename), ShellPath(beside(filename, "lf")))
	}
	return nil
}

// wideEncoding names the encoding of a text that is told by its byte order mark,
// or by the zeros between the letters, and after a space what iconv calls it.
func wideEncoding(src []byte) string {
	for _, mark := range []struct{ start, name string }{
		{"\xff\xfe\x00\x00", "UTF-32 UTF-32"}, {"\x00\x00\xfe\xff", "UTF-32 UTF-32"},
		{"\xff\xfe", "UTF-16 UTF-16"}, {"\xfe\xff", "UTF-16 UTF-16"},
	} {
		if bytes.HasPrefix(src, []byte(mark.start)) {
			return mark.name
		}
	}
	head := src[:min(len(src), 512)]
	var zeros [2]int // at even and at odd places
	for i, b := range head {
		if b == 0 {
			zeros[i%2]++
		}
	}
	switch many := len(head) * 2 / 5; {
	case len(head) < 4:
	case zeros[1] > many && zeros[0] == 0:
		return "UTF-16 UTF-16LE"
	case zeros[0] > many && zeros[1] == 0:
		return "UTF-16 UTF-16BE"
	}
	return ""
}

// convert8 is the command that makes UTF-8 of a file.
func convert8(from, filename string) string {
	return fmt.Sprintf("iconv -f %s -t UTF-8 %s > %s", from, ShellPath(filename), ShellPath(beside(filename, "utf8")))
}

// beside names a file beside another: stack.utf8.hcl.
func beside(filename, word string) string {
	extension := filepath.Ext(filename)
	return strings.TrimSuffix(filename, extension) + "." + word + extension
}

var (
	conflictPattern = regexp.MustCompile(`(?m)^(<<<<<<<|>>>>>>>)( |\r?$)`)
	patchPattern    = regexp.MustCompile(`(?m)^(@@ -\d|diff --git )`)
	yamlPattern     = regexp.MustCompile(`^(---(\s|$)|- |[A-Za-z_][\w.-]*:(\s|$))`)
)

// otherLanguage recognises, in a text that does not parse, what language it is
// in, or what a tool left in it.
func otherLanguage(src []byte, filename string) *hcl.Diagnostic {
	if m := conflictPattern.FindIndex(src); m != nil {
		return problem(lineRange(src, filename, m[0]), "Merge conflict",
			"Git left both sides of a conflict here. Keep one of them, and take out the lines that begin with <<<<<<<, ======= and >>>>>>>.")
	}
	if m := patchPattern.FindIndex(src); m != nil {
		return problem(lineRange(src, filename, m[0]), "A patch",
			"This is the difference between two files, not a file. Apply it to the former one (git apply, or patch), and give that.")
	}
	first := firstLine(src)
	at := lineRange(src, filename, first)
	switch text := src[first:]; {
	case bytes.HasPrefix(text, []byte("<?xml")):
		return problem(at, "XML", "This is XML. A stack file is written in HCL.")
	case bytes.HasPrefix(text, []byte("<!")), bytes.HasPrefix(bytes.ToLower(text), []byte("<html")):
		return problem(at, "A web page", "This is a web page (HTML), as it comes when a link is saved that only shows the file. Save the raw file.")
	case bytes.HasPrefix(text, []byte("{")), bytes.HasPrefix(text, []byte("[")):
		return problem(at, "JSON", "This looks like JSON, and HCL is what is read here: NAME = VALUE, and blocks such as stack \"home\" {}.")
	case yamlPattern.Match(text):
		return problem(at, "YAML", "This looks like YAML, and HCL is what is read here: NAME = VALUE, and blocks such as stack \"home\" {}.")
	}
	return nil
}

// firstLine finds the first line that is neither blank nor a comment.
func firstLine(src []byte) int {
	at := 0
	if bytes.HasPrefix(src, []byte("\ufeff")) {
		at = len("\ufeff")
	}
	for at < len(src) {
		_, end := lineAround(src, at)
		line := bytes.TrimLeft(src[at:end], " \t\r")
		if len(line) > 0 && line[0] != '#' && !bytes.HasPrefix(line, []byte("//")) {
			return end - len(line)
		}
		at = end + 1
	}
	return 0
}

// topLevel are the blocks that stand at the top of a stack file.
func topLevel() []string {
	return append(language().blockNames(served, later), "variable", "locals")
}

// otherFile recognises a file of HCL that is not a stack file: of another
// program, or one of variables, or an empty one.
func (l *loader) otherFile(body *hclsyntax.Body) *hcl.Diagnostic {
	known := topLevel()
	var others []string
	var at hcl.Range
	for _, b := range body.Blocks {
		_, near := Nearest(b.Type, known)
		switch {
		case near && b.Type != "variable" && b.Type != "locals":
			return nil
		case near:
			continue
		case len(others) == 0:
			at = b.DefRange()
		}
		others = append(others, b.Type)
	}
	start := hcl.Range{Filename: l.filename, Start: hcl.InitialPos, End: hcl.InitialPos}
	switch attributes := inOrder(body.Attributes); {
	case len(others) > 0:
		return problem(at, "Not a stack file",
			"Nothing in this file belongs to a stack file: it has blocks of another program, such as %s. A stack file has the blocks stack and proxy.", quote(others[0]))
	case len(body.Blocks) == 0 && len(attributes) > 0:
		return problem(attributes[0].NameRange, "Not a stack file",
			"This file holds values and no blocks. If it is a file of variables, give it with --var-file beside the stack file.")
	case len(body.Blocks) == 0:
		return problem(start, "Empty stack file",
			"There is nothing in this file. A stack file has at least a stack and a proxy block: stack \"home\" {}, proxy \"edge\" { … }")
	}
	return nil
}

// aside is an error that has no place in a file.
func aside(summary, format string, args ...any) *hcl.Diagnostic {
	return &hcl.Diagnostic{Severity: hcl.DiagError, Summary: summary, Detail: fmt.Sprintf(format, args...)}
}

// rangeAt is the range of one byte of a file.
func rangeAt(src []byte, filename string, at int) hcl.Range {
	start, _ := lineAround(src, at)
	pos := hcl.Pos{Line: 1 + bytes.Count(src[:at], []byte("\n")), Column: 1 + at - start, Byte: at}
	end := pos
	end.Byte++
	end.Column++
	return hcl.Range{Filename: filename, Start: pos, End: end}
}

// lineRange is the rest of a line from a byte on.
func lineRange(src []byte, filename string, at int) hcl.Range {
	r := rangeAt(src, filename, at)
	_, end := lineAround(src, at)
	r.End.Column += end - at - 1
	r.End.Byte = end
	return r
}
