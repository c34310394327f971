package engine_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/relayctl/relayctl/internal/engine"
	"github.com/relayctl/relayctl/internal/plan"
)

const sharedKey = "/etc/relay/backends/llama3-8b.key"

// withKey is a stack file whose first model has a key for its engine.
func withKey(source string) string {
	return strings.Replace(source, "11434\"\n", "11434\"\n    backend_key = file(\"shared.key\")\n", 1)
}

// applies has stack files applied, one after the other.
func (h *home) applies(sources ...string) {
	h.t.Helper()
	for _, source := range sources {
		h.config.Stack = load(h.t, source)
		h.mustApply()
	}
}

func (h *home) rollback(to int) (*engine.Rollback, *engine.Outcome, error) {
	h.t.Helper()
	session := h.connect()
	defer session.Close()
	rollback, err := session.PlanRollback(h.t.Context(), to)
	if err != nil {
		return nil, nil, err
	}
	outcome, err := session.Rollback(h.t.Context(), rollback, func(*engine.Outcome) error { return nil })
	return rollback, outcome, err
}

func (h *home) mustRollback(to int) *engine.Rollback {
	h.t.Helper()
	rollback, _, err := h.rollback(to)
	if err != nil {
		h.t.Fatalf("roll back: %v\n%+v%s", err, explained(err), changesOf(rollback))
	}
	return rollback
}

// changesOf is what a rollback does, a line each.
func changesOf(rollback *engine.Rollback) string {
	var text strings.Builder
	if rollback == nil {
		return ""
	}
	for _, h := range rollback.Hosts {
		for _, c := range h.Changes {
			fmt.Fprintf(&text, "\n%s: %s %s %s%s", h.Name, c.Action, c.ID, strings.Join(c.Reasons, "; "), c.Block)
		}
	}
	return text.String()
}

// stands is what stands on all machines, by machine and path: but for what
// relay-host keeps, programs that do not run included, and what the kernel says.
func (h *home) stands() map[string]string {
	h.t.Helper()
	files := map[string]string{}
	for name, m := range map[string]*machine{"edge": h.edge, "gpu-1": h.gpu1, "gpu-2": h.gpu2} {
		err := filepath.WalkDir(m.Root, func(path string, entry fs.DirEntry, err error) error {
			at := strings.TrimPrefix(path, m.Root)
			switch {
			case err != nil:
				return err
			case at == plan.StoreDir || at == "/run" || at == "/proc":
				return filepath.SkipDir
			}
			if strings.HasPrefix(at, plan.ProgramsDir) && filepath.Base(at) != "current" {
				return nil
			}
			info, err := entry.Info()
			if err != nil {
				return err
			}
			what := info.Mode().String()
			if target, err := os.Readlink(path); err == nil {
				what += " " + target
			} else if info.Mode().IsRegular() {
				what += "\n" + m.read(at)
			}
			files[name+at] = what
			return nil
		})
		if err != nil {
			h.t.Fatal(err)
		}
	}
	return files
}

// mustStand holds that all stands on the machines as it did.
func (h *home) mustStand(before map[string]string) {
	h.t.Helper()
	if diff := cmp.Diff(before, h.stands()); diff != "" {
		h.t.Errorf("not as before (-before +now):\n%s", diff)
	}
}

// The last apply that changed anything is undone, where it did: what it
// created, changed and removed. A rollback is undone like any apply.
func TestRollback(t *testing.T) {
	admin := newAdmin(t, `{"models":[{"name":"phi"},{"name":"qwen3"}]}`)
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		first := withKey(homeStack)
		second := strings.NewReplacer("11435\"\n", "11436\"\n    backend_key = file(\"shared.key\")\n").Replace(homeStack)
		h.applies(first)
		before := h.stands()
		h.applies(second)
		after := h.stands()
		if !h.gpu2.has("/etc/relay/backends/qwen3.key") || h.gpu1.has(sharedKey) {
			t.Fatal("the second apply made nothing or took nothing away")
		}
		h.edge.useAdmin(admin)

		rollback, outcome, err := h.rollback(engine.LastChange)
		if err != nil || rollback.To != 1 || rollback.Last != 2 {
			t.Fatalf("rollback %+v: %v\n%+v", rollback, err, explained(err))
		}
		h.mustStand(before)
		if models := outcome.Proof.Models; !outcome.Proof.OK() || len(models) != 2 || models[0].Model != "phi" {
			t.Errorf("proof %+v", outcome.Proof)
		}
		for _, m := range []*machine{h.edge, h.gpu1, h.gpu2} {
			if last := m.lastPast(); last.Number != 3 || last.Command != "rollback" || last.Summary != "undid apply 2" || last.State != plan.PastDone {
				t.Errorf("history: %+v", last)
			}
		}
		if !h.edge.remembers("10.0.0.21") {
			t.Error("the proxy host does not remember gpu-1 any more")
		}
		h.config.Stack = load(t, first)
		mustBeEmpty(t, h.plan())

		if rollback := h.mustRollback(engine.LastChange); rollback.To != 2 || rollback.Last != 3 {
			t.Errorf("rollback of a rollback: %+v", rollback)
		}
		h.mustStand(after)
		h.config.Stack = load(t, second)
		mustBeEmpty(t, h.plan())
	})
}

