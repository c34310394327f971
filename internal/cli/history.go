package cli

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/relayctl/relayctl/internal/engine"
	"github.com/relayctl/relayctl/internal/plan"
)

type historyOptions struct {
	hostsOptions
	engine.HistoryRequest
}

// defaultLast is how many applies fill a screen.
const defaultLast = 10

func (a *app) historyCommand() *cobra.Command {
	var o historyOptions
	command := &cobra.Command{
		Use:   "history [stack.hcl]",
		Short: "Show former applies, and the originals of what was taken over",
		Long: `Show the applies of a stack as its hosts remember them, newest first: what each
did, and whether it was done, failed or was cut off. Below stands what --adopt
took over from somebody else, and how to get it back. Nothing is changed.`,
	}
	takeHosts(command, &o.hostsOptions)
	a.takeJSON(command, typeHistory)
	flags := command.Flags()
	flags.IntVar(&o.Last, "last", defaultLast, "show the last `N` applies")
	flags.IntVar(&o.Apply, "apply", 0, "show the steps of apply `N`")
	flags.StringVar(&o.Host, "host", "", "only the steps on host `NAME`, for use with --apply")
	command.RunE = func(command *cobra.Command, _ []string) error {
		switch one := command.Flags().Changed("apply"); {
		case o.Last < 1 || o.Last > engine.MaxPast:
			return fmt.Errorf("--last takes a number from 1 to %d", engine.MaxPast)
		case one && o.Apply < 1:
			return fmt.Errorf("--apply takes the number of an apply, from 1")
		case o.Host != "" && !one:
			return fmt.Errorf("--host needs --apply: the steps of one apply are shown by host")
		}
		return a.history(command.Context(), o)
	}
	return command
}

func (a *app) history(ctx context.Context, o historyOptions) error {
	return a.look(ctx, o.hostsOptions, noSecrets, func(ctx context.Context, hosts session) error {
		history, err := hosts.History(ctx, o.HistoryRequest)
		if err == nil {
			a.view.history(history, o.Apply > 0)
		}
		var told error
		if history != nil && len(history.Failed) > 0 { // what is asked for may be theirs
			told = a.view.failed(history.Failed)
		}
		return cmp.Or(a.view.failed(err), told)
	})
}

// history prints former applies, the newest first, and below them what was
// taken over; with steps, those of the one apply that it has. Times are UTC.
func (v *view) history(h *engine.History, steps bool) {
	v.json.history(h)
	if steps {
		v.pastSteps(h)
		return
	}
	switch all := len(h.Failed) == 0; {
	case all && len(h.Applies) == 0:
		v.out.printf("Stack %s: nothing was applied yet.\n", h.Stack)
		return
	case len(h.Applies) == 0:
		return
	case !all:
		v.warn("not all hosts could be asked: what they did may be missing here")
	}
	count := plural(len(h.Applies), "apply", "applies")
	if h.More {
		count = "the last " + strings.TrimPrefix(count, "1 ")
	}
	if len(h.Applies) > 1 {
		count += ", newest first"
	}
	v.out.printf("Stack %s: %s; times are UTC\n\n", v.out.paint(bold, h.Stack), count)
	width := 0
	for _, apply := range h.Applies {
		width = max(width, len(fmt.Sprint(apply.Number)))
	}
	for _, apply := range h.Applies {
		v.pastApply(apply, width)
	}
	v.out.printf("\nThe steps of one:\n  %s\n", v.again(fmt.Sprint("history --apply ", h.Applies[0].Number)))
	if h.More {
		v.out.printf("Older ones:\n  %s\n", v.again(fmt.Sprint("history --last ", min(engine.MaxPast, 10*len(h.Applies)))))
	}
	v.originals(h.Originals)
}

