package engine_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/relayctl/relayctl/internal/engine"
	"github.com/relayctl/relayctl/internal/secret"
)

// rotor is an applied home whose relay tells of connections as they follow
// from the files on the hosts: each worker is connected with the secret that
// its file holds, some time after it was told to read it.
type rotor struct {
	*home
	mu      sync.Mutex
	used    map[string]string    // hash of the secret of the newest connection, by worker
	older   map[string]time.Time // until when an older connection is there, by worker
	lingers time.Duration        // how long older connections have answers to finish
	away    map[string]bool      // workers that do not come back with a new secret
	ended   int                  // requests that the relay has counted
}

func newRotor(t testing.TB) *rotor { return newRotorOf(newHome(t)) }

func newRotorOf(h *home) *rotor {
	r := &rotor{home: h, used: map[string]string{}, older: map[string]time.Time{}, away: map[string]bool{}}
	r.mustApply()
	r.edge.dial = r.dialAdmin
	r.look()
	return r
}

func (r *rotor) workers() map[string]*machine {
	return map[string]*machine{"gpu-1": r.gpu1, "gpu-2": r.gpu2}
}

// present is the hash of the secret in a worker's file.
func (r *rotor) present(m *machine) string {
	return secret.New(strings.TrimSpace(m.read("/etc/relay/worker.secret"))).Hash()
}

// known are the hashes that the relay takes from a worker.
func (r *rotor) known(name string) []string {
	var entry struct{ Hashes []string }
	if err := json.Unmarshal([]byte(r.edge.read("/etc/relay/workers.d/"+name+".json")), &entry); err != nil {
		r.t.Error(err)
	}
	return entry.Hashes
}

// look has workers follow their files, and holds what makes a rotation
// harmless: no connection is there, and none is opened, with a secret that the
// relay does not take.
func (r *rotor) look() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, m := range r.workers() {
		hash := r.present(m)
		if !slices.Contains(r.known(name), hash) {
			r.t.Errorf("%s is to use a secret that the relay does not take", name)
		}
		if r.used[name] == hash || r.away[name] {
			continue
		}
		if r.used[name] != "" {
			r.older[name] = time.Now().Add(r.lingers)
		}
		r.used[name] = hash
	}
	for name, until := range r.older {
		if time.Now().Before(until) && len(r.known(name)) < 2 {
			r.t.Errorf("the old secret of %s was revoked under answers that run", name)
		}
	}
}

// dialAdmin answers one request to the relay's admin socket.
func (r *rotor) dialAdmin(context.Context, string, string) (net.Conn, error) {
	near, far := net.Pipe()
	go func() {
		defer far.Close()
		if _, err := http.ReadRequest(bufio.NewReader(far)); err != nil {
			return
		}
		r.look()
		body := r.status()
		fmt.Fprintf(far, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", len(body), body)
	}()
	return near, nil
}

func (r *rotor) status() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended += 10
	var workers []map[string]any
	for name, hash := range r.used {
		workers = append(workers, map[string]any{"name": name, "connected": true, "secret": hash[:12]})
		if time.Now().Before(r.older[name]) {
			workers = append(workers, map[string]any{"name": name, "connected": true, "secret": strings.Repeat("0", 12)})
		}
	}
	body, err := json.Marshal(map[string]any{
		"started": time.Unix(1, 0).UTC(), "ended": r.ended, "failed": 0, "workers": workers, "models": []any{},
	})
	if err != nil {
		r.t.Error(err)
	}
	return body
}

// rotate plans and rotates.
func (r *rotor) rotate(ctx context.Context, request engine.RotateRequest) (*engine.Rotated, error) {
	r.t.Helper()
	session := r.connect()
	defer session.Close()
	rotation, err := session.PlanRotation(r.t.Context(), request)
	if err != nil {
		return nil, err
	}
	return session.Rotate(ctx, rotation, func(*engine.Rotated) error { return nil })
}

// mustRotate is a rotation that goes well, after which nothing is left to do.
func (r *rotor) mustRotate(request engine.RotateRequest) *engine.Rotated {
	r.t.Helper()
	rotated, err := r.rotate(r.t.Context(), request)
	if err != nil {
		r.t.Fatalf("rotate: %v\n%+v", err, explained(err))
	}
	r.look()
	mustBeEmpty(r.t, r.plan())
	return rotated
}

