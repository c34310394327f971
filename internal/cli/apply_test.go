package cli_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/relayctl/relayctl/internal/cli"
	"github.com/relayctl/relayctl/internal/engine"
	"github.com/relayctl/relayctl/internal/plan"
)

type applyFunc = func(context.Context, *hosts, func(*engine.Outcome) error) (*engine.Outcome, error)

// succeeds is an apply that makes a key and goes well.
func succeeds(t *testing.T) applyFunc {
	return func(_ context.Context, h *hosts, show func(*engine.Outcome) error) (*engine.Outcome, error) {
		deliver(t, h)
		outcome := &engine.Outcome{
			Took: 31 * time.Second, Keys: []string{"laptop"}, Proof: answered(),
			Hosts: []engine.HostOutcome{
				{Name: "edge", Created: 3, Changed: 1, Steps: 5, Done: 5, OK: true},
				{Name: "gpu-1", Changed: 1, Steps: 1, Done: 1, OK: true},
			},
		}
		return outcome, show(outcome)
	}
}

func needsKey() *engine.Planned {
	planned := planOf(newPackage, newKey)
	planned.Keys = []string{"laptop"}
	return planned
}

func TestApplyAsksForTheNameOfTheStack(t *testing.T) {
	h := &hosts{planned: needsKey(), apply: succeeds(t)}
	c := newConsole(t, "home\n", "apply").run(h)
	c.wantCode(t, 0)
	golden(t, "applied", c.screen())
	if !h.closed {
		t.Error("the session was left open")
	}
}

func TestApplyStopsBeforeItChangesAnything(t *testing.T) {
	blocked, taken, keyless := planOf(newPackage, inTheWay), planOf(inTheWay, portTaken), needsKey()
	held := planOf(inTheWay)
	held.Failed = engine.HostErrors{unreachable("gpu-1", 9)}
	proxyGone := planOf()
	proxyGone.Failed = engine.HostErrors{unreachable("edge", 3)}
	for _, row := range []struct {
		name    string
		planned *engine.Planned
		stdin   string
		args    []string
		piped   bool
	}{
		{"another-name", needsKey(), "hom\n", nil, false},
		{"end-of-input", needsKey(), "", nil, false},
		{"no-terminal", planOf(newPackage), "home\n", nil, true},
		{"blocked", blocked, "home\n", nil, false},
		{"blocked-for-good", taken, "home\n", []string{"--yes"}, false},
		{"blocked-and-lost", held, "home\n", nil, false},
		{"nobody-for-keys", keyless, "", []string{"--yes"}, true},
		{"proxy-unreachable", proxyGone, "home\n", nil, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			h := &hosts{planned: row.planned}
			c := newConsole(t, row.stdin, append([]string{"apply"}, row.args...)...)
			if row.piped {
				c.piped()
			}
			c.run(h).wantCode(t, 1)
			if h.applied > 0 {
				t.Error("applied all the same")
			}
			golden(t, "stopped-"+row.name, c.screen())
		})
	}
}

// Who sets a stack up is shown how to use it; who repairs one knows.
func TestFirstApplyShowsARequest(t *testing.T) {
	for name, isNew := range map[string]bool{"first": true, "repair": false} {
		t.Run(name, func(t *testing.T) {
			planned := planOf(newPackage)
			planned.Hosts[0].Role, planned.Hosts[0].New = plan.RoleProxy, isNew
			h := &hosts{planned: planned, apply: func(_ context.Context, _ *hosts, show func(*engine.Outcome) error) (*engine.Outcome, error) {
				outcome := &engine.Outcome{Proof: answered(), Hosts: []engine.HostOutcome{{Name: "edge", Created: 1, Steps: 1, Done: 1, OK: true}}}
				return outcome, show(outcome)
			}}
			c := newConsole(t, "", "apply", "--yes").run(h)
			c.wantCode(t, 0)
			if got := strings.Contains(c.stdout.String(), "\nTry it, with the key of laptop in KEY:\n"); got != isNew {
				t.Errorf("a request is shown: %v, want %v\n%s", got, isNew, c.screen())
			}
		})
	}
}

func TestApplyThatHasNothingToDoStillProves(t *testing.T) {
	h := &hosts{planned: planOf(), apply: func(_ context.Context, _ *hosts, show func(*engine.Outcome) error) (*engine.Outcome, error) {
		outcome := &engine.Outcome{Proof: answered()}
		outcome.Proof.Models[0].Route = engine.RouteAddress
		outcome.Proof.Detours = []string{"domain: no such host: llm.example.com"}
		return outcome, show(outcome)
	}}
	c := newConsole(t, "", "apply").run(h)
	c.wantCode(t, 0)
	golden(t, "nothing-to-do", c.screen())
}

