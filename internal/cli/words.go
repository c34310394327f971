package cli

import (
	"fmt"
	"strings"
	"time"

	"github.com/relayctl/relayctl/internal/engine"
	"github.com/relayctl/relayctl/internal/plan"
)

// thing names a resource as people say it.
func thing(id plan.ID) string {
	if id.Kind == plan.KindUnit {
		return unitName(id.String())
	}
	return id.String()
}

// unitName is a unit's name as people say it.
func unitName(full string) string { return strings.TrimSuffix(full, ".service") }

// stepName names a step of an apply: what is restarted or reloaded is a unit.
func stepName(id plan.ID, action plan.Action) string {
	if action == plan.Restart || action == plan.Reload {
		return string(action) + " " + unitName(id.Name)
	}
	return thing(id)
}

// doing says what goes on.
func doing(e engine.Event) string {
	switch e.Phase {
	case engine.Left:
		return happened(e)
	case engine.Connected:
		return "waiting for the other hosts"
	case engine.Locking:
		return "waiting for the lock: " + e.Text
	case engine.Uploading:
		return fmt.Sprintf("%s: uploading %.1f of %.1f MiB", thing(e.ID), mebibytes(e.Sent), mebibytes(e.Size))
	case engine.Started:
		return thing(e.ID) + ": " + begins(e)
	case engine.Waiting, engine.Proving:
		if e.ID.Name != "" {
			return thing(e.ID) + ": " + e.Text
		}
		return "waiting for " + e.Text
	}
	return string(e.Phase)
}

// happened says what is over.
func happened(e engine.Event) string {
	switch e.Phase {
	case engine.Left:
		return "left the stack file; " + e.Text
	case engine.NewHostKey:
		return "new host key accepted: " + e.Text
	case engine.Reached:
		return e.Text + took(e.Took, 1)
	case engine.Done:
		return thing(e.ID) + ": " + did(e) + took(e.Took, time.Second)
	case engine.Finished:
		return fmt.Sprintf("done, %s in %s", plural(e.Steps, "step", "steps"), plan.Seconds(e.Took))
	}
	return "failed: " + e.Text
}

// still says that something goes on.
func still(text string) string {
	what, does, isStep := strings.Cut(text, ": ")
	if !isStep || strings.HasPrefix(text, "waiting ") {
		return "still " + text
	}
	return what + ": still " + does
}

func mebibytes(n int64) float64 { return float64(n) / (1 << 20) }

// bytesOf writes a size as people say it.
func bytesOf(n int64) string {
	switch {
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", mebibytes(n))
	case n >= 1<<10:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	}
	return plural(int(n), "byte", "bytes")
}

// verbs are the words for a step that goes on, and for one that is done.
func verbs(e engine.Event) (goesOn, isDone string) {
	isUnit, isUpdate := e.ID.Kind == plan.KindUnit, e.Action == plan.Update
	isInstalled := e.ID.Kind == plan.KindPackage || e.ID.Kind == plan.KindProgram
	switch {
	case e.Action == plan.Restart:
		return "restarting", "restarted"
	case e.Action == plan.Reload:
		return "reloading", "reloaded"
	case e.Action == plan.Remove && isUnit:
		return "stopping", "removed"
	case e.Action == plan.Remove:
		return "removing", "removed"
	case e.Action == plan.Create && isUnit:
		return "starting", "started"
	case isUnit:
		return "putting right", "put right" // started, enabled, or the contrary
	case isUpdate && isInstalled:
		return "installing", "changed"
	case isInstalled:
		return "installing", "installed"
	case isUpdate:
		return "changing", "changed"
	case e.ID.Kind == plan.KindFile:
		return "writing", "written"
	}
	return "making", "made"
}

func begins(e engine.Event) string {
	goesOn, _ := verbs(e)
	return goesOn
}

// did is how a step ended.
func did(e engine.Event) string {
	_, isDone := verbs(e)
	switch {
	case e.Text != "":
		return e.Text // not as the action has it
	case e.Adopt && e.Action != plan.Restart && e.Action != plan.Reload:
		return "taken over"
	}
	return isDone
}

// took is how long something took, where that was at least so long.
func took(d, least time.Duration) string {
	if d < least {
		return ""
	}
	return " (" + plan.Seconds(d) + ")"
}
