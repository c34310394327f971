package cli

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"time"
	"unicode/utf16"

	"github.com/spf13/cobra"

	"github.com/relayctl/relayctl/internal/engine"
)

var (
	errYesNeeded     = errors.New("apply --json asks nobody, so it goes with --yes")
	errKeysOutNeeded = errors.New("this apply makes API keys, which are never in the output of --json")
)

// jsonOutput is what a command prints with --json: for an apply a line for
// everything that happens, and in any case one last document.
type jsonOutput struct {
	view     *view
	kind     string // type of the last document
	relayctl string
	now      func() time.Time

	stack   string
	planned *jsonPlanned
	seen    *jsonSeen
	done    *jsonDone
	past    *jsonPast

	mu     sync.Mutex
	errors []jsonError
	over   bool // the last document is printed

	uploads map[string]time.Time // when that of a host was told last
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

// printJSON has everything printed as JSON from now on. What goes on is drawn
// beside it on a terminal of its own only.
func (a *app) printJSON(kind string) {
	a.view.json = &jsonOutput{view: a.view, kind: kind, relayctl: a.Version, now: a.Now, uploads: map[string]time.Time{}}
	if a.StdoutTerminal {
		a.view.live = nil
	}
}

// wantsJSON reports whether a command line that can't be read asks for JSON.
func (a *app) wantsJSON(command *cobra.Command) bool {
	return command.Annotations[jsonFlag] != "" && slices.Contains(a.Args, "--"+jsonFlag)
}

// print prints a document as a line, unless the last one was.
func (j *jsonOutput) print(document any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.over {
		j.encode(document)
	}
}

// jsonString is a text in a document, or with the colon a key.
var jsonString = regexp.MustCompile(`"(?:[^"\\]|\\.)*":?`)

// encode prints a document, with the stack's secrets left out of its texts.
func (j *jsonOutput) encode(document any) {
	encoded := j.marshal(document)
	masked := jsonString.ReplaceAllFunc(encoded, func(quoted []byte) []byte {
		var text string
		if err := json.Unmarshal(quoted, &text); err != nil { // a key, with its colon
			return quoted
		}
		if masked := j.view.mask(text); masked != text {
			return bytes.TrimSuffix(j.marshal(masked), []byte("\n"))
		}
		return quoted
	})
	j.view.out.Write(escaped(masked)) // the page keeps its failure
}

// escaped writes what can't be seen, or changes the direction of writing, as
// JSON writes characters by number: the same document, and no terminal acts on
// it. encoding/json does that for the controls of ASCII only.
func escaped(document []byte) []byte {
	var b bytes.Buffer
	for _, r := range string(document) {
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
	return b.Bytes()
}

func (j *jsonOutput) marshal(document any) []byte {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.Encode(document) // of plain data to memory: never fails
	return b.Bytes()
}

func (j *jsonOutput) fail(failures ...jsonError) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.errors = append(j.errors, failures...)
}

func (j *jsonOutput) line(kind string) jsonLine {
	return jsonLine{jsonHead{schemaVersion, kind}, j.now().UTC().Truncate(time.Millisecond)}
}

// finish prints the last document. Nothing is printed after it.
func (j *jsonOutput) finish(code int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.over {
		return
	}
	j.over = true
	end := jsonEnd{
		jsonHead: jsonHead{schemaVersion, j.kind}, Relayctl: j.relayctl, File: j.view.about.file, Stack: j.stack,
		OK: code != exitError, ExitCode: code,
	}
	failures := j.errors
	if failures == nil {
		failures = []jsonError{}
	}
	switch j.kind {
	case typePlan:
		j.encode(jsonPlan{end, j.planned, failures})
	case typeStatus:
		j.encode(jsonStatus{end, j.seen, failures})
	case typeHistory:
		j.encode(jsonHistory{end, j.past, failures})
	case typeValidate:
		j.encode(jsonValidate{end, failures})
	default:
		j.encode(jsonResult{end, j.done, failures})
	}
}

// plan takes a plan; an apply prints it at once.
func (j *jsonOutput) plan(planned *engine.Planned, diff bool) {
	j.stack = planned.Stack
	j.planned = j.plannedOf(planned, diff)
	if j.kind == typeResult {
		j.print(jsonPlannedLine{j.line(typePlanned), planned.Stack, *j.planned})
	}
}

// outcome prints how an apply ended on the hosts.
func (j *jsonOutput) outcome(outcome *engine.Outcome) {
	j.done = &jsonDone{TookSeconds: seconds(outcome.Took), NewKeys: []jsonKeys{}}
	line := jsonOutcomeLine{j.line(typeOutcome), []jsonHostOutcome{}}
	for _, h := range outcome.Hosts {
		j.done.Created, j.done.Changed, j.done.Removed = j.done.Created+h.Created, j.done.Changed+h.Changed, j.done.Removed+h.Removed
		line.Hosts = append(line.Hosts, jsonHostOutcome{
			Name: printable(h.Name), OK: h.OK, Done: h.Done, Steps: h.Steps, Created: h.Created, Changed: h.Changed, Removed: h.Removed, Skipped: printable(h.Skipped),
		})
	}
	j.print(line)
}

// proof prints what the models answered.
func (j *jsonOutput) proof(proof engine.Proof) {
	line := jsonProofLine{j.line(typeProof), proof.URL, proof.Route, printables(proof.Detours), []jsonModel{}}
	if proof.Err != nil {
		j.fail(j.view.relayErrorOf(proof.Err))
	}
	for _, m := range proof.Models {
		line.Models = append(line.Models, modelOf(m))
		if m.Err != nil && proof.Err == nil {
			j.fail(j.view.modelErrorOf(m.Err))
		}
	}
	j.done.URL = proof.URL
	j.print(line)
}

// keys says where new keys are.
func (j *jsonOutput) keys(names []string, delivery keyDelivery) {
	for _, name := range names {
		_, file := delivery.reveal(name)
		j.done.NewKeys = append(j.done.NewKeys, jsonKeys{name, file})
	}
}

// uploadsTold is the least time between two lines about one upload.
const uploadsTold = time.Second

// hear prints an event of an apply.
func (j *jsonOutput) hear(e engine.Event) {
	kind := typeProgress
	switch e.Phase {
	case engine.NewHostKey:
		kind = typeHostKey
	case engine.Done:
		kind = typeStepDone
	case engine.Finished:
		kind = typeHostDone
	case engine.Failed:
		kind = typeHostFailed
	case engine.Uploading:
		if time.Since(j.uploads[e.Host]) < uploadsTold && e.Sent < e.Size {
			return
		}
		j.uploads[e.Host] = time.Now()
	}
	event := jsonEvent{
		jsonLine: j.line(kind), Host: printable(e.Host), Resource: resourceOf(e.ID), Action: e.Action, Step: e.Step, Steps: e.Steps,
		SentBytes: e.Sent, SizeBytes: e.Size, Seconds: seconds(e.Took), Message: printable(doing(e)),
	}
	if kind == typeProgress {
		event.Phase = e.Phase
	} else {
		event.Message = printable(happened(e))
	}
	j.print(event)
}

// seconds is a duration to the millisecond.
func seconds(d time.Duration) float64 { return float64(d.Milliseconds()) / 1000 }