func TestKeysGoToAFileOfTheOwnerAlone(t *testing.T) {
	h := &hosts{planned: needsKey(), apply: succeeds(t)}
	c := newConsole(t, "", "apply", "--yes", "--keys-out", "keys").piped()
	if err := os.WriteFile("keys", []byte("other=rk_1"), 0o600); err != nil {
		t.Fatal(err)
	}
	c.run(h).wantCode(t, 0)
	got, err := os.ReadFile("keys")
	if want := "other=rk_1\nlaptop=" + testKey + "\n"; err != nil || string(got) != want {
		t.Errorf("keys file %q, %v; want %q", got, err, want)
	}
	golden(t, "applied-keys-out", c.screen())
	if strings.Contains(c.screen(), testKey) {
		t.Error("the key is on the screen as well:\n" + c.screen())
	}

	mine, err := cli.OwnedBy("keys", os.Geteuid())
	if err != nil || !mine {
		t.Errorf("own file: %v, %v", mine, err)
	}
	if others, err := cli.OwnedBy("keys", os.Geteuid()+1); err != nil || others {
		t.Errorf("another user's file: %v, %v", others, err)
	}
	if err := os.Chmod("keys", 0o644); err != nil {
		t.Fatal(err)
	}
	h = &hosts{}
	c = newConsoleHere(c, "apply", "--yes", "--keys-out", "keys").piped().run(h)
	c.wantCode(t, 1)
	golden(t, "keys-readable", c.screen())

	newConsoleHere(c, "apply", "--yes", "--keys-out", "/dev/null").run(h).wantCode(t, 1)

	h = &hosts{planned: needsKey(), apply: succeeds(t)}
	newConsoleHere(c, "apply", "--yes", "--keys-out", "fresh").run(h).wantCode(t, 0)
	if info, err := os.Stat("fresh"); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("new keys file: %v, %v; want mode 0600", info, err)
	}
}

// newConsoleHere is another command on the same machine.
func newConsoleHere(before *console, args ...string) *console {
	c := &console{System: before.System, exited: before.exited}
	c.Args, c.Stdout, c.Stderr = args, &c.stdout, &c.stderr
	return c
}

func TestApplyThatFailsOnAHost(t *testing.T) {
	planned := planOf(newPackage, newKey)
	planned.Keys = []string{"laptop"}
	planned.Failed = engine.HostErrors{unreachable("gpu-2", 9)}
	failure := &engine.HostError{
		Host: "gpu-1", Resource: plan.ID{Kind: plan.KindUnit, Name: "relay-worker.service"},
		Origin:  plan.Origin{File: "stack.hcl", Line: 11, Block: `worker "gpu-1"`},
		Summary: "unit relay-worker.service did not stay up",
		Log:     []string{"dial wss://llm.example.com: certificate \x1b[31msigned by unknown authority"},
		Hint:    "The relay's certificate is not one that gpu-1 trusts. Was the CA on edge made anew? Try: relayctl apply",
		Did:     "stopped at step 5 of 6; what was not reached is as before",
	}
	h := &hosts{planned: planned, apply: func(_ context.Context, h *hosts, show func(*engine.Outcome) error) (*engine.Outcome, error) {
		deliver(t, h)
		outcome := &engine.Outcome{
			Took: 31 * time.Second, Keys: []string{"laptop"}, Failed: append(planned.Failed, failure),
			Hosts: []engine.HostOutcome{
				{Name: "edge", Created: 3, Steps: 3, Done: 3, OK: true},
				{Name: "gpu-1", Created: 4, Steps: 6, Done: 4},
				{Name: "gpu-3", Steps: 2, Skipped: "edge failed"},
			},
		}
		if err := show(outcome); err != nil {
			return outcome, err
		}
		late := &engine.HostError{Host: "edge", Summary: "end the apply: the conversation broke off"}
		outcome.Failed = append(outcome.Failed, late)
		return outcome, outcome.Failed
	}}
	c := newConsole(t, "", "apply", "--yes").run(h)
	c.wantCode(t, 1)
	golden(t, "failed-on-a-host", c.screen())
}

func TestApplyWhoseModelsAreSilentFails(t *testing.T) {
	silent := &engine.NoToken{Model: "llama3-8b", Summary: "the relay says 503: no worker serves llama3-8b",
		Log: []string{"relay-worker: dial refused"}, Hint: "Look at it: relayctl status"}
	h := &hosts{planned: planOf(newPackage), apply: func(_ context.Context, _ *hosts, show func(*engine.Outcome) error) (*engine.Outcome, error) {
		outcome := &engine.Outcome{Took: time.Second, Proof: engine.Proof{Models: []engine.ModelProof{{Model: "llama3-8b", Err: silent}}},
			Hosts: []engine.HostOutcome{{Name: "edge", Created: 1, Steps: 1, Done: 1, OK: true}}}
		return outcome, errors.Join(show(outcome), silent)
	}}
	c := newConsole(t, "", "apply", "--yes").run(h)
	c.wantCode(t, 1)
	golden(t, "no-token", c.screen())
}

