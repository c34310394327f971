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

// notUTF8 recognises what no line of can be quoted: another encoding, and files
// that are no text.
func notUTF8(src []byte, filename string) *hcl.Diagnostic {
	if encoding := wideEncoding(src); encoding != "" {
		return aside(encoding[:len("UTF-16")]+" text", "%s is %.6s text, and only UTF-8 is read. Save it as UTF-8 in your editor, or convert it:\n  %s",
			filename, encoding, convert8(encoding, filename))
	}
	if at := bytes.IndexByte(src, 0); at >= 0 {
		return problem(lineRange(src, filename, at), "Not a text",
			"A byte of zero stands here, which no text has: this is a program, an image, an archive or the like. Is it the right file, and is it whole?")
	}
	if at := bytes.IndexByte(src, '\r'); at >= 0 && at < len(bytes.TrimSpace(src)) && !bytes.ContainsRune(src, '\n') {
		return aside("Line ends of another kind", "The lines of %s end in CR alone, so that all of it is one line. Convert it:\n  tr '\\r' '\\n' < %s > %s",
			filename, ShellPath(filename), ShellPath(beside(filename, "lf")))
	}
	return nil
}

// wideEncoding names the encoding, as iconv calls it, of a text that begins with
// another byte order mark, or with zeros between its letters.
func wideEncoding(src []byte) string {
	begins := func(mark string) bool { return bytes.HasPrefix(src, []byte(mark)) }
	switch {
	case begins("\xff\xfe\x00\x00"), begins("\x00\x00\xfe\xff"):
		return "UTF-32"
	case begins("\xff\xfe"), begins("\xfe\xff"):
		return "UTF-16"
	case len(src) < 4:
	case src[0] != 0 && src[1] == 0 && src[2] != 0 && src[3] == 0:
		return "UTF-16LE"
	case src[0] == 0 && src[1] != 0 && src[2] == 0 && src[3] != 0:
		return "UTF-16BE"
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

// lead is what stands before the first line that is neither blank nor a comment.
const lead = `\A\x{feff}?(?:[ \t\r]*(?:(?:#|//).*)?\n)*[ \t]*`

// languages are those of other files, and what tools leave; the group is the place.
var languages = []struct {
	pattern           *regexp.Regexp
	summary, whatToDo string
}{
	{regexp.MustCompile(`(?m)^(<<<<<<<|>>>>>>>)(?: |\r?$)`), "Merge conflict",
		"Git left both sides of a conflict here. Keep one of them, and take out the lines that begin with <<<<<<<, ======= and >>>>>>>."},
	{regexp.MustCompile(`(?m)^(@@ -\d|diff --git )`), "A patch",
		"This is the difference between two files, not a file. Apply it to the former one (git apply, or patch), and give that."},
	{regexp.MustCompile(lead + `((?i)<!|<html|<\?xml)`), "A web page, or XML",
		"HCL is what is read here. When a link is saved that only shows a file, a web page comes: save the raw file."},
	{regexp.MustCompile(lead + `([{\[]|---(?:\s|$)|- |[A-Za-z_][\w.-]*:(?:\s|$))`), "JSON or YAML",
		"This looks like JSON or YAML, and HCL is what is read here: NAME = VALUE, and blocks such as stack \"home\" {}."},
}

// otherLanguage recognises, in a text that does not parse, what it is instead.
func otherLanguage(src []byte, filename string) *hcl.Diagnostic {
	for _, l := range languages {
		if m := l.pattern.FindSubmatchIndex(src); m != nil {
			return problem(lineRange(src, filename, m[2]), l.summary, "%s", l.whatToDo)
		}
	}
	return nil
}

// topLevel are the blocks that stand at the top of a stack file.
func topLevel() []string {
	return append(language().blockNames(served, later), "variable", "locals")
}

// otherFile recognises a file of HCL that is not a stack file: of another
// program, or one of variables, or an empty one.
func (l *loader) otherFile(body *hclsyntax.Body) *hcl.Diagnostic {
	var other *hclsyntax.Block
	for _, b := range body.Blocks {
		switch near, _ := Nearest(b.Type, topLevel()); {
		case near == "variable", near == "locals":
		case near != "":
			return nil
		case other == nil:
			other = b
		}
	}
	switch attributes := inOrder(body.Attributes); {
	case other != nil:
		return problem(other.DefRange(), "Not a stack file",
			"Nothing in this file belongs to a stack file: it has blocks of another program, such as %s. A stack file has the blocks stack and proxy.", quote(other.Type))
	case len(body.Blocks) == 0 && len(attributes) > 0:
		return problem(attributes[0].NameRange, "Not a stack file",
			"This file holds values and no blocks. If it is a file of variables, give it with --var-file beside the stack file.")
	case len(body.Blocks) == 0:
		return problem(hcl.Range{Filename: l.filename, Start: hcl.InitialPos, End: hcl.InitialPos}, "Empty stack file",
			"There is nothing in this file. A stack file has at least a stack and a proxy block: stack \"home\" {}, proxy \"edge\" { … }")
	}
	return nil
}

// aside is an error that has no place in a file.
func aside(summary, format string, args ...any) *hcl.Diagnostic {
	return &hcl.Diagnostic{Severity: hcl.DiagError, Summary: summary, Detail: fmt.Sprintf(format, args...)}
}

// lineRange is the rest of a line from a byte on.
func lineRange(src []byte, filename string, at int) hcl.Range {
	start, end := lineAround(src, at)
	line := 1 + bytes.Count(src[:at], []byte("\n"))
	return hcl.Range{
		Filename: filename,
		Start:    hcl.Pos{Line: line, Column: 1 + at - start, Byte: at},
		End:      hcl.Pos{Line: line, Column: 1 + end - start, Byte: end},
	}
}
