package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/relayctl/relayctl/internal/engine"
	"github.com/relayctl/relayctl/internal/plan"
	"github.com/relayctl/relayctl/internal/stack"
)

// ending is how the end of a command is worded.
type ending struct {
	did   string // "Applied to home"
	again string // what to do where it stopped, as paragraphs has it
	all   bool   // is told also where there was nothing to do
}

// outcome prints how a command ended on the hosts.
func (v *view) outcome(outcome *engine.Outcome, planned *engine.Planned, end ending) {
	v.json.outcome(outcome)
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
	v.json.proof(proof)
	if proof.Err != nil {
		v.failed(proof.Err)
		return
	}
	v.detours(proof.Detours)
	if len(proof.Models) == 0 && proof.Route != "" {
		v.say(0, "The relay answered %s; no worker serves a model yet.", through(proof.Route, proof.URL))
	}
	for _, m := range proof.Models {
		if m.Err != nil {
			v.failed(m.Err)
			continue
		}
		v.say(0, "%s answered %s: first token after %s.", m.Model, through(m.Route, proof.URL), plan.Seconds(m.FirstToken))
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
func (v *view) keys(names []string, delivery *keyDelivery) {
	for _, name := range names {
		file := delivery.where()
		v.json.done.NewKeys = append(v.json.done.NewKeys, jsonKeys{name, file})
		if file != "" {
			v.out.printf("\nAPI key for %s: written to %s\n", name, v.clean(file))
			continue
		}
		v.out.printf("\nAPI key for %s, shown this once:\n  %s\n", name, delivery.held[name].Reveal())
	}
}

// tryIt prints a request that can be pasted into a shell. made are the API
// keys that were just made, delivered where delivery says.
func (v *view) tryIt(s *stack.Stack, made []string, delivery *keyDelivery) {
	if len(s.APIKeys) == 0 || len(s.ModelNames()) == 0 {
		return // nobody is let in, or there is nothing to ask
	}
	key := s.APIKeys[0]
	if at := slices.IndexFunc(s.APIKeys, func(k *stack.APIKey) bool { return slices.Contains(made, k.Name) }); at >= 0 {
		key = s.APIKeys[at]
	}
	model := s.ModelNames()[0]
	if len(key.Models) > 0 {
		model = key.Models[0]
	}
	if slices.Contains(made, key.Name) && delivery.where() != "" {
		v.out.printf("\nTry it:\n  KEY=$(sed -n 's/^%s=//p' %s | tail -n 1)\n", key.Name, v.clean(shellPath(delivery.where())))
	} else {
		v.out.printf("\nTry it, with the key of %s in KEY:\n", key.Name)
	}
	cert := ""
	if s.Proxy.TLS.Mode == stack.TLSInternal { // how to trust its own authority
		pem := s.Name + "-ca.pem"
		v.out.printf("  %s > %s\n", v.again("ca"), v.clean(pem))
		cert = " --cacert " + pem
	}
	v.out.printf("  curl%s %s \\\n", cert, shellWord(s.Proxy.URL()+"/v1/chat/completions"))
	v.out.printf("    -H \"Authorization: Bearer $KEY\" -H 'Content-Type: application/json' \\\n")
	v.out.printf("    -d '{\"model\": \"%s\",\n", model)
	v.out.printf("         \"messages\": [{\"role\": \"user\", \"content\": \"Hello\"}]}'\n")
}

// jsonDone is what an apply did.
type jsonDone struct {
	TookSeconds float64    `json:"took_seconds"`
	URL         string     `json:"url"`
	Created     int        `json:"created"`
	Changed     int        `json:"changed"`
	Removed     int        `json:"removed"`
	NewKeys     []jsonKeys `json:"new_keys"`
}

// jsonKeys says where a new API key is; the key itself is never printed.
type jsonKeys struct {
	Name string `json:"name"`
	File string `json:"file" text:"verbatim"`
}

// outcome prints how an apply ended on the hosts.
func (j *jsonOutput) outcome(outcome *engine.Outcome) {
	did := didOf(outcome)
	j.done = jsonDone{TookSeconds: seconds(outcome.Took), Created: did.Create, Changed: did.Update, Removed: did.Remove}
	j.told = &j.done
	j.print(struct {
		jsonLine
		Hosts []engine.HostOutcome `json:"hosts"`
	}{j.line("outcome"), outcome.Hosts})
}

// proof prints what the models answered.
func (j *jsonOutput) proof(proof engine.Proof) {
	var models []jsonModel
	for _, m := range proof.Models {
		models = append(models, modelOf(m))
	}
	j.done.URL = proof.URL
	j.print(struct {
		jsonLine
		URL     string       `json:"url"`
		Route   engine.Route `json:"route,omitempty"` // to the relay; missing: it was not reached
		Detours []string     `json:"detours"`
		Models  []jsonModel  `json:"models"`
	}{j.line("proof"), proof.URL, proof.Route, proof.Detours, models})
}
