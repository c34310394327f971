package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/relayctl/relayctl/internal/host/machine"
	"github.com/relayctl/relayctl/internal/host/record"
	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
)

// What relay-host knows of Caddy as the distribution packages it.
const (
	caddyAutosave  = plan.CaddyHome + "/.config/caddy/autosave.json" // what it runs: it writes that down at each load
	caddyUser      = "caddy"
	caddyAPI       = "caddy-api.service"        // of its package: resumes what it wrote down
	caddyAdmin     = "localhost:2019"           // where it takes orders unless it is told otherwise
	caddyOwnAdmin  = "unix/" + plan.CaddySocket // where the stack's Caddyfile has it take them
	caddyTimeout   = 30 * time.Second           // for each of its commands: a reload is known to hang
	caddyAnswers   = 10 * time.Second           // for its admin endpoint: it doesn't answer while a reload hangs
	maxCaddyConfig = 16 << 20
)

// check runs the test that a file's new content must pass.
func (h *Host) check(ctx context.Context, check plan.Lifecycle, path string) error {
	switch check {
	case "":
		return nil
	case plan.LifecycleCaddy:
		_, err := h.caddy(ctx, "validate", path)
		return err
	}
	return badRequest("unknown check %q", check)
}

// caddy runs one of Caddy's commands on a Caddyfile, as its own user: what it
// can't read then it couldn't read when it serves.
func (h *Host) caddy(ctx context.Context, command, path string, options ...string) ([]byte, error) {
	accounts, err := h.Accounts()
	if err != nil {
		return nil, err
	}
	account, ok := accounts.Users[caddyUser]
	if !ok {
		return nil, fmt.Errorf("no user %q", caddyUser)
	}
	ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), caddyTimeout,
		fmt.Errorf("not done within %s", plan.Seconds(caddyTimeout)))
	defer cancel()
	output, err := h.Runner.Run(ctx, machine.Command{
		Name: "caddy", Args: append([]string{command, "--config", path, "--adapter", "caddyfile"}, options...), As: &account,
	})
	var failed *machine.CommandError
	if errors.As(err, &failed) {
		return nil, caddyError(command, path, failed)
	}
	return output, err
}

// caddyError tells what Caddy said, with the name of the file that it will be.
func caddyError(command, path string, failed *machine.CommandError) error {
	var said []string
	for _, line := range failed.Said() {
		if text, ok := strings.CutPrefix(line, "Error: "); ok {
			said = append(said, text)
		}
	}
	if len(said) == 0 {
		said = failed.Said()
	}
	final := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(path), "."), ".relayctl-new")
	for i := range said {
		said[i] = strings.ReplaceAll(said[i], filepath.Base(path), final)
	}
	return &hostapi.Error{
		Code:    hostapi.CodeStep,
		Message: fmt.Sprintf("caddy %s refused %s", command, final),
		Log:     said,
		Hint:    "Caddy runs on as before. Is it as its package has it, and can the user caddy read what it needs? On the host:\n  dpkg --verify caddy\n  namei -l " + plan.Caddyfile,
	}
}

// loadCaddyfile has Caddy load the Caddyfile, if it means something else than
// what runs: a load closes every WebSocket, even when nothing changed.
func (u units) loadCaddyfile(ctx context.Context, b *batch, step step) error {
	if _, err := u.caddy(ctx, "validate", plan.Caddyfile); err != nil {
		return err
	}
	runs, at, err := u.caddyRuns(ctx)
	if err != nil || runs == theSame {
		return err
	}
	u.drain(ctx, b, step)
	var options []string
	switch runs {
	case another:
	case movedAway: // without force, Caddy takes no order to run what it does already
		options = []string{"--address", at, "--force"}
	default:
		return u.job(ctx, b, step.index, machine.RestartUnit, step.resource.Name)
	}
	err = b.while(step.index, hostapi.Progress{What: "loading the Caddyfile"}, func(func(string)) error {
		_, err := u.caddy(ctx, "reload", plan.Caddyfile, options...)
		return err
	})
	if err != nil {
		u.resume(ctx, step) // nobody closed the connections after all
	}
	return err
}

// loadedByOthers says why the configuration that Caddy wrote down itself is
// somebody else's and would be lost: it is resumed at each start, or runs
// although no file says so. Empty: neither. What runs by another command is that
// command's matter.
func (h *Host) loadedByOthers(ctx context.Context, view *look, state machine.UnitState, own, whole machine.Settings) string {
	if info, err := os.Lstat(h.Path(caddyAutosave)); err != nil || !info.Mode().IsRegular() {
		return ""
	}
	start := whole["ExecStart"]
	if slices.ContainsFunc(start, resumes) {
		return "unit caddy resumes it, whatever stands in " + plan.Caddyfile
	}
	if h.isOurs(view, plan.Caddyfile) {
		return ""
	}
	if api, err := view.unit(ctx, caddyAPI); err == nil && (api.Enabled() || api.Running()) {
		return "unit caddy-api resumes it"
	}
	if !state.Running() || !slices.Equal(own["ExecStart"], start) {
		return ""
	}
	// A Caddyfile that makes no sense is not what runs.
	if runs, _, err := h.caddyRuns(ctx); err == nil && !runs.differs() {
		return ""
	}
	return "unit caddy runs it, and not " + plan.Caddyfile
}

// readsCaddyfile reports whether a command starts Caddy with the Caddyfile.
func readsCaddyfile(command string) bool {
	return slices.Contains(strings.Fields(command), plan.Caddyfile) && !resumes(command)
}

func resumes(command string) bool { return slices.Contains(strings.Fields(command), "--resume") }

// isOurs reports whether relayctl wrote a file.
func (h *Host) isOurs(view *look, path string) bool {
	return record.Find(view.manifest, plan.ID{Kind: plan.KindFile, Name: path}) != nil
}

// runsOtherCaddyfile reports whether Caddy is known to run something else than
// our Caddyfile, loaded through its admin endpoint, say.
func (h *Host) runsOtherCaddyfile(ctx context.Context, view *look) bool {
	if !h.isOurs(view, plan.Caddyfile) {
		return false
	}
	runs, _, err := h.caddyRuns(ctx) // one that makes no sense was edited, and is told as such
	return err == nil && runs.differs()
}

// mustRunCaddyfile is an error where Caddy, started or told anew, still runs
// something else than the Caddyfile.
func (u units) mustRunCaddyfile(ctx context.Context, b *batch, name string) error {
	runs, _, err := u.caddyRuns(ctx)
	if err != nil || !runs.differs() {
		return err
	}
	failed := u.unitError(ctx, b, name, "runs, but with another configuration than "+plan.Caddyfile)
	failed.Hint = "Is its unit as its package has it? On the host:\n  systemctl cat caddy\n  dpkg --verify caddy"
	return failed
}