// What clients meet is said once, however many models could not be asked.
func TestApplyThatDoesNotReachTheRelayFails(t *testing.T) {
	lost := &engine.NoToken{Summary: "llm.example.com is answered by something else: 200, Server: \x1b[1mnginx",
		Log:  []string{"domain: something else answers there: 200, Server: \x1b[1mnginx", "address: no answer within 5 s", "host: no answer within 5 s"},
		Hint: "The relay itself is up on edge. Look where llm.example.com leads, and what Caddy does with it."}
	h := &hosts{planned: planOf(newPackage), apply: func(_ context.Context, _ *hosts, show func(*engine.Outcome) error) (*engine.Outcome, error) {
		proof := engine.Proof{Err: lost}
		for _, model := range []string{"llama3-8b", "qwen3-4b"} {
			proof.Models = append(proof.Models, engine.ModelProof{Model: model, Err: &engine.NoToken{Model: model, Summary: lost.Summary}})
		}
		outcome := &engine.Outcome{Took: time.Second, Proof: proof, Hosts: []engine.HostOutcome{{Name: "edge", Created: 1, Steps: 1, Done: 1, OK: true}}}
		return outcome, errors.Join(show(outcome), lost)
	}}
	c := newConsole(t, "", "apply", "--yes").run(h)
	c.wantCode(t, 1)
	golden(t, "no-relay", c.screen())
	c = newConsole(t, "", "apply", "--json", "--yes").piped().run(h)
	c.wantCode(t, 1)
	wantJSON(t, "apply-no-relay", c)
}

// A stack without workers is proved by its relay's answer.
func TestApplyWithoutWorkers(t *testing.T) {
	h := &hosts{planned: planOf(newPackage), apply: func(_ context.Context, _ *hosts, show func(*engine.Outcome) error) (*engine.Outcome, error) {
		outcome := &engine.Outcome{Took: time.Second, Proof: engine.Proof{URL: "https://llm.example.com", Route: engine.RouteAddress, Detours: []string{"domain: no such host"}},
			Hosts: []engine.HostOutcome{{Name: "edge", Created: 1, Steps: 1, Done: 1, OK: true}}}
		return outcome, show(outcome)
	}}
	c := newConsole(t, "", "apply", "--yes")
	proxyOnly, _, _ := strings.Cut(stackFile, "worker")
	if err := os.WriteFile("stack.hcl", []byte(proxyOnly+"api_key \"laptop\" {}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	c.run(h).wantCode(t, 0)
	golden(t, "applied-without-workers", c.screen())
}

// A key that could not be shown must not count as shown.
func TestOutcomeThatCannotBePrintedIsAnError(t *testing.T) {
	var shown error
	h := &hosts{planned: needsKey(), apply: func(_ context.Context, h *hosts, show func(*engine.Outcome) error) (*engine.Outcome, error) {
		deliver(t, h)
		outcome := &engine.Outcome{Keys: []string{"laptop"}}
		shown = show(outcome)
		return outcome, shown
	}}
	c := newConsole(t, "", "apply", "--yes")
	c.Stdout = fullDisk{}
	c.run(h).wantCode(t, 1)
	if !errors.Is(shown, errFull) {
		t.Errorf("show returned %v, want %v", shown, errFull)
	}
}

var errFull = errors.New("no space left on device")

type fullDisk struct{}

func (fullDisk) Write([]byte) (int, error) { return 0, errFull }

func TestOptionsReachTheEngine(t *testing.T) {
	h := &hosts{planned: planOf(), apply: func(_ context.Context, _ *hosts, show func(*engine.Outcome) error) (*engine.Outcome, error) {
		return &engine.Outcome{}, nil
	}}
	c := newConsole(t, "", "apply", "--yes", "--adopt", "--accept-new-host-keys", "--forget", "gpu-7", "--forget", "gpu-8")
	c.run(h).wantCode(t, 0)
	got := h.config
	if !got.Adopt || !got.AcceptNewHostKeys || strings.Join(got.Forget, " ") != "gpu-7 gpu-8" ||
		got.Version != "0.3.0" || got.Operator != "ops@desk" || got.Stack.Name != "home" {
		t.Errorf("engine got %+v", got)
	}
}
