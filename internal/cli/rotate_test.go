package cli_test

import (
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/relayctl/relayctl/internal/engine"
)

func (h *hosts) PlanRotation(_ context.Context, request engine.RotateRequest) (*engine.Rotation, error) {
	h.asked = request
	return h.rotation, h.err
}

func (h *hosts) Rotate(_ context.Context, _ *engine.Rotation, show func(*engine.Rotated) error) (*engine.Rotated, error) {
	h.applied++
	return h.rotate(h, show)
}

func twoWorkers() *engine.Rotation {
	return &engine.Rotation{Stack: "home", Workers: []engine.RotatingWorker{{Name: "gpu-1"}, {Name: "gpu-2", Unfinished: true}}}
}

// rotates is a rotation that goes well.
func rotates(h *hosts, show func(*engine.Rotated) error) (*engine.Rotated, error) {
	tell := h.config.Events
	tell(engine.Event{Host: "gpu-1", Phase: engine.Reached, Text: "new secret made, known to the relay beside the old one"})
	tell(engine.Event{Host: "gpu-1", Phase: engine.Reached, Text: "reconnected with the new one", Took: 200 * time.Millisecond})
	tell(engine.Event{Host: "relay", Phase: engine.Reached, Text: "old secrets revoked; nobody used them any more"})
	rotated := &engine.Rotated{
		Outcome: engine.Outcome{Took: 1400 * time.Millisecond, Proof: answered()},
		Workers: []string{"gpu-1", "gpu-2"}, Counted: true, Requests: 212,
	}
	return rotated, show(rotated)
}

func TestRotateAsksForTheNameOfTheStack(t *testing.T) {
	h := &hosts{rotation: twoWorkers(), rotate: rotates}
	c := newConsole(t, "home\n", "rotate-secret").run(h)
	c.wantCode(t, 0)
	golden(t, "rotated", c.screen())
	if !h.closed || h.asked != (engine.RotateRequest{Grace: 24 * time.Hour}) {
		t.Errorf("closed: %t, asked for %+v", h.closed, h.asked)
	}
}

func TestRotateStopsBeforeItChangesAnything(t *testing.T) {
	for _, row := range []struct {
		name  string
		stdin string
		args  []string
		err   error
		piped bool
	}{
		{"another-name", "hom\n", nil, nil, false},
		{"no-terminal", "home\n", nil, nil, true},
		{"unknown-worker", "home\n", []string{"--worker", "gpu1"}, nil, false},
		{"unknown-key", "home\n", []string{"--key", "phone"}, nil, false},
		{"nobody-for-the-key", "", []string{"--key", "laptop", "--yes"}, nil, true},
		{"grace-without-a-key", "", []string{"--grace", "1h", "--yes"}, nil, false},
		{"never-applied", "home\n", nil, engine.ErrNotApplied, false},
		{"drift", "home\n", nil, engine.ErrDrift, false},
		{"own-key", "home\n", []string{"--key", "phone"}, nil, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			h := &hosts{rotation: twoWorkers(), err: row.err}
			c := newConsole(t, row.stdin, append([]string{"rotate-secret"}, row.args...)...)
			if row.name == "own-key" {
				more := stackFile + "\nvariable \"phone\" {\n  type = string\n  sensitive = true\n}\n\napi_key \"phone\" {\n  value = var.phone\n}\n"
				c.Env = func(name string) (string, bool) { return strings.Repeat("x", 40), name == "RELAYCTL_VAR_phone" }
				if err := os.WriteFile("stack.hcl", []byte(more), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if row.piped {
				c.piped()
			}
			c.run(h).wantCode(t, 1)
			if h.applied > 0 {
				t.Error("rotated all the same")
			}
			golden(t, "rotate-"+row.name, c.screen())
		})
	}
}

func TestRotatedKeyIsWrittenToAFile(t *testing.T) {
	h := &hosts{rotation: &engine.Rotation{Stack: "home", RotateRequest: engine.RotateRequest{Key: "laptop", Grace: 90 * time.Minute}},
		rotate: func(h *hosts, show func(*engine.Rotated) error) (*engine.Rotated, error) {
			deliver(t, h)
			rotated := &engine.Rotated{
				Outcome: engine.Outcome{Took: time.Second, Keys: []string{"laptop"}, Proof: answered()}, Until: now.Add(90 * time.Minute),
			}
			return rotated, show(rotated)
		}}
	c := newConsole(t, "", "rotate-secret", "--key", "laptop", "--grace", "90m", "--keys-out", "keys", "--yes").piped().run(h)
	c.wantCode(t, 0)
	golden(t, "rotated-key", c.screen())
	if h.asked.Key != "laptop" || h.asked.Grace != 90*time.Minute {
		t.Errorf("asked for %+v", h.asked)
	}
	if got, err := os.ReadFile("keys"); err != nil || string(got) != "laptop="+testKey+"\n" {
		t.Errorf("keys file %q, %v", got, err)
	}
}

func TestRotationThatFailsOnAHost(t *testing.T) {
	failure := &engine.HostError{Host: "gpu-2", Summary: "its worker did not come to the relay with its new secret within 1 min",
		Log: []string{"gpu-2: can't connect"}, Did: "the rotation is not finished there, and the old secret stays good"}
	h := &hosts{rotation: twoWorkers(), rotate: func(_ *hosts, show func(*engine.Rotated) error) (*engine.Rotated, error) {
		rotated := &engine.Rotated{Outcome: engine.Outcome{Failed: engine.HostErrors{failure}, Proof: answered()}, Workers: []string{"gpu-1"}}
		if err := show(rotated); err != nil {
			return rotated, err
		}
		return rotated, rotated.Failed
	}}
	c := newConsole(t, "", "rotate-secret", "--yes").run(h)
	c.wantCode(t, 1)
	golden(t, "rotate-failed-on-a-host", c.screen())
}
