package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/relayctl/relayctl/internal/engine"
	"github.com/relayctl/relayctl/internal/plan"
)

// notice is something worth knowing beside a plan, that no change is about.
type notice struct {
	Code         string   `json:"code"`
	Host         string   `json:"host"` // empty: the machine that relayctl runs on
	Message      string   `json:"message"`
	Resource     *plan.ID `json:"resource,omitempty"`      // of the step in which an apply was cut off
	AheadSeconds float64  `json:"ahead_seconds,omitempty"` // of a clock that is off; below 0: behind
	Text         string   `json:"-"`                       // what people read instead, with what to do about it
}

func (v *view) notices(planned *engine.Planned) {
	for _, n := range noticesOf(planned, v.command) {
		v.out.printf("\n")
		v.warn(n.Text)
	}
}

// noticesOf lists what is worth knowing beside the plan of a command.
func noticesOf(planned *engine.Planned, command string) []notice {
	var list []notice
	// add adds a notice: what machines read is message, people text.
	add := func(code, host, message, text string) *notice {
		list = append(list, notice{Code: code, Host: host, Message: message, Text: text})
		return &list[len(list)-1]
	}
	for _, l := range planned.Locks {
		const words = "%s is at work there (%s, since %s)"
		add("at_work", l.Host, fmt.Sprintf(words, l.Holder, l.Command, l.Since.UTC().Format(time.RFC3339)),
			fmt.Sprintf("%s: "+words, l.Host, l.Holder, l.Command, l.Since.Local().Format(time.TimeOnly)))
	}
	for _, cut := range planned.CutOff {
		const words = "what %s began there (%s, %s) was cut off"
		where, goesOn := "", ""
		if command == "apply" {
			goesOn = "; apply goes on from where it ended"
		}
		if cut.At.Name != "" {
			where = " in the middle of " + cut.At.Title()
		}
		add("cut_off", cut.Host, fmt.Sprintf(words+goesOn, cut.Holder, cut.Command, cut.Since.UTC().Format(time.RFC3339)),
			fmt.Sprintf("%s: "+words+"%s"+goesOn, cut.Host, cut.Holder, cut.Command, cut.Since.Local().Format(time.TimeOnly), where)).Resource = resourceOf(cut.At)
	}
	for _, clock := range planned.Clocks {
		add("clock_off", clock.Host, clock.Summary(), strings.TrimPrefix(clock.Host+": "+clock.Summary()+". "+clock.Hint(), ": ")).AheadSeconds = seconds(clock.Off)
	}
	for _, failure := range planned.Stays {
		goes := "left the stack and can't be cleaned up: " + failure.Summary
		add("left_behind", failure.Host, goes,
			fmt.Sprintf("%s %s; when it is gone for good, add --forget %s to apply", whoLeft(planned.Plan, failure.Host), goes, shellWord(failure.Host)))
	}
	left, noHost := "left the stack and is", "left the stack"
	if command == "destroy" {
		left, noHost = "is", "is away"
	}
	for _, name := range planned.GivenUp {
		goes := left + " given up: what stands on it stays there"
		add("given_up", name, goes, whoLeft(planned.Plan, name)+" "+goes)
	}
	for _, name := range planned.Unknown {
		words := "--forget %s: no host of this name " + noHost
		add("unknown_host", name, fmt.Sprintf(words, name), fmt.Sprintf(words, shellWord(name)))
	}
	return list
}

// whoLeft names a host that left: a worker may have moved to the proxy's
// machine, and have left its own.
func whoLeft(p plan.Plan, name string) string {
	if now, moved := p.HostOf(name); moved {
		return fmt.Sprintf("the machine that %s had before it moved to %s", name, now)
	}
	return name
}
