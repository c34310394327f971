package host

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
)

// What relay-host knows of Caddy as the distribution packages it.
const (
	caddyfile      = "/etc/caddy/Caddyfile"
	caddyAutosave  = "/var/lib/caddy/.config/caddy/autosave.json" // what it runs: it writes that down at each load
	caddyUser      = "caddy"
	caddyAPI       = "caddy-api.service" // of its package: resumes what it wrote down
	caddyAdmin     = "localhost:2019"
	caddyTimeout   = 30 * time.Second // for each of its commands: a reload is known to hang
	caddyAnswers   = 10 * time.Second // for its admin endpoint: it doesn't answer while a reload hangs
	maxCaddyConfig = 16 << 20
)

// check runs the test that a file's new content must pass.
func (h *Host) check(ctx context.Context, check plan.Check, path string) error {
	switch check {
	case "":
		return nil
	case plan.CheckCaddy:
		_, err := h.caddy(ctx, "validate", path)
		return err
	}
	return badRequest("unknown check %q", check)
}

// caddy runs one of Caddy's commands on a Caddyfile, as its own user: what it
// can't read then it couldn't read when it serves.
func (h *Host) caddy(ctx context.Context, command, path string) ([]byte, error) {
	accounts, err := h.accounts()
	if err != nil {
		return nil, err
	}
	account, ok := accounts.users[caddyUser]
	if !ok {
		return nil, fmt.Errorf("no user %q", caddyUser)
	}
	ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), caddyTimeout,
		fmt.Errorf("not done within %s", plan.Seconds(caddyTimeout)))
	defer cancel()
	output, err := h.runner.Run(ctx, Command{
		Name: "caddy", Args: []string{command, "--config", path, "--adapter", "caddyfile"}, As: &account,
	})
	var failed *CommandError
	if errors.As(err, &failed) {
		return nil, caddyError(command, path, failed)
	}
	return output, err
}

// caddyError tells what Caddy said, with the name of the file that it will be.
func caddyError(command, path string, failed *CommandError) error {
	var said []string
	for _, line := range failed.said() {
		if text, ok := strings.CutPrefix(line, "Error: "); ok {
			said = append(said, text)
		}
	}
	if len(said) == 0 {
		said = failed.said()
	}
	final := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(path), "."), ".relayctl-new")
	for i := range said {
		said[i] = strings.ReplaceAll(said[i], filepath.Base(path), final)
	}
	return &hostapi.Error{
		Code:    hostapi.CodeStep,
		Message: fmt.Sprintf("caddy %s refused %s", command, final),
		Log:     said,
		Hint:    "Caddy runs on as before. Is it as its package has it, and can the user caddy read what it needs? On the host:\n  dpkg --verify caddy\n  namei -l " + caddyfile,
	}
}

// reloadCaddy loads the Caddyfile, with the relay's workers warned. When Caddy
// refuses it, the former one is put back and Caddy runs on as before.
func (u units) reloadCaddy(ctx context.Context, b *batch, step step) error {
	refused := u.loadCaddyfile(ctx, b, step)
	if refused == nil {
		return nil
	}
	before, ok := u.session.replaced[caddyfile]
	if !ok || before.kept == "" {
		return refused
	}
	if err := u.restoreCaddyfile(ctx, b, step, before); err != nil {
		return errors.Join(refused, err)
	}
	var told *hostapi.Error
	if errors.As(refused, &told) {
		restored := *told
		restored.Message += "; the former one was put back"
		return &restored
	}
	return fmt.Errorf("%w; the former Caddyfile was put back", refused)
}

// loadCaddyfile has Caddy load the Caddyfile, if it means something else than
// what runs: a load closes every WebSocket, even when nothing changed.
func (u units) loadCaddyfile(ctx context.Context, b *batch, step step) error {
	if _, err := u.caddy(ctx, "validate", caddyfile); err != nil {
		return err
	}
	runs, err := u.caddyRuns(ctx)
	if err != nil || runs == theSame {
		return err
	}
	u.drain(ctx, b, step)
	if runs != another {
		return u.job(ctx, b, step.index, RestartUnit, step.resource.Name)
	}
	text := func(elapsed time.Duration) string {
		return fmt.Sprintf("loading the Caddyfile (%d s)", int(elapsed.Seconds()))
	}
	err = b.whileTelling(step.index, text, func() error {
		_, err := u.caddy(ctx, "reload", caddyfile)
		return err
	})
	if err != nil {
		u.resume(ctx, step) // nobody closed the connections after all
	}
	return err
}

// restoreCaddyfile puts the former Caddyfile back, on disk, in the manifest
// and, where a part of the refused one runs, in Caddy.
func (u units) restoreCaddyfile(ctx context.Context, b *batch, step step, before former) error {
	if err := u.putBack(caddyfile, before.kept); err != nil {
		return err
	}
	id := plan.ID{Kind: plan.KindFile, Name: caddyfile}
	if before.applied != nil {
		u.session.setApplied(*before.applied)
	} else {
		u.session.dropApplied(id)
	}
	if err := u.saveManifest(); err != nil {
		return err
	}
	delete(u.session.changed, id)
	if err := u.loadCaddyfile(ctx, b, step); err != nil {
		return fmt.Errorf("load the former Caddyfile: %w", err)
	}
	return u.clearIntent(step.resource.Name)
}