func TestRollbackOverThree(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		h.applies(homeStack)
		before := h.stands()
		h.applies(withKey(homeStack), strings.ReplaceAll(homeStack, "11434", "11500"), withKey(homeStack))
		h.config.Stack = load(t, homeStack)
		if rollback := h.mustRollback(1); rollback.To != 1 || rollback.Last != 4 {
			t.Errorf("rollback %+v", rollback)
		}
		h.mustStand(before)
		if last := h.gpu1.lastPast(); last.Summary != "undid applies 2 to 4" {
			t.Errorf("history: %+v", last)
		}
		mustBeEmpty(t, h.plan())
	})
}

// Before the first apply there was nothing but what relayctl found; what
// clients trust stays.
func TestRollbackOfTheFirstApply(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		h.mustApply()
		if rollback := h.mustRollback(engine.LastChange); rollback.To != 0 || rollback.Last != 1 {
			t.Errorf("rollback %+v", rollback)
		}
		for _, m := range []*machine{h.edge, h.gpu1, h.gpu2} {
			if m.has("/etc/relay") || m.has("/etc/systemd/system/relay-worker.service") {
				t.Errorf("something is left on %s", m.read("/etc/machine-id"))
			}
		}
		if !h.edge.has("/var/lib/relayctl/ca") {
			t.Error("the CA has gone")
		}
		h.mustApply()
		mustBeEmpty(t, h.plan())
	})
}

// A key that was revoked since does not come back with the file that had it,
// nor does the former secret of a worker.
func TestRollbackPastRevokedCredentials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRotor(t)
		withPhone := homeStack + "\napi_key \"phone\" {}\n"
		r.applies(withPhone)
		phone := r.keys.taken["phone"].Hash()
		before := r.present(r.gpu1)
		r.applies(homeStack)
		r.mustRotate(engine.RotateRequest{Worker: "gpu-1"})
		laptop := r.keys.taken["laptop"].Hash()
		r.mustRotate(engine.RotateRequest{Key: "laptop"})
		now := r.present(r.gpu1)

		rollback := r.mustRollback(2)
		text := changesOf(rollback)
		if !strings.Contains(text, "key phone was revoked since: stays revoked") || !strings.Contains(text, "secret worker was rotated since: stays so") {
			t.Errorf("it says %s", text)
		}
		for _, path := range []string{"/etc/relay/keys.json", "/var/lib/relayctl/keys.json"} {
			keys := r.edge.read(path)
			if strings.Contains(keys, phone) || strings.Contains(keys, laptop) || !strings.Contains(keys, r.keys.taken["laptop"].Hash()) {
				t.Errorf("%s holds %s", path, keys)
			}
		}
		if known := r.known("gpu-1"); r.present(r.gpu1) != now || now == before || len(known) != 1 || known[0] != now {
			t.Errorf("gpu-1 uses %.6s, was %.6s, the relay takes %.6s", r.present(r.gpu1), before, known)
		}
		r.config.Stack = load(t, withPhone)
		if outcome := r.mustApply(); len(outcome.Keys) != 1 || outcome.Keys[0] != "phone" || r.keys.taken["phone"].Hash() == phone {
			t.Errorf("keys %v", outcome.Keys)
		}
		mustBeEmpty(t, r.plan())
	})
}

// A rotation that was broken off anywhere is not undone: workers go on with what
// the relay takes, and the next rotation finishes it.
func TestRollbackOfARotationThatWasBrokenOff(t *testing.T) {
	for _, at := range []string{"gpu-1 1", "gpu-1 2", "gpu-1 3", "edge 1", "edge 2"} {
		t.Run(at, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRotor(t)
				r.applies(withKey(homeStack))
				first := r.present(r.gpu1)
				m := map[byte]*machine{'g': r.gpu1, 'e': r.edge}[at[0]]
				m.hangUpAt, m.hangUpAfter = "apply", int(at[len(at)-1]-'1')
				if _, err := r.rotate(t.Context(), engine.RotateRequest{}); err == nil {
					t.Fatal("it went well all the same")
				}
				m.hangUpAt = ""
				r.look()
				r.mustRollback(1)
				r.look()
				r.applies(homeStack)
				r.mustRotate(engine.RotateRequest{})
				r.mustBeRotated("gpu-1", first)
			})
		})
	}
}

