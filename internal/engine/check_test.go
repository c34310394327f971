package engine_test

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/relayctl/relayctl/internal/engine"
	"github.com/relayctl/relayctl/internal/plan"
	"github.com/relayctl/relayctl/internal/secret"
)

// reportedHash is the hash of a secret as a host reports it.
var reportedHash = regexp.MustCompile(`"public":"[0-9a-f]{64}"`)

// hashLie reports another hash for every secret.
func hashLie(hash string) lie {
	return func(line string) (string, bool) {
		return reportedHash.ReplaceAllString(line, fmt.Sprintf(`"public":%q`, hash)), false
	}
}

// What a worker's host reports becomes a file of the proxy host only where it
// can be so; else that worker is blamed, its entry stays as it was, and the
// others go on.
func TestWorkerThatReportsAFalseHash(t *testing.T) {
	other := secret.New("somebody").Hash()
	for name, says := range map[string]func(h *home) string{
		"no hash":                func(*home) string { return "zz" },
		"nothing":                func(*home) string { return "" },
		"capitals":               func(*home) string { return strings.ToUpper(other) },
		"too short":              func(*home) string { return other[:62] },
		"too long":               func(*home) string { return other + "00" },
		"with a line":            func(*home) string { return other[:62] + "\n0" },
		"that of another worker": func(h *home) string { return h.hashOf(h.gpu2, "worker") },
		"that of the probe key":  func(h *home) string { return h.hashOf(h.edge, "probe") },
		"that of somebody's key": func(h *home) string { return h.keys.taken["laptop"].Hash() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHome(t)
				h.mustApply()
				before := h.edge.read("/etc/relay/workers.d/gpu-1.json")
				h.config.Stack = load(t, strings.ReplaceAll(homeStack, "11434", "11439"))
				h.gpu1.lie = hashLie(says(h))
				outcome, err := h.apply()
				mustFail(t, err, "gpu-1")
				if !errors.Is(outcome.Failed[0], engine.ErrReport) || outcome.Failed[0].Hint == "" {
					t.Errorf("error %+v", outcome.Failed[0])
				}
				if after := h.edge.read("/etc/relay/workers.d/gpu-1.json"); after != before {
					t.Errorf("its entry is %s", after)
				}
				if !strings.Contains(h.gpu2.read("/etc/relay/worker.json"), "11439") || strings.Contains(h.gpu1.read("/etc/relay/worker.json"), "11439") {
					t.Error("the other worker should have gone on, and this one not")
				}
				h.gpu1.lie = nil
				h.mustApply()
				mustBeEmpty(t, h.plan())
			})
		})
	}
}

// hashOf is the hash of a secret that a machine made.
func (h *home) hashOf(m *machine, name string) string {
	return secret.New(strings.TrimSpace(m.read("/var/lib/relayctl/secrets/" + name))).Hash()
}

// The same, where the secret is made by this very apply.
func TestNewWorkerThatReportsAFalseHash(t *testing.T) {
	for name, test := range map[string]struct {
		lie  lie
		both bool
	}{
		"no hash":              {lie: hashLie("zz")},
		"one that both report": {lie: hashLie(secret.New("clone").Hash()), both: true},
		"it made none":         {lie: lieOnce(`"kind":"secret","name":"worker","exists":true`, `"kind":"secret","name":"worker","exists":false`)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHome(t)
				h.gpu1.lie = test.lie
				blamed := []string{"gpu-1"}
				if test.both {
					h.gpu2.lie = test.lie
					blamed = append(blamed, "gpu-2")
				}
				_, err := h.apply()
				mustFail(t, err, blamed...)
				if !errors.Is(err, engine.ErrReport) {
					t.Errorf("error %v", err)
				}
				if h.edge.has("/etc/relay/workers.d/gpu-1.json") || h.edge.has("/etc/relay/workers.d/gpu-2.json") == test.both {
					t.Error("its entry is there, or that of the other one is not")
				}
				if h.gpu2.has("/etc/relay/worker.json") == test.both || !h.edge.has("/etc/relay/keys.json") {
					t.Error("the others should have gone on")
				}
				h.gpu1.lie, h.gpu2.lie = nil, nil
				h.mustApply()
				mustBeEmpty(t, h.plan())
			})
		})
	}
}

// Two machines that change their names keep their secrets.
func TestWorkersThatChangeTheirNames(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		h.mustApply()
		first, second := h.hashOf(h.gpu1, "worker"), h.hashOf(h.gpu2, "worker")
		h.config.Stack = load(t, strings.NewReplacer("10.0.0.21", "10.0.0.22", "10.0.0.22", "10.0.0.21").Replace(homeStack))
		h.mustApply()
		if !strings.Contains(h.edge.read("/etc/relay/workers.d/gpu-1.json"), second) || !strings.Contains(h.edge.read("/etc/relay/workers.d/gpu-2.json"), first) {
			t.Error("the hashes did not change places")
		}
		mustBeEmpty(t, h.plan())
	})
}