// mustBeRotated holds that a worker and the relay have one secret, another
// than before.
func (r *rotor) mustBeRotated(name, before string) {
	r.t.Helper()
	now := r.present(r.workers()[name])
	if known := r.known(name); now == before || !slices.Equal(known, []string{now}) {
		r.t.Errorf("%s: uses %.6s, was %.6s, the relay takes %.6s", name, now, before, known)
	}
	if r.workers()[name].has("/var/lib/relayctl/secrets/worker.next") {
		r.t.Errorf("%s: a next secret is left", name)
	}
}

func TestRotateWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRotor(t)
		first, second := r.present(r.gpu1), r.present(r.gpu2)
		rotated := r.mustRotate(engine.RotateRequest{})
		r.mustBeRotated("gpu-1", first)
		r.mustBeRotated("gpu-2", second)
		if !slices.Equal(rotated.Workers, []string{"gpu-1", "gpu-2"}) || !rotated.Counted || rotated.Requests == 0 || !rotated.Proof.OK() {
			t.Errorf("rotated %+v", rotated)
		}
		for _, m := range []*machine{r.edge, r.gpu1, r.gpu2} {
			if last := m.lastPast(); last.Command != "rotate-secret" {
				t.Errorf("history: %+v", last)
			}
		}

		first, second = r.present(r.gpu1), r.present(r.gpu2)
		r.mustRotate(engine.RotateRequest{Worker: "gpu-2"})
		r.mustBeRotated("gpu-2", second)
		if r.present(r.gpu1) != first {
			t.Error("gpu-1 was rotated, too")
		}
	})
}

// Answers on an older connection are waited for, however long they take.
func TestRotateWaitsForOlderConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRotor(t)
		r.lingers = 20 * time.Minute
		began := time.Now()
		r.mustRotate(engine.RotateRequest{Worker: "gpu-1"})
		if took := time.Since(began); took < r.lingers {
			t.Errorf("ended after %v", took)
		}
		if len(r.heard("gpu-1", engine.Waiting)) == 0 {
			t.Error("nobody was told what is waited for")
		}
	})
}

// A rotation that is broken off anywhere is shown, kept by apply and finished
// by the next one.
func TestRotateBrokenOff(t *testing.T) {
	type cut struct {
		at  func(*rotor) *machine
		op  string // the connection to the host ends at its nth
		nth int
	}
	edge, gpu1 := func(r *rotor) *machine { return r.edge }, func(r *rotor) *machine { return r.gpu1 }
	var cuts []cut
	for nth := 1; nth <= 3; nth++ {
		cuts = append(cuts, cut{gpu1, "apply", nth})
	}
	for nth := 1; nth <= 2; nth++ {
		cuts = append(cuts, cut{edge, "apply", nth}, cut{edge, "ask", nth})
	}
	cuts = append(cuts, cut{edge, "lock", 1}, cut{edge, "finish", 1}, cut{gpu1, "finish", 1}, cut{gpu1, "unlock", 1})
	for _, c := range cuts {
		t.Run(fmt.Sprintf("%s of %d", c.op, c.nth), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRotor(t)
				first, second := r.present(r.gpu1), r.present(r.gpu2)
				m := c.at(r)
				m.hangUpAt, m.hangUpAfter = c.op, c.nth-1
				if _, err := r.rotate(t.Context(), engine.RotateRequest{}); err == nil {
					t.Fatal("it went well all the same")
				}
				m.hangUpAt = ""
				r.look()
				unfinished := r.gpu1.has("/var/lib/relayctl/secrets/worker.next")
				if shown := r.shows("gpu-1"); shown != unfinished {
					t.Errorf("unfinished is %t, shown is %t", unfinished, shown)
				}
				r.mustApply()
				r.look()
				if kept := r.gpu1.has("/var/lib/relayctl/secrets/worker.next"); kept != unfinished {
					t.Errorf("apply left it unfinished: %t, was %t", kept, unfinished)
				}
				r.mustRotate(engine.RotateRequest{})
				r.mustBeRotated("gpu-1", first)
				r.mustBeRotated("gpu-2", second)
			})
		})
	}
}

// shows reports whether plan calls attention to a worker's rotation.
func (r *rotor) shows(name string) bool {
	r.t.Helper()
	for _, h := range r.plan().Hosts {
		for _, change := range h.Changes {
			if h.Worker == name && strings.Contains(fmt.Sprint(change.Notes), "rotate-secret --worker "+name) {
				return true
			}
		}
	}
	return false
}

