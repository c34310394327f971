package engine

import (
	"slices"

	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
)

// report is what a host takes down about the apply.
func (j *job) report(a *hostApply, shown []string) hostapi.Finish {
	part := j.part(a)
	report := hostapi.Finish{
		Version:  j.config.Version,
		Operator: j.config.Operator,
		Stack:    j.config.Stack.Name,
		OK:       part.State == plan.PastDone,
		Why:      part.Why,
		Shown:    shown,
	}
	if report.OK {
		report.Summary = j.summary
	}
	report.Forget = report.OK && a.role == plan.RoleDeparted
	report.KeepTrust = j.planned.keepTrust
	if a != j.onProxy() {
		return report
	}
	report.Hosts = j.members()
	report.Others = j.others()
	if failure := j.outcome.Proof.failure(); failure != nil && report.Why == "" {
		report.Why = failure.Error()
	}
	return report
}

// part is what a host did in the apply, as it was told here.
func (j *job) part(a *hostApply) plan.Part {
	part := plan.Part{
		Host: a.outcome.Name, State: plan.PastDone, Steps: a.outcome.Done, Summary: a.taken.String(), Why: a.outcome.Skipped,
	}
	if a.failure != nil {
		part.Why = a.failure.Summary
	}
	switch {
	case part.Why != "":
		part.State = plan.PastFailed
	case j.summary != "":
		part.Summary = j.summary
	}
	return part
}

// others are the parts of all hosts but the proxy's, those that could not be
// worked on included.
func (j *job) others() []plan.Part {
	var parts []plan.Part
	for _, a := range j.parts[1:] {
		if !a.isGuest() {
			parts = append(parts, j.part(a))
		}
	}
	for _, failure := range j.planned.Failed {
		told := func(part plan.Part) bool { return part.Host == failure.Host }
		if !j.rotates && !slices.ContainsFunc(parts, told) {
			parts = append(parts, plan.Part{
				Host: failure.Host, State: plan.PastFailed, Summary: plan.Counts{}.String(), Why: failure.Summary,
			})
		}
	}
	return parts
}
