package cli

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"github.com/relayctl/relayctl/internal/plan"
	"github.com/relayctl/relayctl/internal/stack"
)

// view prints everything that relayctl prints, but for cobra's help. What a
// command was asked for goes to out, what happens meanwhile and what went wrong
// to errs, so that the former can be piped on.
type view struct {
	out, errs *page
	width     int
	ascii     bool
	command   string         // that changes hosts: the one that runs, else apply
	about     stackOptions   // the stack that a command is about; empty: none was named yet
	sources   *stack.Sources // its text; nil: it was not read yet
	typed     []string       // the command line, without the name of the program

	// live is the size of the terminal on which lines can be drawn again; nil:
	// there is none.
	live    func() (columns, rows int)
	secrets secrets     // are left out of everything
	json    *jsonOutput // takes all that is told as well, for --json
}

// defaultWidth is for what is no terminal, and for terminals that do not say.
const defaultWidth = 80

func newView(s System) *view {
	v := &view{
		out:     &page{w: s.Stdout, terminal: s.StdoutTerminal, color: s.StdoutTerminal && s.wantsColor()},
		errs:    &page{w: s.Stderr, terminal: s.StderrTerminal, color: s.StderrTerminal && s.wantsColor()},
		width:   cmp.Or(max(0, s.Width), defaultWidth),
		ascii:   !s.isUTF8(),
		command: "apply",
		typed:   s.Args,
		live:    s.liveTerminal(),
	}
	v.out.mask, v.errs.mask = v.mask, v.mask
	v.json = &jsonOutput{view: v, relayctl: s.Version, now: s.Now, uploads: map[string]time.Time{}}
	return v
}

// keep has the secrets of a stack left out of everything that is printed from
// now on.
func (v *view) keep(sources *stack.Sources) {
	v.sources = sources
	v.secrets.ofStack(sources)
}

// mask leaves secrets out of a text.
func (v *view) mask(text string) string { return v.secrets.mask(text) }

// err is why something that was asked for could not be printed.
func (v *view) err() error {
	v.out.mu.Lock()
	defer v.out.mu.Unlock()
	if v.out.failure != nil {
		return fmt.Errorf("print: %w", v.out.failure)
	}
	return nil
}

// clean makes text fit for the terminal, line by line. The arrow is the one
// character outside ASCII in our own words.
func (v *view) clean(text string) string {
	text = v.mask(text) // before it is broken into lines
	if v.ascii {
		text = strings.ReplaceAll(text, "→", "->")
	}
	return plan.Printable(text, v.ascii)
}

// printable is plan.Printable for what stands between separators, which stay.
func printable(text, separator string, ascii bool) string {
	parts := strings.Split(text, separator)
	for i := range parts {
		parts[i] = plan.Printable(parts[i], ascii)
	}
	return strings.Join(parts, separator)
}

// again is stackOptions.again for the stack that is told about.
func (v *view) again(command string) string { return v.clean(v.about.again(command)) }

// columns is how many columns of a terminal a text takes that is fit for it.
func columns(text string) int { return utf8.RuneCountInString(text) }

// fit cuts a text to at most max columns; what is cut shows by the ellipsis.
func (v *view) fit(text string, max int) string {
	ellipsis := "…"
	if v.ascii {
		ellipsis = "..."
	}
	left := max - columns(ellipsis)
	switch {
	case columns(text) <= max:
		return text
	case left < 0:
		return ""
	}
	return string([]rune(text)[:left]) + ellipsis
}

