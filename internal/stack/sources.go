package stack

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/relayctl/relayctl/internal/secret"
)

// Sources holds the files that a stack was read from, to quote lines of them,
// and knows which parts of them are never quoted, and the secrets of the stack.
// The zero value knows no file, and no secret.
type Sources struct {
	files   map[string]source
	secrets secret.Texts
}

// source is one file.
type source struct {
	src    []byte
	body   *hclsyntax.Body // as much of it as could be parsed
	masked []span          // in order, once all secrets are known
}

// span is a piece of a file, in bytes, and what is quoted in its place.
type span struct {
	start, end int
	text       string
}

func masked(start, end int) span { return span{start, end, secret.Mask} }

func newSources() *Sources { return &Sources{files: map[string]source{}} }

// add takes a file, and the spans of it that are never quoted.
func (s *Sources) add(filename string, src []byte, body *hclsyntax.Body, masked []span) {
	s.files[filename] = source{src, body, masked}
}

// Mask gives a text with the stack's secrets left out, whoever wrote it.
func (s *Sources) Mask(text string) string {
	if s == nil {
		return text
	}
	return s.secrets.Mask(text)
}

// conceal is called when all secrets are known. It masks them in the files,
// wherever they stand, and in what was reported.
func (s *Sources) conceal(diags hcl.Diagnostics) {
	for name, f := range s.files {
		for _, found := range s.secrets.Find(string(f.src)) {
			f.masked = append(f.masked, masked(found[0], found[1]))
		}
		slices.SortFunc(f.masked, func(a, b span) int { return a.start - b.start })
		s.files[name] = f
	}
	for _, d := range diags {
		d.Summary, d.Detail = s.Mask(d.Summary), s.Mask(d.Detail)
	}
}

// Snippet shows where something stands in the stack file, for messages about
// what went wrong with it later:
//
//	stack.hcl line 41, in worker "gpu-1":
//	41:   model "llama3-8b" {
//
// Secrets written in the file are masked. It is empty for a range of no file.
func (s *Sources) Snippet(r hcl.Range) string {
	if s == nil {
		return ""
	}
	f, ok := s.files[r.Filename]
	if !ok || r.Start.Line < 1 {
		return ""
	}
	return fmt.Sprintf("  %s line %d%s:\n%s", r.Filename, r.Start.Line, f.inside(r), f.quote(r, 0, "", ""))
}

// inside names the blocks around a place, outermost first: `, in proxy "edge"`.
func (f source) inside(r hcl.Range) string {
	var names []string
	for body := f.body; body != nil; {
		around := enclosing(body, r.Start.Byte)
		if around == nil {
			break
		}
		names = append(names, f.header(around))
		body = around.Body
	}
	if len(names) == 0 {
		return ""
	}
	return ", in " + strings.Join(names, ", ")
}

// Block names the blocks around a place, outermost first: `worker "gpu-1",
// model "llama3-8b"`. It is empty outside of blocks, and for a range of no file.
func (s *Sources) Block(r hcl.Range) string {
	return strings.TrimPrefix(s.files[r.Filename].inside(r), ", in ")
}

// enclosing finds the block whose braces a byte stands between.
func enclosing(body *hclsyntax.Body, at int) *hclsyntax.Block {
	for _, b := range body.Blocks {
		if at >= b.OpenBraceRange.End.Byte && at <= b.CloseBraceRange.Start.Byte {
			return b
		}
	}
	return nil
}

// header names a block by its type and label as they stand in the file.
func (f source) header(b *hclsyntax.Block) string {
	if len(b.Labels) != 1 || b.LabelRanges[0].Start.Line != b.LabelRanges[0].End.Line {
		return printable(b.Type)
	}
	label := b.LabelRanges[0]
	return printable(b.Type + " " + f.reveal(span{start: label.Start.Byte, end: label.End.Byte}, false))
}

// quote shows the first line of a range, masked, cut to width columns (0: not
// cut), with the range itself between on and off.
func (f source) quote(r hcl.Range, width int, on, off string) string {
	start, end := lineAround(f.src, r.Start.Byte)
	from, to := min(max(r.Start.Byte, start), end), min(max(r.End.Byte, start), end)
	var pieces [3]string
	for i, part := range []span{{start: start, end: from}, {start: from, end: to}, {start: to, end: end}} {
		pieces[i] = printable(f.reveal(part, i > 0))
	}
	if width > 0 {
		cut(pieces[:], width-6)
	}
	if pieces[1] != "" {
		pieces[1] = on + pieces[1] + off
	}
	return strings.TrimRight(fmt.Sprintf("%4d: %s", r.Start.Line, strings.Join(pieces[:], "")), " ") + "\n"
}

// lineAround finds the line that a byte stands in, without its end.
func lineAround(src []byte, at int) (start, end int) {
	at = min(max(at, 0), len(src))
	start = bytes.LastIndexByte(src[:at], '\n') + 1
	end = len(src)
	if i := bytes.IndexByte(src[at:], '\n'); i >= 0 {
		end = at + i
	}
	return start, end
}

// reveal gives the text of part, with what is masked in it replaced. goesOn says
// that what stands before part is shown too: what is masked there is not
// replaced again.
func (f source) reveal(part span, goesOn bool) string {
	var b strings.Builder
	at, end := part.start, -1 // of what was written, and of the masks before
	for _, m := range f.masked {
		if m.start >= min(m.end, part.end) || m.end <= part.start && !goesOn {
			continue
		}
		isNew := m.start > end && (m.start >= part.start || !goesOn)
		end = max(end, m.end)
		if m.end <= at {
			continue
		}
		b.Write(f.src[at:max(at, m.start)])
		if isNew {
			b.WriteString(m.text)
		}
		at = min(m.end, part.end)
	}
	b.Write(f.src[at:part.end])
	return b.String()
}

// text is the whole of a file, masked.
func (s *Sources) text(filename string) string {
	f := s.files[filename]
	return f.reveal(span{end: len(f.src)}, false)
}

// Line is the range of a whole line, from 1, of a file that the stack was read
// from: what is known only by its line can be quoted by Snippet, too. A line
// that does not exist has a range of no file.
func (s *Sources) Line(filename string, line int) hcl.Range {
	start := 0
	for i, text := range bytes.SplitAfter(s.files[filename].src, []byte("\n")) {
		if end := start + len(bytes.TrimSuffix(text, []byte("\n"))); i+1 == line && s.files[filename].src != nil {
			return hcl.Range{
				Filename: filename,
				Start:    hcl.Pos{Line: line, Column: 1, Byte: start},
				End:      hcl.Pos{Line: line, Column: 1 + end - start, Byte: end},
			}
		}
		start += len(text)
	}
	return hcl.Range{}
}

// printable makes a text safe for a terminal: tabs become two spaces, other
// control characters and broken UTF-8 a replacement character.
func printable(s string) string {
	s = strings.TrimSuffix(s, "\r")
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return utf8.RuneError
	}, strings.ReplaceAll(s, "\t", "  "))
}

// cut shortens pieces of one line to width columns together.
func cut(pieces []string, width int) {
	for i, piece := range pieces {
		runes := []rune(piece)
		if len(runes) > width {
			pieces[i] = string(runes[:max(width-1, 0)]) + "…"
			clear(pieces[i+1:])
			return
		}
		width -= len(runes)
	}
}
