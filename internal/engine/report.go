package engine

import (
	"slices"

	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
)

// report is what a host takes down about the apply.
func (a *apply) report(w *work, shown []string) hostapi.Finish {
	part := a.part(w)
	report := hostapi.Finish{
		Version:  a.config.Version,
		Operator: a.config.Operator,
		Stack:    a.config.Stack.Name,
		OK:       part.State == plan.PastDone,
		Why:      part.Why,
		Shown:    shown,
	}
	if report.OK {
		report.Summary = a.summary
	}
	switch w.role {
	case plan.RoleProxy:
		report.Hosts = a.members()
		report.Others = a.others()
		if report.Why == "" {
			report.Why = a.silentModel()
		}
	case plan.RoleDeparted:
		report.Forget = report.OK
	}
	return report
}

// part is what a host did in the apply, as it was told here.
func (a *apply) part(w *work) plan.Part {
	part := plan.Part{
		Host: w.outcome.Name, State: plan.PastDone, Steps: w.outcome.Done, Summary: w.taken.String(), Why: w.outcome.Skipped,
	}
	if w.failure != nil {
		part.Why = w.failure.Summary
	}
	switch {
	case part.Why != "":
		part.State = plan.PastFailed
	case a.summary != "":
		part.Summary = a.summary
	}
	return part
}

// others are the parts of all hosts but the proxy's, those that could not be
// worked on included.
func (a *apply) others() []plan.Part {
	var parts []plan.Part
	for _, work := range a.works[1:] {
		if work.at != a.works[0].at {
			parts = append(parts, a.part(work))
		}
	}
	for _, failure := range a.planned.Failed {
		told := func(part plan.Part) bool { return part.Host == failure.Host }
		if a.summary == "" && !slices.ContainsFunc(parts, told) {
			parts = append(parts, plan.Part{
				Host: failure.Host, State: plan.PastFailed, Summary: plan.Counts{}.String(), Why: failure.Summary,
			})
		}
	}
	return parts
}

// silentModel says which model gave no token in the end, or that none could be
// asked.
func (a *apply) silentModel() string {
	if failure := a.outcome.Proof.Err; failure != nil {
		return failure.Error()
	}
	for _, model := range a.outcome.Proof.Models {
		if model.Err != nil {
			return model.Err.Error()
		}
	}
	return ""
}