// flow breaks text at spaces so that it fits the width. Its first line goes on
// at a column, the others are indented. Words are cleaned.
func (v *view) flow(column, indent int, text string) string {
	var b strings.Builder
	begin := true
	for word := range strings.FieldsSeq(v.clean(text)) {
		if !begin && column+1+columns(word) > v.width {
			b.WriteString("\n" + strings.Repeat(" ", indent))
			column, begin = indent, true
		}
		if !begin {
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column, begin = column+columns(word), false
	}
	return b.String() + "\n"
}

// wrapped is text of which every line is indented.
func (v *view) wrapped(indent int, text string) string { return v.hanging(indent, "", text) }

// hanging is text behind a first word of ours, broken so that further lines
// stand below its own beginning.
func (v *view) hanging(indent int, first, text string) string {
	return fmt.Sprintf("%-*s%s", indent, first, v.flow(indent, indent, text))
}

// paragraphs is wrapped for each line of a text of ours. An indented line is a
// command, which is not broken.
func (v *view) paragraphs(indent int, text string) string {
	var b strings.Builder
	for line := range strings.Lines(text) {
		if line = strings.TrimRight(line, "\n"); strings.HasPrefix(line, "  ") {
			b.WriteString(strings.Repeat(" ", indent) + v.clean(line) + "\n")
			continue
		}
		b.WriteString(v.wrapped(indent, line))
	}
	return b.String()
}

// say prints what was asked for.
func (v *view) say(indent int, format string, args ...any) {
	v.out.printf("%s", v.wrapped(indent, fmt.Sprintf(format, args...)))
}

// warn prints what is worth a look.
func (v *view) warn(text string) { v.out.printf("%s", v.hanging(2, "!", text)) }

// gap leaves a blank line between what is on the screen already and what comes.
func (v *view) gap() {
	if v.errs.used.Load() || v.out.used.Load() {
		v.errs.printf("\n")
	}
}

// table prints rows in columns that line up.
func (v *view) table(rows [][]string) {
	w := tabwriter.NewWriter(v.out, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		for i, cell := range row {
			row[i] = v.clean(cell)
		}
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	w.Flush() // the page keeps its failure
}

// logLines is how much of a log is shown: what fits a screen beside the rest.
const logLines = 12

func (v *view) log(to *page, indent int, lines []string) {
	for _, line := range lines[max(0, len(lines)-logLines):] {
		to.printf("%s%s\n", strings.Repeat(" ", indent), v.clean(strings.TrimRight(line, "\n")))
	}
}

// sign says without a colour what an action does, and which colour goes with
// it. What changes nothing has none.
func (v *view) sign(action plan.Action) (sign, color string) {
	switch action {
	case plan.Create:
		return "+", green
	case plan.Update, plan.PutBack:
		return "~", yellow
	case plan.Remove:
		return "-", red
	case plan.Restart, plan.Reload:
		if v.ascii {
			return "*", cyan
		}
		return "↻", cyan
	case plan.Attention:
		return "!", bold
	}
	return " ", ""
}

// page is where something is printed. It remembers the first failure, so that
// what prints need not ask every time.
type page struct {
	terminal, color bool
	silent          bool   // text is not printed
	aside           func() // is called before anything is printed; nil: nobody minds

	used    atomic.Bool // something was printed that stays
	mu      sync.Mutex
	w       io.Writer
	mask    func(text string) string // nil: what is printed is masked already
	failure error
}

// Write implements io.Writer.
func (p *page) Write(text []byte) (int, error) {
	if p.silent {
		return len(text), nil
	}
	if p.aside != nil {
		p.aside()
	}
	return len(text), p.print(string(text), true)
}

// print is Write for who is set aside by it, and for what is no text. Not all
// that it prints stays.
func (p *page) print(text string, stays bool) error {
	if stays {
		p.used.Store(true)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mask != nil {
		text = p.mask(text)
	}
	if p.failure == nil {
		_, p.failure = io.WriteString(p.w, text)
	}
	return p.failure
}

func (p *page) printf(format string, args ...any) { fmt.Fprintf(p, format, args...) }

// Terminal attributes, as in ECMA-48.
const (
	bold    = "1"
	red     = "31"
	green   = "32"
	yellow  = "33"
	cyan    = "36"
	boldRed = "1;31"
)

func (p *page) paint(code, text string) string {
	if !p.color || code == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// names lists the names of things.
func names[T any](list []T, name func(T) string) []string {
	var all []string
	for _, one := range list {
		all = append(all, name(one))
	}
	return all
}

// filter lists the things that are kept.
func filter[T any](list []T, keep func(T) bool) []T {
	return slices.DeleteFunc(slices.Clone(list), func(one T) bool { return !keep(one) })
}

// minute writes a moment as people need it, in UTC.
func minute(at time.Time) string { return at.UTC().Format("2006-01-02 15:04") }

// bothNames names a host, and the worker that the proxy's machine is as well.
func bothNames[R ~string](host string, role R, worker string) string {
	if string(role) == string(plan.RoleProxy) && worker != "" {
		return host + ", " + worker
	}
	return host
}
