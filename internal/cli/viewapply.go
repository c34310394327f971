package cli

import (
	"fmt"
	"strings"

	"github.com/relayctl/relayctl/internal/engine"
	"github.com/relayctl/relayctl/internal/plan"
)

// ending is how the end of a command is worded.
type ending struct {
	did   string // "Applied to home"
	again string // what to do where it stopped, as paragraphs has it
	all   bool   // is told also where there was nothing to do
}

// outcome prints how a command ended on the hosts.
func (v *view) outcome(outcome *engine.Outcome, planned *engine.Planned, end ending) {
	if v.json != nil {
		v.json.outcome(outcome)
		return
	}
	did, steps := didOf(outcome), 0
	var stopped []string
	for _, h := range outcome.Hosts {
		steps += h.Steps
		switch {
		case h.Skipped != "":
			stopped = append(stopped, fmt.Sprintf("%s was left as it was, since %s.", h.Name, h.Skipped))
		case !h.OK:
			stopped = append(stopped, fmt.Sprintf("%s stopped after %d of %s.", h.Name, h.Done, plural(h.Steps, "step", "steps")))
		case h.Steps > 0:
			stopped = append(stopped, h.Name+" is done.")
		}
	}
	if steps == 0 && len(planned.Failed) == 0 && !end.all {
		return
	}
	if len(outcome.Failed) == 0 {
		counted := ""
		if did.Total() > 0 {
			counted = ": " + did.String()
		}
		v.out.printf("\n%s in %s%s.\n", end.did, plan.Seconds(outcome.Took), counted)
		return
	}
	if untouched := names(planned.Failed, hostOf); len(untouched) > 0 {
		stopped = append(stopped, "Not touched: "+strings.Join(untouched, ", ")+".")
	}
	v.gap()
	v.errs.printf("%s", v.wrapped(0, strings.Join(stopped, " ")))
	v.errs.printf("%s", v.paragraphs(0, end.again))
}

func hostOf(e *engine.HostError) string { return e.Host }

// didOf counts what an apply did on all hosts, restarts and reloads left out.
func didOf(outcome *engine.Outcome) plan.Counts {
	var did plan.Counts
	for _, h := range outcome.Hosts {
		did.Create, did.Update, did.Remove = did.Create+h.Created, did.Update+h.Changed, did.Remove+h.Removed
	}
	return did
}

// proof prints what the models answered.
func (v *view) proof(proof engine.Proof) {
	if v.json != nil {
		v.json.proof(proof)
	}
	if proof.Err != nil {
		v.failed(proof.Err)
		return
	}
	if v.json == nil {
		v.detours(proof.Detours)
		if len(proof.Models) == 0 && proof.Route != "" {
			v.say(0, "The relay answered %s; no worker serves a model yet.", through(proof.Route, proof.URL))
		}
	}
	for _, m := range proof.Models {
		switch {
		case m.Err != nil:
			v.failed(m.Err)
		case v.json == nil:
			v.say(0, "%s answered %s: first token after %s.", m.Model, through(m.Route, proof.URL), plan.Seconds(m.FirstToken))
		}
	}
}

// detours warns of better ways that do not work.
func (v *view) detours(detours []string) {
	for _, detour := range detours {
		v.warn("no way through by " + detour)
	}
}

// through says on which way an answer came.
func through(route engine.Route, url string) string {
	switch route {
	case engine.RouteAddress:
		return "for " + url + " at the proxy's own address"
	case engine.RouteHost:
		return "for " + url + " on the proxy host itself only"
	}
	return "through " + url
}

// keys shows new API keys, or says where they were written.
func (v *view) keys(names []string, delivery keyDelivery) {
	if v.json != nil {
		v.json.keys(names, delivery)
		return
	}
	for _, name := range names {
		key, file := delivery.reveal(name)
		if file != "" {
			v.out.printf("\nAPI key for %s: written to %s\n", name, v.clean(file))
			continue
		}
		v.out.printf("\nAPI key for %s, shown this once:\n  %s\n", name, key.Reveal())
	}
}