// What one worker can't do leaves its old secret good, and stops no other.
func TestRotateWithoutAWorker(t *testing.T) {
	for name, row := range map[string]struct {
		spoil, mend func(*rotor)
		told        string
	}{
		"it does not come back": {
			func(r *rotor) { r.away["gpu-1"] = true }, func(r *rotor) { r.away["gpu-1"] = false },
			"its worker did not come to the relay with its new secret within 1 min",
		},
		"it can't be reached": {
			func(r *rotor) { r.gpu1.refuse = errors.New("connection timed out") }, func(r *rotor) { r.gpu1.refuse = nil },
			"connection timed out",
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRotor(t)
				first, second := r.present(r.gpu1), r.present(r.gpu2)
				row.spoil(r)
				rotated, err := r.rotate(t.Context(), engine.RotateRequest{})
				mustFail(t, err, "gpu-1")
				if !strings.Contains(err.Error(), row.told) || !slices.Equal(rotated.Workers, []string{"gpu-2"}) {
					t.Errorf("error %v, rotated %v", err, rotated.Workers)
				}
				if !slices.Contains(r.known("gpu-1"), first) {
					t.Error("the old secret was revoked")
				}
				r.mustBeRotated("gpu-2", second)
				row.mend(r)
				r.look()
				r.mustRotate(engine.RotateRequest{Worker: "gpu-1"})
				r.mustBeRotated("gpu-1", first)
			})
		})
	}
}

// Without a token the old secret stays good.
func TestRotateWithoutAToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRotor(t)
		first := r.present(r.gpu1)
		r.relay.setAnswer(refuseWith(http.StatusBadGateway, "the engine broke off"))
		if _, err := r.rotate(t.Context(), engine.RotateRequest{Worker: "gpu-1"}); err == nil {
			t.Error("it went well")
		}
		if !slices.Contains(r.known("gpu-1"), first) {
			t.Error("the old secret was revoked")
		}
		r.relay.setAnswer(giveToken)
		r.mustRotate(engine.RotateRequest{Worker: "gpu-1"})
		r.mustBeRotated("gpu-1", first)
	})
}

func TestRotateRefuses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fresh := &rotor{home: newHome(t)}
		if _, err := fresh.rotate(t.Context(), engine.RotateRequest{}); !errors.Is(err, engine.ErrNotApplied) {
			t.Errorf("before the first apply: %v", err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		r := newRotor(t)
		r.gpu1.write("/etc/relay/worker.json", "{}")
		if _, err := r.rotate(t.Context(), engine.RotateRequest{}); !errors.Is(err, engine.ErrDrift) {
			t.Errorf("with an edited host: %v", err)
		}
		if _, err := r.rotate(t.Context(), engine.RotateRequest{Worker: "gpu-2"}); err != nil {
			t.Errorf("of a worker that is in order: %v", err)
		}
	})
}

func TestRotateKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRotor(t)
		first := r.keys.taken["laptop"]
		keysFile := func() string { return r.edge.read("/etc/relay/keys.json") }
		r.keys.heard = func() {
			if !strings.Contains(keysFile(), first.Hash()) || strings.Count(keysFile(), `"hash"`) != 2 {
				t.Error("something was changed before the key was handed over")
			}
		}
		rotated := r.mustRotate(engine.RotateRequest{Key: "laptop", Grace: time.Hour})
		r.keys.heard = nil
		second := r.keys.taken["laptop"]
		if !slices.Equal(rotated.Keys, []string{"laptop"}) || second == first || time.Until(rotated.Until).Round(time.Minute) != time.Hour {
			t.Errorf("rotated %+v", rotated)
		}
		if !strings.Contains(keysFile(), second.Hash()) || !strings.Contains(keysFile(), first.Hash()) ||
			!strings.Contains(keysFile(), rotated.Until.UTC().Format(time.RFC3339)) {
			t.Errorf("the relay's keys:\n%s", keysFile())
		}
		time.Sleep(2 * time.Hour)
		if r.plan().Empty() {
			t.Error("the key whose grace is over is not taken out")
		}
		r.mustApply()
		if strings.Contains(keysFile(), first.Hash()) || !strings.Contains(keysFile(), second.Hash()) {
			t.Errorf("the relay's keys, after the grace:\n%s", keysFile())
		}
		mustBeEmpty(t, r.plan())

		r.keys.err = errors.New("disk full")
		if _, err := r.rotate(t.Context(), engine.RotateRequest{Key: "laptop", Grace: time.Hour}); !errors.Is(err, r.keys.err) {
			t.Errorf("error %v", err)
		}
		mustBeEmpty(t, r.plan())
	})
}
