package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf16"

	"github.com/spf13/cobra"

	"github.com/relayctl/relayctl/internal/plan"
)

// schemaVersion is that of everything that --json prints; docs/json.md says
// what its numbers promise, docs/relayctl.schema.json holds its fields.
const schemaVersion = "1.1"

// The types of what ends a command's output.
const (
	typePlan     = "plan"
	typeStatus   = "status"
	typeHistory  = "history"
	typeValidate = "validate"
	typeResult   = "result" // of an apply
)

var errKeysOutNeeded = errors.New("this apply makes API keys, which are never in the output of --json")

// jsonOutput is what a command prints with --json, where no text is: for an
// apply a line for everything that happens, and in any case one last document.
type jsonOutput struct {
	view     *view
	kind     string // type of the last document; empty: JSON was not asked for
	relayctl string
	now      func() time.Time

	stack string
	told  any      // the last document's own part; nil: the command did not get so far
	done  jsonDone // of an apply: told

	mu     sync.Mutex
	errors []failure
	over   bool // the last document is printed

	uploads map[string]time.Time // when that of a host was told last
}

// jsonHead begins every document.
type jsonHead struct {
	Schema string `json:"schema"`
	Type   string `json:"type"`
}

// jsonLine begins every line of an apply but the last.
type jsonLine struct {
	jsonHead
	Time time.Time `json:"time"`
}

// jsonEnd is how a command ended: the part that all last documents have.
type jsonEnd struct {
	jsonHead
	Relayctl string `json:"relayctl"`
	File     string `json:"file" text:"verbatim"`
	Stack    string `json:"stack,omitempty"`
	OK       bool   `json:"ok"`
	ExitCode int    `json:"exit_code"`
}

// takeJSON lets a command print JSON of a type instead of text.
func (a *app) takeJSON(command *cobra.Command, kind string) {
	command.Flags().Bool(jsonFlag, false, "print JSON instead of text; see docs/json.md")
	command.Annotations = map[string]string{jsonFlag: kind}
	command.PreRun = func(command *cobra.Command, _ []string) {
		if asked, err := command.Flags().GetBool(jsonFlag); err == nil && asked {
			a.printJSON(kind)
		}
	}
}

const jsonFlag = "json"

// on reports whether JSON is printed.
func (j *jsonOutput) on() bool { return j.kind != "" }

// printJSON has everything printed as JSON from now on. What goes on is drawn
// beside it on a terminal of its own only.
func (a *app) printJSON(kind string) {
	a.view.json.kind, a.view.out.silent, a.view.errs.silent = kind, true, true
	a.view.out.mask = nil // it is masked text by text, since its own words may be those of a secret
	if a.StdoutTerminal {
		a.view.live = nil
	}
}

// tell takes what the last document tells of a stack.
func (j *jsonOutput) tell(stack string, part any) { j.stack, j.told = stack, part }

func (j *jsonOutput) fail(failures ...failure) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.errors = append(j.errors, failures...)
}

func (j *jsonOutput) line(kind string) jsonLine {
	return jsonLine{jsonHead{schemaVersion, kind}, j.now().Truncate(time.Millisecond)}
}

// print prints a document as a line, unless the last one was.
func (j *jsonOutput) print(document any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.on() && !j.over {
		j.encode(document)
	}
}

// finish prints the last document. Nothing is printed after it.
func (j *jsonOutput) finish(code int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.on() || j.over {
		return
	}
	j.over = true
	end := jsonEnd{
		jsonHead: jsonHead{schemaVersion, j.kind}, Relayctl: j.relayctl, File: j.view.about.file, Stack: j.stack,
		OK: code != exitError, ExitCode: code,
	}
	j.encode(end, j.told, struct {
		Errors []failure `json:"errors"`
	}{j.errors})
}

// encode prints the fields of all parts as one document.
func (j *jsonOutput) encode(parts ...any) {
	var fields []string
	for _, part := range parts {
		if part == nil {
			continue
		}
		whole := reflect.New(reflect.TypeOf(part)).Elem()
		whole.Set(reflect.ValueOf(part))
		j.fit(whole, "")
		var b bytes.Buffer
		encoder := json.NewEncoder(&b)
		encoder.SetEscapeHTML(false)
		encoder.Encode(whole.Interface()) // of plain data to memory: never fails
		fields = append(fields, strings.TrimSuffix(strings.TrimPrefix(b.String(), "{"), "}\n"))
	}
	j.view.out.print(escaped("{"+strings.Join(fields, ",")+"}\n"), true) // the page keeps its failure
}

// fit leaves the stack's secrets out of a document, makes its texts fit for a
// terminal, on which some program will print them, a missing list an empty one,
// and times such as JSON has a form for. The tag text says of a field that its
// text has "lines", or stays "verbatim".
func (j *jsonOutput) fit(v reflect.Value, text string) {
	switch {
	case v.Type() == reflect.TypeFor[time.Time]():
		at := v.Interface().(time.Time).UTC()
		if year := at.Year(); year < 0 || year > 9999 { // as a host may tell: JSON has no form for it
			at = time.Time{}
		}
		v.Set(reflect.ValueOf(at))
	case v.Kind() == reflect.Pointer && !v.IsNil():
		own := reflect.New(v.Type().Elem())
		own.Elem().Set(v.Elem())
		j.fit(own.Elem(), text)
		v.Set(own)
	case v.Kind() == reflect.String:
		masked := j.view.mask(v.String())
		switch text {
		case "verbatim":
		case "lines":
			masked = printable(masked, "\n", false)
		default:
			masked = plan.Printable(masked, false)
		}
		v.SetString(masked)
	case v.Kind() == reflect.Slice:
		own := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
		reflect.Copy(own, v)
		for i := range own.Len() {
			j.fit(own.Index(i), text)
		}
		v.Set(own)
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			j.fit(v.Field(i), v.Type().Field(i).Tag.Get("text"))
		}
	}
}

// escaped writes what can't be seen, or changes the direction of writing, as
// JSON writes characters by number: the same document, and no terminal acts on
// it. encoding/json does that for the controls of ASCII only.
func escaped(document string) string {
	var b strings.Builder
	for _, r := range document {
		switch {
		case r == '\n' || strconv.IsPrint(r):
			b.WriteRune(r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

// seconds is a duration to the millisecond.
func seconds(d time.Duration) float64 { return float64(d.Milliseconds()) / 1000 }
