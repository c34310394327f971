package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/relayctl/relayctl/internal/engine"
	"github.com/relayctl/relayctl/internal/plan"
)

// history prints former applies, the newest first, and below them what was
// taken over. Times are UTC, as in the reasons of a plan.
// With steps it has one apply, of which the steps are printed.
func (v *view) history(h *engine.History, steps bool) {
	switch {
	case v.json != nil:
		v.json.history(h)
		return
	case steps:
		v.pastSteps(h)
		return
	}
	if len(h.Applies) == 0 {
		if len(h.Failed) == 0 {
			v.out.printf("Stack %s: nothing was applied yet.\n", h.Stack)
		}
		return
	}
	if len(h.Failed) > 0 {
		v.warn("not all hosts could be asked: what they did may be missing here")
	}
	count := plural(len(h.Applies), "apply", "applies")
	switch {
	case h.More && len(h.Applies) == 1:
		count = "the last apply"
	case h.More:
		count = "the last " + count
	}
	if len(h.Applies) > 1 {
		count += ", newest first"
	}
	v.out.printf("Stack %s: %s; times are UTC\n\n", v.out.paint(bold, h.Stack), count)
	width := len(fmt.Sprint(h.Applies[0].Number))
	for _, apply := range h.Applies {
		width = max(width, len(fmt.Sprint(apply.Number)))
	}
	for _, apply := range h.Applies {
		v.pastApply(apply, width)
	}
	v.out.printf("\nThe steps of one:\n  %s\n", v.clean(v.about.again(fmt.Sprint("history --apply ", h.Applies[0].Number))))
	if h.More {
		v.out.printf("Older ones:\n  %s\n", v.clean(v.about.again(fmt.Sprint("history --last ", min(engine.MaxPast, 10*len(h.Applies))))))
	}
	v.originals(h.Originals)
}

// pastApply prints one apply, and below it what it did; hosts where it did the
// same share a line.
func (v *view) pastApply(apply engine.PastApply, width int) {
	v.out.printf("%s", v.hanging(width+2, fmt.Sprintf("%*d", width, apply.Number), fmt.Sprintf("%s  %s by %s: %s",
		apply.Began.UTC().Format("2006-01-02 15:04"), apply.Command, apply.Operator, pastEnd(apply))))
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

// manyHosts is from when on not all names are told.
const manyHosts = 6

// someOf lists hosts, and of many only the first.
func someOf(hosts []string) string {
	if len(hosts) < manyHosts {
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
	switch {
	case took < time.Second:
		return string(apply.State)
	case apply.State == plan.PastDone:
		return "done in " + plan.Seconds(took)
	}
	return string(apply.State) + " after " + plan.Seconds(took)
}

// pastWords says what an apply did on a host, and how that ended.
func pastWords(p plan.Past) string {
	text := p.Summary
	switch {
	case p.State == plan.PastRunning:
		text += "; at work"
	case p.State != plan.PastCutOff:
	case p.At != nil:
		text += fmt.Sprintf("; cut off in step %d, %s", p.At.Step, thing(p.At.ID))
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
	name := stepName(step.ID, step.Action)
	switch step.Action {
	case plan.Take:
		name += " (as it was found)"
	case plan.Forget:
		name += " (left as it is)"
	case plan.PutBack:
		name += " (put back)"
	}
	v.out.printf("  %s  %9s  %s %s\n", step.Began.UTC().Format(time.TimeOnly), end, sign, v.clean(name))
	if step.Error != "" {
		v.say(25, "%s", step.Error)
	}
}

// originals prints what was taken over, and how to get it back.
func (v *view) originals(originals []engine.HostOriginal) {
	if len(originals) == 0 {
		return
	}
	v.out.printf("\n%s", v.wrapped(0, "Taken over with --adopt. The command below each brings it back, as root on its host; "+
		"then reload what reads it. As long as the host is in the stack, the next apply takes it over again, or stops at it where it is a drop-in."))
	host := ""
	for _, o := range originals {
		if o.Host != host {
			host = o.Host
			v.out.printf("\n%s\n", v.out.paint(bold, host))
		}
		v.out.printf("%s", v.hanging(2, "", fmt.Sprintf("%s, by apply %d (%s)%s", thing(o.ID), o.Number,
			o.Time.UTC().Format("2006-01-02 15:04"), wasBefore(o.Original))))
		v.out.printf("    %s\n", v.clean(bringBack(o.Original)))
	}
}

// wasBefore says how a unit was; the copy tells of a file.
func wasBefore(o plan.Original) string {
	var was []string
	for _, state := range []struct{ attr, word string }{{plan.AttrEnabled, "enabled"}, {plan.AttrRunning, "running"}} {
		if o.Before[state.attr] == plan.Yes {
			was = append(was, state.word)
		}
	}
	if len(was) == 0 {
		return ""
	}
	return ": it was " + strings.Join(was, " and ")
}

// bringBack is the command that brings an original back.
func bringBack(o plan.Original) string {
	if o.Kept != "" {
		return "cp -a " + shellWord(o.Kept) + " " + shellWord(o.Name)
	}
	unit := shellWord(strings.TrimSuffix(o.Name, ".service"))
	commands := []string{"systemctl unmask " + unit}
	if o.HiddenBy != "" {
		commands = []string{"systemctl disable --now " + unit, "rm " + shellWord(o.HiddenBy), "systemctl daemon-reload"}
	}
	enabled, running := o.Before[plan.AttrEnabled] == plan.Yes, o.Before[plan.AttrRunning] == plan.Yes
	switch {
	case enabled && running:
		commands = append(commands, "systemctl enable --now "+unit)
	case enabled:
		commands = append(commands, "systemctl enable "+unit)
	case running:
		commands = append(commands, "systemctl start "+unit)
	}
	return strings.Join(commands, " && ")
}
