package cli_test

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"
)

// terminal understands the few control sequences that relayctl uses, as an
// xterm does: a line that reaches the last column is broken when the next
// character comes, what scrolls off the top is gone, and a terminal that
// becomes narrower breaks its lines anew.
type terminal struct {
	mu            sync.Mutex
	columns, rows int
	lines         []row // on the screen, from the top
	x, y          int
	cuts          bool     // lines are cut at the last column, not broken
	wrote         int      // see writes
	unknown       []string // control sequences that it does not understand
}

// row is one line of the screen: a character for each column, the second half
// of a wide one being empty.
type row struct {
	cells  []string
	broken bool // the next row goes on where this one ends
}

func newTerminal(columns, rows int) *terminal {
	return &terminal{columns: columns, rows: rows, lines: []row{{}}}
}

func (t *terminal) size() (columns, rows int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.columns, t.rows
}

var control = regexp.MustCompile(`^\x1b\[([0-9;?]*)([A-Za-z])`)

// Write implements io.Writer.
func (t *terminal) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.wrote++
	text := string(p)
	for text != "" {
		if m := control.FindStringSubmatch(text); m != nil {
			t.sequence(m[1], m[2])
			text = text[len(m[0]):]
			continue
		}
		r, size := utf8.DecodeRuneInString(text)
		t.put(r)
		text = text[size:]
	}
	return len(p), nil
}

func (t *terminal) sequence(parameter, name string) {
	n, err := strconv.Atoi(parameter)
	if err != nil {
		n = 1
	}
	line := &t.lines[t.y]
	switch {
	case name == "A":
		t.y = max(0, t.y-n)
	case name == "K" && parameter == "":
		line.cells, line.broken = line.cells[:min(t.x, len(line.cells))], false
	case name == "J" && parameter == "":
		line.cells, line.broken = line.cells[:min(t.x, len(line.cells))], false
		t.lines = t.lines[:t.y+1]
	case parameter == "?7" && (name == "h" || name == "l"):
		t.cuts = name == "l"
	case name == "m": // colours
	default:
		t.unknown = append(t.unknown, fmt.Sprintf("%q", "\x1b["+parameter+name))
	}
}

func (t *terminal) put(r rune) {
	switch {
	case r == '\r':
		t.x = 0
		return
	case r == '\n': // the terminal driver makes \r\n of it
		t.down()
		return
	case r < ' ' || r == utf8.RuneError:
		t.unknown = append(t.unknown, fmt.Sprintf("%q", r))
		return
	case r >= 0x300 && r < 0x370: // marks
		if line := t.lines[t.y].cells; t.x > 0 && t.x <= len(line) {
			line[t.x-1] += string(r)
		}
		return
	}
	wide := r >= 0x1100 && r < 0x1160 || r >= 0x2e80 && r < 0xa4d0 || r >= 0xac00 && r < 0xd7b0 || r >= 0xff00 && r < 0xff61 || r >= 0x1f300 && r < 0x1fb00
	size := 1
	if wide {
		size = 2
	}
	switch {
	case t.x+size <= t.columns:
	case t.cuts:
		t.x = max(0, t.columns-size) // the last character is written over
	default:
		t.lines[t.y].broken = true
		t.down()
	}
	line := &t.lines[t.y]
	for len(line.cells) < t.x+size {
		line.cells = append(line.cells, " ")
	}
	line.cells[t.x] = string(r)
	if wide {
		line.cells[t.x+1] = ""
	}
	t.x += size
}

// down moves the cursor to the beginning of the next line; the screen scrolls
// where there is none.
func (t *terminal) down() {
	t.x, t.y = 0, t.y+1
	if t.y == len(t.lines) {
		t.lines = append(t.lines, row{})
	}
	if len(t.lines) > t.rows {
		t.lines = t.lines[1:]
		t.y--
	}
}

// resize gives the terminal another size and breaks lines anew that do not
// fit, as most terminals do.
func (t *terminal) resize(columns, rows int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var lines []row
	for _, line := range t.lines {
		for len(line.cells) > columns {
			lines = append(lines, row{line.cells[:columns:columns], true})
			line.cells = line.cells[columns:]
		}
		lines = append(lines, line)
	}
	t.columns, t.rows = columns, rows
	t.lines = lines[max(0, len(lines)-rows):]
	t.y = len(t.lines) - 1
}

// screen is what is to be seen, less blanks at the end of lines.
func (t *terminal) screen() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var b strings.Builder
	for _, line := range t.lines {
		b.WriteString(strings.TrimRight(strings.Join(line.cells, ""), " ") + "\n")
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}

// writes is how often something was written.
func (t *terminal) writes() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.wrote
}

// breaks reports whether any of the last n lines goes on in the next.
func (t *terminal) breaks(n int) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.ContainsFunc(t.lines[max(0, len(t.lines)-n):], func(r row) bool { return r.broken })
}

// atRest reports whether the cursor stands at the beginning of an empty line
// at the end.
func (t *terminal) atRest() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.x == 0 && t.y == len(t.lines)-1 && len(t.lines[t.y].cells) == 0
}