// The next secret of a rotation is held to the same.
func TestRotationWithAFalseHash(t *testing.T) {
	for name, says := range map[string]func(h *home) string{
		"no hash":                func(*home) string { return "zz" },
		"that of another worker": func(h *home) string { return h.hashOf(h.gpu2, "worker") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRotor(t)
				before := r.edge.read("/etc/relay/workers.d/gpu-1.json")
				next := regexp.MustCompile(`("name":"worker\.next","exists":true,"have":\{[^}]*"public":)"[0-9a-f]{64}"`)
				hash := says(r.home)
				r.gpu1.lie = func(line string) (string, bool) {
					return next.ReplaceAllString(line, fmt.Sprintf(`${1}%q`, hash)), false
				}
				session := r.connect()
				defer session.Close()
				rotation, err := session.PlanRotation(t.Context(), engine.RotateRequest{})
				if err != nil {
					t.Fatal(err)
				}
				did, err := session.Rotate(t.Context(), rotation, func(*engine.Rotated) error { return nil })
				mustFail(t, err, "gpu-1")
				if !errors.Is(err, engine.ErrReport) || len(did.Workers) != 1 || did.Workers[0] != "gpu-2" {
					t.Errorf("rotated %v: %v", did.Workers, err)
				}
				if after := r.edge.read("/etc/relay/workers.d/gpu-1.json"); after != before {
					t.Errorf("its entry is %s", after)
				}
			})
		})
	}
}

// A proxy host's false reports are its own fault, and nothing of them gets to a
// worker.
func TestProxyThatReportsWhatCantBeSo(t *testing.T) {
	certificate := regexp.MustCompile(`"public":"-----BEGIN[^"]*"`)
	wide := func(line string) (string, bool) {
		return certificate.ReplaceAllString(line, fmt.Sprintf(`"public":%q`, wideRoot(t))), false
	}
	for name, lie := range map[string]lie{
		"a root for every domain":    wide,
		"a root with another behind": lieOnce(`-----END CERTIFICATE-----\n"`, `-----END CERTIFICATE-----\n`+strings.ReplaceAll(wideRoot(t), "\n", `\n`)+`"`),
		"a root that is none":        lieOnce("-----BEGIN CERTIFICATE-----", "-----BEGIN NOTHING-----"),
		"no hash of the probe key":   hashLie("zz"),
		"no hash of an API key":      lieOnce(`"digest":"`, `"digest":"zz`),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHome(t)
				h.mustApply()
				before := h.gpu1.read("/etc/relay/ca.pem")
				h.edge.lie = lie
				h.relay.dialled = nil
				_, err := h.apply()
				mustFail(t, err, "edge")
				if !errors.Is(err, engine.ErrReport) || h.gpu1.read("/etc/relay/ca.pem") != before {
					t.Errorf("error %v", err)
				}
				if len(h.relay.dialled) > 0 {
					t.Errorf("dialled %v", h.relay.dialled)
				}
			})
		})
	}
}

// No report of one worker's host ends the work on the others.
func TestWorkerThatReportsNonsense(t *testing.T) {
	long := strings.Repeat("x", plan.MaxShown+1)
	for name, lie := range map[string]lie{
		"another architecture": lieOnce(`"arch":"`, `"arch":"../`),
		"a very long text":     lieOnce(`"facts":{`, `"facts":{"listeners":[{"process":"`+long+`"}],`),
		"a very long key":      lieOnce(`"have":{`, `"have":{"`+long+`":"",`),
		"a very long content":  lieOnce(`"mac_key":"`, `"mac_key":"`+strings.Repeat("AAAA", plan.MaxShown/3+1)),
		"very many things":     lieOnce(`"resources":[`, `"resources":[`+strings.Repeat(`{},`, 20_001)),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHome(t)
				h.gpu1.lie = lie
				_, err := h.apply()
				mustFail(t, err, "gpu-1")
				if !errors.Is(err, engine.ErrReport) || !h.gpu2.has("/etc/relay/worker.json") {
					t.Errorf("error %v", err)
				}
			})
		})
	}
}

// A host that counts its applies too far does not have the others' count run
// over.
func TestNumbersThatRunOver(t *testing.T) {
	for _, number := range []string{"9223372036854775807", "9223372036854775806", "1073741823"} {
		t.Run(number, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHome(t)
				h.mustApply()
				h.gpu1.lie = func(line string) (string, bool) {
					return regexp.MustCompile(`"apply":[0-9]+,"time"`).ReplaceAllString(line, `"apply":`+number+`,"time"`), false
				}
				for i, port := range []string{"11435", "11436", "11437"} {
					h.config.Stack = load(t, strings.Replace(homeStack, "11434", port, 1))
					h.mustApply()
					if got := h.edge.read(journalPath); strings.Contains(got, `"apply":-`) {
						t.Errorf("apply %d: %s", i, got)
					}
				}
			})
		})
	}
}

// The number that the proxy host gives an apply is that of all its hosts.
func TestNumberThatNoApplyHas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		h.edge.lie = lieOnce(`"result":{"apply":1,`, `"result":{"apply":9223372036854775807,`)
		_, err := h.apply()
		mustFail(t, err, "edge")
		if !errors.Is(err, engine.ErrReport) || h.gpu1.has(journalPath) {
			t.Errorf("error %v", err)
		}
	})
}