// caddyAnswer is what Caddy says of its configuration.
type caddyAnswer int

const (
	another   caddyAnswer = iota // it runs with another than the Caddyfile means
	theSame                      // it runs just what the Caddyfile means
	noOrders                     // it can't be asked, nor told: the Caddyfile turns its admin endpoint off, say
	elsewhere                    // nobody listens where the Caddyfile has that: it runs with another, and can't be told
)

// differs reports whether it is known to run another configuration.
func (a caddyAnswer) differs() bool { return a == another || a == elsewhere }

// caddyRuns compares what Caddy runs with what the Caddyfile means.
func (h *Host) caddyRuns(ctx context.Context) (caddyAnswer, error) {
	adapted, err := h.caddy(ctx, "adapt", caddyfile)
	if err != nil {
		return noOrders, err
	}
	var wanted any
	if err := json.Unmarshal(adapted, &wanted); err != nil {
		return noOrders, fmt.Errorf("decode adapted Caddyfile: %w", err)
	}
	admin, on := adminOf(adapted)
	if !on {
		return noOrders, nil
	}
	running, err := h.caddyConfig(ctx, admin)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, fs.ErrNotExist):
		return elsewhere, nil
	case err != nil:
		return noOrders, nil
	case reflect.DeepEqual(wanted, running):
		return theSame, nil
	}
	return another, nil
}

// loadedByOthers says why the configuration that Caddy wrote down itself is
// somebody else's and would be lost: it is resumed at each start, or runs
// although no file says so. Empty: neither. What runs by another command is that
// command's matter.
func (h *Host) loadedByOthers(ctx context.Context, view *look, state UnitState, own, whole settings) string {
	if _, err := os.Stat(h.path(caddyAutosave)); err != nil {
		return ""
	}
	start := whole["ExecStart"]
	if slices.ContainsFunc(start, resumes) {
		return "unit caddy resumes it, whatever stands in " + caddyfile
	}
	if h.isOurs(view, caddyfile) {
		return ""
	}
	if api, err := view.unit(ctx, caddyAPI); err == nil && (api.Enabled() || api.Running()) {
		return "unit caddy-api resumes it"
	}
	if !state.Running() || !slices.Equal(own["ExecStart"], start) {
		return ""
	}
	// A Caddyfile that makes no sense is not what runs.
	if runs, err := h.caddyRuns(ctx); err == nil && !runs.differs() {
		return ""
	}
	return "unit caddy runs it, and not " + caddyfile
}

// readsCaddyfile reports whether a command starts Caddy with the Caddyfile.
func readsCaddyfile(command string) bool {
	return slices.Contains(strings.Fields(command), caddyfile) && !resumes(command)
}

func resumes(command string) bool { return slices.Contains(strings.Fields(command), "--resume") }

// isOurs reports whether relayctl wrote a file.
func (h *Host) isOurs(view *look, path string) bool {
	return findApplied(view.manifest, plan.ID{Kind: plan.KindFile, Name: path}) != nil
}

// runsOtherCaddyfile reports whether Caddy is known to run something else than
// our Caddyfile, loaded through its admin endpoint, say.
func (h *Host) runsOtherCaddyfile(ctx context.Context, view *look) bool {
	if !h.isOurs(view, caddyfile) {
		return false
	}
	runs, err := h.caddyRuns(ctx) // one that makes no sense was edited, and is told as such
	return err == nil && runs.differs()
}

// mustRunCaddyfile is an error where Caddy, started or told anew, still runs
// something else than the Caddyfile.
func (u units) mustRunCaddyfile(ctx context.Context, b *batch, name string) error {
	runs, err := u.caddyRuns(ctx)
	if err != nil || !runs.differs() {
		return err
	}
	failed := u.unitError(ctx, b, name, "runs, but with another configuration than "+caddyfile)
	failed.Hint = "Is its unit as its package has it? On the host:\n  systemctl cat caddy\n  dpkg --verify caddy"
	return failed
}

// adminOf is the address of Caddy's admin endpoint in a configuration; false:
// it is off.
func adminOf(config []byte) (address string, on bool) {
	var parsed struct {
		Admin struct {
			Listen   string
			Disabled bool
		}
	}
	if json.Unmarshal(config, &parsed) != nil {
		return caddyAdmin, true
	}
	return cmp.Or(parsed.Admin.Listen, caddyAdmin), !parsed.Admin.Disabled
}

// caddyConfig asks Caddy what it runs.
func (h *Host) caddyConfig(ctx context.Context, admin string) (any, error) {
	ask := hostapi.Ask{Method: http.MethodGet, URL: "http://" + admin + "/config/", Timeout: caddyAnswers}
	if socket, ok := strings.CutPrefix(admin, "unix/"); ok {
		ask.Socket, ask.URL = strings.TrimPrefix(socket, "/"), "http://caddy/config/"
		ask.Socket = "/" + ask.Socket
	}
	ctx, cancel := context.WithTimeout(ctx, ask.Timeout)
	defer cancel()
	response, err := h.send(ctx, ask, caddyUser)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	var config any
	content, err := io.ReadAll(io.LimitReader(response.Body, maxCaddyConfig))
	if err != nil {
		return nil, err
	}
	if err := json.NewDecoder(bytes.NewReader(content)).Decode(&config); err != nil {
		return nil, fmt.Errorf("decode running configuration: %w", err)
	}
	return config, nil
}
