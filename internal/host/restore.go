package host

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/relayctl/relayctl/internal/host/record"
	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
)

// lastApply has Restore undo the last apply that changed anything.
const lastApply = -1

// ErrEdited means that something was left as it is, since somebody changed it
// after the applies that were to be undone.
var ErrEdited = errors.New("something was left as it is")

// restore is `relay-host restore [--to N]`; it returns the exit code.
func restore(version string, args []string) int {
	flags := flag.NewFlagSet("relay-host restore", flag.ContinueOnError)
	to := flags.Int("to", lastApply, "the `NUMBER` of the apply after which the host was as it will be; 0: before the first")
	if err := flags.Parse(args); err != nil {
		return 1
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	signal.Ignore(syscall.SIGPIPE, syscall.SIGHUP) // it goes on to its end, whoever looks
	syscall.Umask(0o022)
	err := withMachine(version, func(h *Host) error { return h.Restore(ctx, *to, os.Stdout) })
	if err != nil {
		fmt.Fprintln(os.Stderr, "relay-host:", err)
		return 1
	}
	return 0
}

// restoreWait is how long somebody else's apply is waited for.
const restoreWait = time.Minute

// Restore brings this host back to how it was after an apply, by its own record
// alone, and says so to out, a line per thing. What somebody changed since is
// left as it is: the error is an ErrEdited then. It is an apply in the history.
func (h *Host) Restore(ctx context.Context, to int, out io.Writer) error {
	journal, err := record.Read(h.store.Folder())
	if err != nil {
		return err
	}
	manifest := journal.Manifest()
	if manifest == nil {
		return errors.New("relayctl was never applied to this host")
	}
	holder := hostapi.LockHolder{Operator: "root@" + h.hostname(), Command: record.Restore}
	tell := func(text string) { fmt.Fprintln(out, text) }
	if _, err := h.Lock(ctx, hostapi.Lock{Holder: holder, Wait: restoreWait, Stack: manifest.Stack}, tell); err != nil {
		return err
	}
	defer h.Unlock()
	if to == lastApply {
		if to = h.session.journal.Last() - 1; to < 0 {
			tell("nothing to undo")
			return nil
		}
	}
	steps, edited, err := h.planBack(ctx, to)
	if err != nil {
		return err
	}
	for _, change := range edited {
		fmt.Fprintf(out, "%s: %s\n", change.ID.Title(), change.Block)
	}
	if len(steps) == 0 {
		tell("nothing to undo")
		return h.ended(edited)
	}
	_, failure := h.Apply(ctx, hostapi.Apply{Steps: steps}, func(p hostapi.Progress) {
		if p.State == hostapi.Done && p.Step >= 0 && steps[p.Step].Counts() {
			change := steps[p.Step]
			fmt.Fprintf(out, "%s: %s\n", change.ID.Title(), cmp.Or(p.What, change.ID.Kind.Describe().Verb(change.Action).Done))
		}
	})
	end := hostapi.Finish{Stack: manifest.Stack, OK: failure == nil, Summary: "back to " + plan.BackTo(to)}
	if failure != nil {
		end.Why = failure.Error()
	}
	if err := h.Finish(end); err != nil {
		return errors.Join(failure, err)
	}
	return errors.Join(failure, h.ended(edited))
}

// ended is how a restore ends that left something as it is.
func (h *Host) ended(edited []plan.Change) error {
	if len(edited) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %d changed since", ErrEdited, len(edited))
}

// planBack says what undoes the applies after one, and what somebody changed
// since.
func (h *Host) planBack(ctx context.Context, to int) (steps, edited []plan.Change, err error) {
	told, err := h.Former(hostapi.Former{To: to})
	if err != nil {
		return nil, nil, err
	}
	var asked []plan.Resource
	for _, former := range told.Formers {
		asked = append(asked, plan.Resource{ID: former.ID})
	}
	seen, err := h.Observe(ctx, hostapi.Observe{Resources: asked})
	if err != nil {
		return nil, nil, err
	}
	host, notes := plan.Back(plan.Host{Facts: seen.Facts}, told.Formers)
	todo, err := plan.Diff(host)
	if err != nil {
		return nil, nil, err
	}
	for _, change := range slices.Concat(notes, todo.Changes) {
		if change.Block != "" {
			edited = append(edited, change)
		}
	}
	for _, change := range todo.Changes {
		isEdited := slices.ContainsFunc(edited, func(one plan.Change) bool { return one.ID == change.ID })
		if change.Action != plan.Attention && !isEdited {
			steps = append(steps, change)
		}
	}
	return steps, edited, nil
}

func (h *Host) hostname() string {
	is, err := h.Describe()
	if err != nil {
		return "this host"
	}
	return is.Hostname
}
