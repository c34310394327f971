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

// noticesOf lists what is worth knowing beside the plan of a command.
func noticesOf(planned *engine.Planned, command string) []notice {
	var list []notice
	for _, lock := range planned.Locks {
		const words = "%s is at work there (%s, since %s)"
		list = append(list, notice{
			Code: "at_work", Host: lock.Host, Message: fmt.Sprintf(words, lock.Holder, lock.Command, lock.Since.UTC().Format(time.RFC3339)),
			Text: fmt.Sprintf("%s: "+words, lock.Host, lock.Holder, lock.Command, lock.Since.Local().Format(time.TimeOnly)),
		})
	}
	for _, cut := range planned.CutOff {
		const words = "what %s began there (%s, %s) was cut off"
		where, goesOn := "", ""
		if command == "apply" {
			goesOn = "; apply goes on from where it ended"
		}
		if cut.At.Name != "" {
			where = " in the middle of " + thing(cut.At)
		}
		list = append(list, notice{
			Code: "cut_off", Host: cut.Host, Message: fmt.Sprintf(words+goesOn, cut.Holder, cut.Command, cut.Since.UTC().Format(time.RFC3339)), Resource: resourceOf(cut.At),
			Text: fmt.Sprintf("%s: "+words+"%s"+goesOn, cut.Host, cut.Holder, cut.Command, cut.Since.Local().Format(time.TimeOnly), where),
		})
	}
	for _, clock := range planned.Clocks {
		list = append(list, notice{
			Code: "clock_off", Host: clock.Host, Message: clock.Summary(), AheadSeconds: seconds(clock.Off),
			Text: strings.TrimPrefix(clock.Host+": "+clock.Summary()+". "+clock.Hint(), ": "),
		})
	}
	for _, failure := range planned.Stays {
		goes := "left the stack and can't be cleaned up: " + failure.Summary
		list = append(list, notice{
			Code: "left_behind", Host: failure.Host, Message: goes,
			Text: fmt.Sprintf("%s %s; when it is gone for good, add --forget %s to apply", whoLeft(planned.Plan, failure.Host), goes, shellWord(failure.Host)),
		})
	}
	for _, name := range planned.GivenUp {
		goes := "left the stack and is given up: what stands on it stays there"
		if command == "destroy" {
			goes = "is given up: what stands on it stays there"
		}
		list = append(list, notice{Code: "given_up", Host: name, Message: goes, Text: whoLeft(planned.Plan, name) + " " + goes})
	}
	for _, name := range planned.Unknown {
		words := "--forget %s: no host of this name left the stack"
		if command == "destroy" {
			words = "--forget %s: no host of this name is away"
		}
		list = append(list, notice{Code: "unknown_host", Host: name, Message: fmt.Sprintf(words, name), Text: fmt.Sprintf(words, shellWord(name))})
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
