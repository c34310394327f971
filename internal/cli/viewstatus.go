package cli

import (
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/relayctl/relayctl/internal/engine"
	"github.com/relayctl/relayctl/internal/plan"
)

// status prints how a stack is: what is wrong first.
func (v *view) status(s *engine.Status, now time.Time) {
	if v.json != nil {
		v.json.status(s)
		return
	}
	well := "all well"
	if n := len(s.Problems); n > 0 {
		well = plural(n, "thing needs attention", "things need attention")
	}
	v.out.printf("%s  %s  %s%s\n", v.out.paint(bold, s.Stack), s.URL, well, v.clean(applied(s, now)))
	for i, p := range s.Problems {
		if i == 0 {
			v.out.printf("\n")
		}
		v.problem(p)
	}
	v.detours(s.Detours)
	v.out.printf("\n")
	var rows [][]string
	for _, h := range s.Hosts {
		rows = append(rows, hostRows(h)...)
	}
	v.table(rows)
	if len(s.Models) == 0 {
		return
	}
	v.out.printf("\n")
	rows = [][]string{{"model", "workers", "running", "waiting", "first token"}}
	for _, m := range s.Models {
		rows = append(rows, modelRow(m))
	}
	v.table(rows)
	v.notCompared(s.NotCompared)
}

// notCompared says what a host may have otherwise than the stack file, since
// its value was not given.
func (v *view) notCompared(list []engine.NotCompared) {
	if len(list) == 0 {
		return
	}
	var names []string
	for _, n := range list {
		names = append(names, n.String())
	}
	v.out.printf("\n")
	v.say(0, "Not compared, since no value was given: %s.", strings.Join(names, ", "))
}

// applied says when somebody applied last, as the proxy host knows it.
func applied(s *engine.Status, now time.Time) string {
	lost := func(h engine.HostStatus) bool { return h.Role == string(plan.RoleProxy) && !h.Up }
	switch {
	case slices.ContainsFunc(s.Hosts, lost):
		return ""
	case s.Applied.IsZero():
		return "  never applied"
	}
	return fmt.Sprintf("  applied %s by %s", ago(now.Sub(s.Applied)), s.Operator)
}

// ago says roughly how long ago something was.
func ago(d time.Duration) string {
	switch {
	case d < time.Minute:
		return "just now"
	case d < time.Hour:
		return fmt.Sprintf("%d min ago", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h ago", d/time.Hour)
	}
	return fmt.Sprintf("%d days ago", d/(24*time.Hour))
}

// problem prints what is wrong, and the next thing to type about it.
func (v *view) problem(p engine.Problem) {
	text := p.Summary
	if p.Host != "" {
		text = p.Host + ": " + text
	}
	v.out.printf("%s %s", v.out.paint(bold, "!"), v.flow(2, 2, text))
	v.log(v.out, 6, p.Log)
	switch {
	case p.Command != "":
		command := v.clean(v.about.again(strings.TrimPrefix(p.Command, "relayctl ")))
		v.out.printf("    %s\n", strings.TrimRight(fmt.Sprintf("%-28s  %s", command, v.clean(p.Why)), " "))
	case p.Why != "":
		v.out.printf("%s", v.paragraphs(4, p.Why))
	}
}

// table prints rows in columns that line up.
func (v *view) table(rows [][]string) {
	w := tabwriter.NewWriter(v.out, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		for i, cell := range row {
			row[i] = v.clean(cell)
		}
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	w.Flush() // the page keeps its failure
}

// hostRows is one row, and on a machine in two roles a second one for what the
// worker runs, so that all fits into 80 columns.
func hostRows(h engine.HostStatus) [][]string {
	at := slices.IndexFunc(h.Units, func(u engine.UnitStatus) bool { return u.Name == "relay-worker" })
	if h.Role != string(plan.RoleProxy) || at < 0 {
		return [][]string{hostRow(h)}
	}
	below := []string{"", ""}
	for _, u := range h.Units[at:] {
		below = append(below, unitCell(u))
	}
	h.Units = h.Units[:at]
	return [][]string{hostRow(h), below}
}

func hostRow(h engine.HostStatus) []string {
	name := h.Name
	if h.Role == string(plan.RoleProxy) && h.Worker != "" {
		name += ", " + h.Worker
	}
	row := []string{name, "up"}
	if !h.Up {
		row[1] = "can't be reached"
	}
	for _, u := range h.Units {
		row = append(row, unitCell(u))
	}
	if h.Drift > 0 {
		row = append(row, fmt.Sprintf("apply would change %s", plural(h.Drift, "thing", "things")))
	}
	return row
}

func unitCell(u engine.UnitStatus) string {
	text := strings.TrimSpace(u.Name + " " + u.Version)
	if u.Wanted != "" {
		text += " (should be " + u.Wanted + ")"
	}
	if !u.Active {
		text += " not running"
	}
	return text
}

func modelRow(m engine.ModelStatus) []string {
	workers, running, waiting := "?", "?", "?"
	if m.Known {
		workers = fmt.Sprintf("%d of %d", m.Workers, m.Expected)
		running, waiting = fmt.Sprint(m.Running), fmt.Sprint(m.Waiting)
	}
	token := "none"
	if m.Proof.Err == nil {
		token = plan.Seconds(m.Proof.FirstToken)
	}
	return []string{m.Model, workers, running, waiting, token}
}
