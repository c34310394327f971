package cli

import (
	"fmt"
	"time"

	"github.com/relayctl/relayctl/internal/engine"
	"github.com/relayctl/relayctl/internal/plan"
)

// rotation prints what a rotation would do.
func (v *view) rotation(r *engine.Rotation) {
	if r.Key != "" {
		v.out.printf("Rotating the API key %s of %s\n", r.Key, r.Stack)
		v.out.printf("  a new key is made; the old one %s\n", v.clean(staysGood(r.Grace)))
		return
	}
	v.out.printf("Rotating the worker secret of %s (%s)\n", r.Stack, plural(len(r.Workers), "worker", "workers"))
	var rows [][]string
	for _, worker := range r.Workers {
		fate := "gets a new secret; the old one is revoked when nobody uses it any more"
		if worker.Unfinished {
			fate = "its unfinished rotation is finished"
		}
		rows = append(rows, []string{"  " + worker.Name, fate})
	}
	v.table(rows)
}

func staysGood(grace time.Duration) string {
	if grace == 0 {
		return "ends at once"
	}
	return fmt.Sprintf("stays good for %s", duration(grace))
}

// duration writes whole hours and minutes as people say them.
func duration(d time.Duration) string {
	switch {
	case d%time.Hour == 0:
		return plural(int(d/time.Hour), "hour", "hours")
	case d%time.Minute == 0:
		return plural(int(d/time.Minute), "minute", "minutes")
	}
	return d.String()
}

// rotated prints how a rotation ended.
func (v *view) rotated(r *engine.Rotation, rotated *engine.Rotated) {
	if len(rotated.Failed) > 0 || !rotated.Proof.OK() {
		if r.Key == "" {
			v.gap()
			v.errs.printf("%s", v.wrapped(0, fmt.Sprintf("%d of %s have a new secret. Run rotate-secret again when mended: it goes on from there.",
				len(rotated.Workers), plural(len(r.Workers)+len(r.Failed), "worker", "workers"))))
		}
		return
	}
	text := fmt.Sprintf("Done in %s.", plan.Seconds(rotated.Took))
	if r.Key != "" && r.Grace > 0 {
		text += fmt.Sprintf(" The old key is good until %s UTC.", rotated.Until.UTC().Format("2006-01-02 15:04"))
	}
	if rotated.Counted && rotated.Requests > 0 {
		failed := "none failed"
		if rotated.Broken > 0 {
			failed = fmt.Sprintf("%d failed", rotated.Broken)
		}
		text += fmt.Sprintf(" %s ran meanwhile, %s.", plural(rotated.Requests, "request", "requests"), failed)
	}
	v.say(0, "%s", text)
}
