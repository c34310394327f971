package kind

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

// caddy is Caddy as the distribution packages it.
type caddy struct{ plain }

func (c caddy) check(ctx context.Context, path string) error {
	_, err := c.run(ctx, "validate", path)
	return err
}

func (caddy) sites(text string) (sites, imports []string) { return caddySites(text) }

func (caddy) keeps(path string) bool { return path == caddyAutosave }

// ready finds that Caddy, started or told anew, runs what the Caddyfile means.
func (c caddy) ready(ctx context.Context, step *Step, state machine.UnitState) (machine.UnitState, error) {
	runs, _, err := c.runs(ctx)
	if err != nil || !runs.differs() {
		return state, err
	}
	failed := c.unitError(ctx, step, step.Resource.Name, "runs, but with another configuration than "+plan.Caddyfile)
	failed.Hint = "Is its unit as its package has it? On the host:\n  systemctl cat caddy\n  dpkg --verify caddy"
	return state, failed
}

// missing lists what a reload loads where Caddy is known to run something else
// than our Caddyfile, loaded through its admin endpoint, say.
func (c caddy) missing(ctx context.Context, look *Look, unit *plan.Unit, _ machine.UnitState) ([]plan.ID, error) {
	if !isOurs(look, plan.Caddyfile) {
		return nil, nil
	}
	if runs, _, err := c.runs(ctx); err != nil || !runs.differs() { // one that makes no sense was edited, and is told as such
		return nil, nil
	}
	return unit.Reload, nil
}

// overrides lists the unit's own file where that starts Caddy otherwise, and what
// Caddy wrote down of a configuration of somebody else.
func (c caddy) overrides(ctx context.Context, look *Look, started started) []plan.Override {
	var list []plan.Override
	if command := started.own["ExecStart"]; len(command) == 1 && !readsCaddyfile(command[0]) {
		list = append(list, plan.Override{
			Path: started.file, Says: overrideWords(started.unit, []string{"ExecStart"}, started.own),
			Instead: "it is the package's, edited; to have it anew, on the host: apt-get install --reinstall caddy",
		})
	}
	if says := c.loadedByOthers(ctx, look, started); says != "" {
		list = append(list, plan.Override{Path: caddyAutosave, Says: says})
	}
	return list
}

// run runs one of Caddy's commands on a Caddyfile, as its own user: what it
// can't read then it couldn't read when it serves.
func (c caddy) run(ctx context.Context, command, path string, options ...string) ([]byte, error) {
	accounts, err := c.Accounts()
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
	output, err := c.Runner.Run(ctx, machine.Command{
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

// reload has Caddy load the Caddyfile, if it means something else than
// what runs: a load closes every WebSocket, even when nothing changed.
func (c caddy) reload(ctx context.Context, step *Step) error {
	if _, err := c.run(ctx, "validate", plan.Caddyfile); err != nil {
		return err
	}
	runs, at, err := c.runs(ctx)
	if err != nil || runs == theSame {
		return err
	}
	c.drain(ctx, step)
	var options []string
	switch runs {
	case another:
	case movedAway: // without force, Caddy takes no order to run what it does already
		options = []string{"--address", at, "--force"}
	default:
		return c.job(ctx, step, machine.RestartUnit, step.Resource.Name)
	}
	err = step.while(hostapi.Progress{What: "loading the Caddyfile"}, func(func(string)) error {
		_, err := c.run(ctx, "reload", plan.Caddyfile, options...)
		return err
	})
	if err != nil {
		c.resume(ctx, step) // nobody closed the connections after all
	}
	return err
}

// loadedByOthers says why the configuration that Caddy wrote down itself is
// somebody else's and would be lost: it is resumed at each start, or runs
// although no file says so. Empty: neither. What runs by another command is that
// command's matter.
func (c caddy) loadedByOthers(ctx context.Context, look *Look, started started) string {
	if info, err := os.Lstat(c.Path(caddyAutosave)); err != nil || !info.Mode().IsRegular() {
		return ""
	}
	start := started.whole["ExecStart"]
	if slices.ContainsFunc(start, resumes) {
		return "unit caddy resumes it, whatever stands in " + plan.Caddyfile
	}
	if isOurs(look, plan.Caddyfile) {
		return ""
	}
	if api, err := look.unit(ctx, caddyAPI); err == nil && (api.Enabled() || api.Running()) {
		return "unit caddy-api resumes it"
	}
	if !started.state.Running() || !slices.Equal(started.own["ExecStart"], start) {
		return ""
	}
	// A Caddyfile that makes no sense is not what runs.
	if runs, _, err := c.runs(ctx); err == nil && !runs.differs() {
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
func isOurs(look *Look, path string) bool {
	return record.Find(look.Manifest, plan.ID{Kind: plan.KindFile, Name: path}) != nil
}