// pastApply prints one apply, and below it what it did; hosts where it did the
// same share a line.
func (v *view) pastApply(apply engine.PastApply, width int) {
	v.out.printf("%s", v.hanging(width+2, fmt.Sprintf("%*d", width, apply.Number), fmt.Sprintf("%s  %s by %s: %s",
		minute(apply.Began), apply.Command, apply.Operator, pastEnd(apply))))
	var texts []string
	hosts := map[string][]string{}
	for _, h := range apply.Hosts {
		text := pastWords(h.Past)
		if hosts[text] == nil {
			texts = append(texts, text)
		}
		hosts[text] = append(hosts[text], h.Host)
	}
	for _, text := range texts {
		v.out.printf("%s", v.hanging(width+4, "", someOf(hosts[text])+": "+text))
	}
}

// someOf lists hosts, and of more than 5 only the first 2.
func someOf(hosts []string) string {
	if len(hosts) <= 5 {
		return strings.Join(hosts, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(hosts[:2], ", "), len(hosts)-2)
}

// pastEnd says how an apply ended as a whole.
func pastEnd(apply engine.PastApply) string {
	if apply.State == plan.PastRunning {
		return "at work just now"
	}
	took := apply.Ended.Sub(apply.Began)
	between := " after "
	switch {
	case took < time.Second:
		return string(apply.State)
	case apply.State == plan.PastDone:
		between = " in "
	}
	return string(apply.State) + between + plan.Seconds(took)
}

// pastWords says what an apply did on a host, and how that ended.
func pastWords(p plan.Past) string {
	text := p.Summary
	switch {
	case p.State == plan.PastRunning:
		text += "; at work"
	case p.State != plan.PastCutOff:
	case p.At != nil:
		text += fmt.Sprintf("; cut off in step %d, %s", p.At.Step, p.At.ID.Title())
	case p.Steps == 0:
		text += "; cut off before its first step"
	default:
		text += fmt.Sprintf("; cut off after step %d", p.Steps)
	}
	if p.Why != "" {
		text += "; " + p.Why
	}
	return text
}

// pastSteps prints the steps of the one apply in a history, host by host.
func (v *view) pastSteps(h *engine.History) {
	apply := h.Applies[0]
	v.say(0, "Stack %s: %s %d by %s, relayctl %s, began %s UTC, %s",
		h.Stack, apply.Command, apply.Number, apply.Operator, apply.Version, apply.Began.UTC().Format(time.DateTime), pastEnd(apply))
	for _, host := range apply.Hosts {
		v.out.printf("\n%s", v.wrapped(0, host.Host+": "+pastWords(host.Past)))
		switch {
		case host.Taken != nil || host.Steps == 0:
		case host.Told:
			v.out.printf("  the journal of its steps is not kept any more\n")
		default:
			v.out.printf("  only the host itself can tell its steps\n")
		}
		for _, step := range host.Taken {
			v.pastStep(step)
		}
	}
}

func (v *view) pastStep(step plan.StepTaken) {
	end := "not ended"
	switch {
	case step.Error != "":
		end = "failed"
	case step.Done():
		end = plan.Seconds(step.Ended.Sub(step.Began))
	}
	sign, _ := v.sign(step.Action)
	how := map[plan.Action]string{plan.Take: " (as it was found)", plan.Forget: " (left as it is)", plan.PutBack: " (put back)"}[step.Action]
	v.out.printf("  %s  %9s  %s %s\n", step.Began.UTC().Format(time.TimeOnly), end, sign, v.clean(stepName(step.ID, step.Action)+how))
	if step.Error != "" {
		v.say(25, "%s", step.Error)
	}
}

// originals prints what was taken over, and how to get it back.
func (v *view) originals(originals []engine.HostOriginal) {
	if len(originals) == 0 {
		return
	}
	v.out.printf("\n")
	v.say(0, "Taken over with --adopt. The command below each brings it back, as root on its host; "+
		"then reload what reads it. As long as the host is in the stack, the next apply takes it over again, or stops at it where it is a drop-in.")
	host := ""
	for _, o := range originals {
		if o.Host != host {
			host = o.Host
			v.out.printf("\n%s\n", v.out.paint(bold, host))
		}
		was := "" // of a unit; the copy tells of a file
		switch enabled, running := wasBefore(o.Original); {
		case enabled && running:
			was = ": it was enabled and running"
		case enabled:
			was = ": it was enabled"
		case running:
			was = ": it was running"
		}
		v.say(2, "%s, by apply %d (%s)%s", o.ID.Title(), o.Number, minute(o.Time), was)
		v.out.printf("    %s\n", v.clean(bringBack(o.Original)))
	}
}

// wasBefore tells how a unit was.
func wasBefore(o plan.Original) (enabled, running bool) {
	return o.Before[plan.AttrEnabled] == plan.Yes, o.Before[plan.AttrRunning] == plan.Yes
}

// bringBack is the command that brings an original back.
func bringBack(o plan.Original) string {
	if o.Kept != "" {
		return "cp -a " + shellWord(o.Kept) + " " + shellWord(o.Name)
	}
	unit := shellWord(unitName(o.Name))
	commands := []string{"systemctl unmask " + unit}
	if o.HiddenBy != "" {
		commands = []string{"systemctl disable --now " + unit, "rm " + shellWord(o.HiddenBy), "systemctl daemon-reload"}
	}
	switch enabled, running := wasBefore(o); {
	case enabled && running:
		commands = append(commands, "systemctl enable --now "+unit)
	case enabled:
		commands = append(commands, "systemctl enable "+unit)
	case running:
		commands = append(commands, "systemctl start "+unit)
	}
	return strings.Join(commands, " && ")
}

// jsonPast is what the hosts remember.
type jsonPast struct {
	Applies   []jsonApply    `json:"applies"` // newest first
	More      bool           `json:"more"`    // there are older ones
	Originals []jsonOriginal `json:"originals"`
}

type jsonApply struct {
	Number   int            `json:"number"`
	Command  string         `json:"command"`
	Operator string         `json:"operator"`
	Version  string         `json:"version"` // of the relayctl that did it
	Began    time.Time      `json:"began"`
	Ended    time.Time      `json:"ended,omitzero"`
	State    string         `json:"state"`
	Hosts    []jsonPastHost `json:"hosts"`
}

type jsonPastHost struct {
	Name    string           `json:"name"`
	Number  int              `json:"number"`
	State   string           `json:"state"`
	Told    bool             `json:"told"` // by the host itself
	Steps   int              `json:"steps"`
	Summary string           `json:"summary"`
	Reason  string           `json:"reason,omitempty" text:"lines"`
	At      *plan.StepTaken  `json:"at,omitempty"`    // the step that it was cut off in
	Taken   []plan.StepTaken `json:"taken,omitempty"` // with --apply, where they are kept
}

type jsonOriginal struct {
	plan.ID
	Host    string    `json:"host"`
	Apply   int       `json:"apply"`
	Time    time.Time `json:"time"`
	Kept    string    `json:"kept,omitempty"`
	Enabled bool      `json:"was_enabled,omitempty"`
	Running bool      `json:"was_running,omitempty"`
	Command string    `json:"command"` // brings it back
}

// history takes what the hosts remember.
func (j *jsonOutput) history(h *engine.History) {
	past := jsonPast{More: h.More}
	for _, a := range h.Applies {
		apply := jsonApply{Number: a.Number, Command: a.Command, Operator: a.Operator, Version: a.Version, Began: a.Began, Ended: a.Ended, State: stateOf(a.State)}
		for _, host := range a.Hosts {
			apply.Hosts = append(apply.Hosts, jsonPastHost{
				Name: host.Host, Number: host.Number, State: stateOf(host.State), Told: host.Told, Steps: host.Steps,
				Summary: host.Summary, Reason: host.Why, At: host.At, Taken: host.Taken,
			})
		}
		past.Applies = append(past.Applies, apply)
	}
	for _, o := range h.Originals {
		original := jsonOriginal{ID: o.ID, Host: o.Host, Apply: o.Number, Time: o.Time, Kept: o.Kept, Command: bringBack(o.Original)}
		original.Enabled, original.Running = wasBefore(o.Original)
		past.Originals = append(past.Originals, original)
	}
	j.tell(h.Stack, past)
}

// stateOf is a state as one word.
func stateOf(state plan.PastState) string { return strings.ReplaceAll(string(state), " ", "_") }
