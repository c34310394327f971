package plan

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// Terminal attributes, as in ECMA-48.
const (
	bold   = "1"
	red    = "31"
	green  = "32"
	yellow = "33"
	cyan   = "36"
)

func (p *page) paint(code, text string) string {
	if !p.Color {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// symbol says without a colour what kind of change it is.
func (p *page) symbol(a Action) string {
	switch a {
	case Create:
		return p.paint(green, "+")
	case Update:
		return p.paint(yellow, "~")
	case Remove:
		return p.paint(red, "-")
	case Restart, Reload:
		if p.ASCII {
			return p.paint(cyan, "*")
		}
		return p.paint(cyan, "↻")
	}
	return p.paint(bold, "!")
}

// clean makes text fit for the terminal. The arrow is the one character outside
// ASCII in our own words.
func (p *page) clean(text string) string {
	if p.Mask != nil {
		text = p.Mask(text) // before it is broken into lines
	}
	if p.ASCII {
		text = strings.ReplaceAll(text, "→", "->")
	}
	return Printable(text, p.ASCII)
}

// line prints text of ours that is short.
func (p *page) line(indent int, text string) {
	p.b.WriteString(strings.Repeat(" ", indent) + p.clean(text) + "\n")
}

// wrapped prints text in words, broken at the page's width. Its first line is
// indented by first, or goes on in the line that stands at column -first.
func (p *page) wrapped(first, indent int, text string) {
	column := first
	if first >= 0 {
		p.b.WriteString(strings.Repeat(" ", first))
	} else {
		column = -first
	}
	begin := true
	for _, word := range strings.Fields(p.clean(text)) {
		if !begin && column+1+width(word) > p.Width {
			p.b.WriteString("\n" + strings.Repeat(" ", indent))
			column, begin = indent, true
		}
		if !begin {
			p.b.WriteByte(' ')
			column++
		}
		p.b.WriteString(word)
		column, begin = column+width(word), false
	}
	p.b.WriteByte('\n')
}

func width(text string) int { return utf8.RuneCountInString(text) }

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// Seconds writes a duration as people say it: 240 ms, 0.6 s, 31 s, 2 min,
// 2 min 5 s.
func Seconds(d time.Duration) string {
	switch {
	case d < 0:
		return "0 ms"
	case d < 500*time.Millisecond:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < 9950*time.Millisecond:
		return strings.TrimSuffix(fmt.Sprintf("%.1f", d.Seconds()), ".0") + " s"
	}
	s := int(d.Round(time.Second) / time.Second)
	if s < 60 {
		return fmt.Sprintf("%d s", s)
	}
	if s%60 == 0 {
		return fmt.Sprintf("%d min", s/60)
	}
	return fmt.Sprintf("%d min %d s", s/60, s%60)
}

// bytesOf writes a size as people say it.
func bytesOf(n int64) string {
	switch {
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	}
	return plural(int(n), "byte", "bytes")
}
