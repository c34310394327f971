package cli

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/relayctl/relayctl/internal/engine"
	"github.com/relayctl/relayctl/internal/plan"
)

// unitName is a unit's name as people say it.
func unitName(full string) string { return strings.TrimSuffix(full, ".service") }

// stepName names a step of an apply: what is restarted or reloaded is a unit.
func stepName(id plan.ID, action plan.Action) string {
	if action == plan.Restart || action == plan.Reload {
		return string(action) + " " + unitName(id.Name)
	}
	return id.Title()
}

// doing says what goes on, how far it is and for how long.
func doing(e engine.Event) string { return goesOn(e) + figures(e, e.Took) }

// goesOn says what goes on. That is the same as long as it does.
func goesOn(e engine.Event) string {
	switch e.Phase {
	case engine.Left, engine.NotFollowed:
		return happened(e)
	case engine.Connected:
		return "waiting for the other hosts"
	case engine.Locking:
		return "waiting for the lock: " + e.Text
	case engine.Uploading:
		return e.ID.Title() + ": uploading"
	case engine.Started:
		return e.ID.Title() + ": " + begins(e)
	case engine.Waiting, engine.Proving:
		if e.ID.Name != "" {
			return e.ID.Title() + ": " + e.Text
		}
		return "waiting for " + e.Text
	}
	return string(e.Phase)
}

// figures tell how far something is that goes on, by what means and since when.
func figures(e engine.Event, elapsed time.Duration) string {
	far, means := "", e.By
	if elapsed = elapsed.Truncate(time.Second); elapsed > 0 {
		means = strings.TrimPrefix(means+", "+plan.Seconds(elapsed), ", ")
	}
	switch a := e.Amount; {
	case a.Total == 0:
	case a.Measure == plan.InBytes:
		far = fmt.Sprintf(" %.1f of %.1f MiB", mebibytes(a.Done), mebibytes(a.Total))
	case a.Measure == plan.InSeconds:
		means += " of at most " + plan.Seconds(time.Duration(a.Total)*time.Second)
	default:
		far = fmt.Sprintf(" %d of %d %s", a.Done, a.Total, a.Measure)
	}
	if means == "" {
		return far
	}
	return far + " (" + strings.TrimSpace(means) + ")"
}

// happened says what is over.
func happened(e engine.Event) string {
	switch e.Phase {
	case engine.Left:
		return "left the stack file; " + e.Text
	case engine.NewHostKey:
		return "new host key accepted: " + e.Text
	case engine.NotFollowed:
		return "ssh's configuration has " + e.Text + ", which relayctl does not follow"
	case engine.Reached:
		return e.Text + took(e.Took, 1)
	case engine.Done:
		how := e.ID.Kind.Describe().Verb(e.Action).Done
		if e.Adopt {
			how = "taken over"
		}
		return e.ID.Title() + ": " + cmp.Or(e.Text, how) + took(e.Took, time.Second)
	case engine.Finished:
		return fmt.Sprintf("done, %s in %s", plural(e.Steps, "step", "steps"), plan.Seconds(e.Took))
	}
	return "failed: " + e.Text
}

// still says that something goes on.
func still(e engine.Event) string {
	text := goesOn(e)
	what, does, isStep := strings.Cut(text, ": ")
	if !isStep || strings.HasPrefix(text, "waiting ") {
		return "still " + text
	}
	return what + ": still " + does
}

func mebibytes(n int64) float64 { return float64(n) / (1 << 20) }

// begins is the word for a step that begins.
func begins(e engine.Event) string { return e.ID.Kind.Describe().Verb(e.Action).Doing }

// took is how long something took, where that was at least so long.
func took(d, least time.Duration) string {
	if d < least {
		return ""
	}
	return " (" + plan.Seconds(d) + ")"
}