// A worker that was taken away since is not brought back, and does not stop the
// others; its block does it.
func TestRollbackOfTheRemovalOfAWorker(t *testing.T) {
	for name, source := range map[string]string{"with its block": homeStack, "without": homeWithout} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHome(t)
				h.applies(homeStack, homeWithout)
				h.config.Stack = load(t, source)
				rollback := h.mustRollback(engine.LastChange)
				if text := changesOf(rollback); !strings.Contains(text, "gpu-2.json named a worker whose secret was revoked") {
					t.Errorf("it says %s", text)
				}
				if h.edge.has("/etc/relay/workers.d/gpu-2.json") || h.gpu2.has("/etc/relay") {
					t.Error("gpu-2 is let in again")
				}
				if !h.edge.Systemd.Unit("relay-server.service").State.Running() || !h.gpu1.Systemd.Unit("relay-worker.service").State.Running() {
					t.Error("what was there before does not run")
				}
				h.applies(homeStack)
				mustBeEmpty(t, h.plan())
			})
		})
	}
}

// A worker that came since goes.
func TestRollbackOfANewWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		h.applies(homeWithout)
		before := h.stands()
		h.applies(homeStack)
		h.mustRollback(1)
		const relayHost = plan.ProgramsDir + "/relay-host/current" // does the going back itself, and stays
		before["gpu-2"+relayHost] = h.stands()["gpu-2"+relayHost]
		h.mustStand(before)
		h.config.Stack = load(t, homeWithout)
		h.mustApply()
		if h.gpu2.has(plan.StoreDir) || h.edge.remembers("10.0.0.22") {
			t.Error("gpu-2 is still remembered, or remembers")
		}
		mustBeEmpty(t, h.plan())
	})
}

// What was edited since stops the going back, and nothing is done.
func TestRollbackOverAnEdit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		h.applies(homeStack, withKey(homeStack))
		h.gpu1.write("/etc/relay/worker.json", "{}\n")
		before := h.stands()
		rollback, _, err := h.rollback(1)
		if !errors.Is(err, engine.ErrBlocked) {
			t.Fatalf("error %v", err)
		}
		blocked := rollback.Blocked()
		if len(blocked) != 1 || blocked[0].ID.Name != "/etc/relay/worker.json" || !strings.HasPrefix(blocked[0].Block, "edited on the host since") {
			t.Errorf("blocked by %+v", blocked)
		}
		h.mustStand(before)
		h.mustApply() // which mends it
		h.config.Stack = load(t, homeStack)
		h.mustRollback(1)
		mustBeEmpty(t, h.plan())
	})
}

// A worker that is away is a failure, stops no other, and is undone later.
func TestRollbackWithAWorkerAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		h.applies(homeStack)
		before := h.stands()
		h.applies(strings.ReplaceAll(withKey(homeStack), "11434", "11500"))
		h.gpu2.refuse = errors.New("connection timed out")
		_, _, err := h.rollback(1)
		mustFail(t, err, "gpu-2")
		if h.gpu1.has(sharedKey) || !strings.Contains(h.gpu2.read("/etc/relay/worker.json"), "11500") {
			t.Error("gpu-1 was not rolled back, or gpu-2 was")
		}
		h.gpu2.refuse = nil
		if rollback := h.mustRollback(1); rollback.Counts().Total() == 0 || rollback.Hosts[1].Counts().Total() > 0 {
			t.Errorf("rollback %s", changesOf(rollback))
		}
		h.mustStand(before)
		h.config.Stack = load(t, homeStack)
		mustBeEmpty(t, h.plan())
	})
}

func TestNothingToRollBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		if _, _, err := h.rollback(engine.LastChange); !errors.Is(err, engine.ErrNothingToUndo) {
			t.Errorf("nothing was applied: %v", err)
		}
		h.mustApply()
		h.mustApply()
		before := h.snapshots()
		for _, to := range []int{1, 2, 9} {
			if _, _, err := h.rollback(to); !errors.Is(err, engine.ErrNothingToUndo) {
				t.Errorf("back to %d: %v", to, err)
			}
		}
		if diff := cmp.Diff(before, h.snapshots()); diff != "" {
			t.Error(diff)
		}
		if rollback := h.mustRollback(engine.LastChange); rollback.Last != 1 {
			t.Errorf("the last apply that changed anything is %d", rollback.Last)
		}
	})
}

// A host that does not remember that far back stops all.
func TestRollbackThatAHostDoesNotRemember(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		h.applies(homeStack, withKey(homeStack), homeStack)
		h.gpu1.write(journalPath, strings.Replace(h.gpu1.read(journalPath), `"oldest":0`, `"oldest":2`, 1))
		before := h.stands()
		_, _, err := h.rollback(1)
		mustFail(t, err, "gpu-1")
		if failure := explained(err)[0]; !strings.Contains(failure.Summary, "back to apply 2, and no further") {
			t.Errorf("error %+v", failure)
		}
		h.mustStand(before)
		h.mustRollback(2)
	})
}
