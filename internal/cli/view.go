package cli

import (
	"fmt"
	"io"
	"regexp"
	"strings"
	"sync"

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
	about     stackOptions   // the stack that a command is about; empty: none was named yet
	sources   *stack.Sources // its text; nil: it was not read yet
	typed     []string       // the command line, without the name of the program

	// live is the size of the terminal on which lines can be drawn again; nil:
	// there is none.
	live func() (columns, rows int)
	mask func(text string) string // leaves the stack's secrets out
	json *jsonOutput              // what is printed instead of text; nil: text is
}

// defaultWidth is for what is no terminal, and for terminals that do not say.
const defaultWidth = 80

func newView(s System) *view {
	width := s.Width
	if width <= 0 {
		width = defaultWidth
	}
	return &view{
		out:   &page{w: s.Stdout, terminal: s.StdoutTerminal, color: s.StdoutTerminal && s.wantsColor()},
		errs:  &page{w: s.Stderr, terminal: s.StderrTerminal, color: s.StderrTerminal && s.wantsColor()},
		width: width,
		ascii: !s.isUTF8(),
		live:  s.liveTerminal(),
		mask:  func(text string) string { return text },
	}
}

// keep has the secrets of a stack left out of everything that is printed from
// now on. JSON is masked text by text, since its own words may be those of a
// secret.
func (v *view) keep(sources *stack.Sources) {
	v.mask, v.sources = sources.Mask, sources
	for _, p := range []*page{v.out, v.errs} {
		p.mu.Lock()
		if p == v.errs || v.json == nil {
			p.mask = sources.Mask
		}
		p.mu.Unlock()
	}
}

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
func (v *view) wrapped(indent int, text string) string {
	return strings.Repeat(" ", indent) + v.flow(indent, indent, text)
}

// hanging is text behind a first word of ours, broken so that further lines
// stand below its own beginning.
func (v *view) hanging(indent int, first, text string) string {
	return pad(first, indent) + v.flow(indent, indent, text)
}

// say prints what was asked for.
func (v *view) say(indent int, format string, args ...any) {
	v.out.printf("%s", v.wrapped(indent, fmt.Sprintf(format, args...)))
}

// warn prints what is worth a look.
func (v *view) warn(text string) { v.out.printf("%s", v.hanging(2, "!", text)) }

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
	aside           func() // is called before anything is printed; nil: nobody minds

	mu      sync.Mutex
	w       io.Writer
	mask    func(text string) string // nil: there is nothing to leave out
	used    bool                     // something was printed
	failure error
}

// Write implements io.Writer.
func (p *page) Write(text []byte) (int, error) {
	if p.aside != nil {
		p.aside()
	}
	return len(text), p.print(string(text), true)
}

// print is Write for who is set aside by it. Not all that it prints stays.
func (p *page) print(text string, stays bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.used = p.used || stays
	if p.mask != nil {
		text = p.mask(text)
	}
	if p.failure == nil {
		_, p.failure = io.WriteString(p.w, text)
	}
	return p.failure
}

func (p *page) isUsed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.used
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

var color = regexp.MustCompile("\x1b\\[[0-9;]*m")

// unpainted is a line without its colours.
func unpainted(line string) string { return color.ReplaceAllString(line, "") }

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// valid says that a stack file is in order.
func (v *view) valid(file string, s *stack.Stack) {
	if v.json != nil {
		v.json.stack = s.Name
		return
	}
	v.out.printf("%s is valid: stack %s with proxy %s, %s and %s.\n", v.clean(file), s.Name, s.Proxy.Name,
		plural(len(s.Workers), "worker", "workers"), plural(len(s.ModelNames()), "model", "models"))
}

// rootCA prints a certificate as it is.
func (v *view) rootCA(pem string) { v.out.printf("%s\n", strings.TrimRight(pem, "\n")) }
