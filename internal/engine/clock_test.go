package engine_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/relayctl/relayctl/internal/engine"
)

// The host tells its time at some moment between begin and end of dialling, in
// whole seconds: what lies between is no error of the clock.
func TestClockOff(t *testing.T) {
	began := time.Date(2026, 11, 22, 6, 0, 0, 500_000_000, time.UTC)
	ended := began.Add(20 * time.Second) // a slow line
	for told, want := range map[string]time.Duration{
		"2026-11-22T06:00:00Z":      0,
		"2026-11-22T06:00:20Z":      0,
		"2026-11-22T05:59:59Z":      -500 * time.Millisecond,
		"2026-11-22T05:00:00Z":      -59*time.Minute - 59*time.Second - 500*time.Millisecond,
		"2026-11-22T07:00:20Z":      59*time.Minute + 59*time.Second + 500*time.Millisecond,
		"2026-11-22T08:00:10+02:00": 0,                          // whatever the zone
		"9999-12-31T23:59:59Z":      100 * 365 * 24 * time.Hour, // a lie: as far as it matters
		"0001-01-01T00:00:00Z":      -100 * 365 * 24 * time.Hour,
		"":                          0,
		"yesterday":                 0,
	} {
		if got := engine.ClockOff(told, began, ended); got != want {
			t.Errorf("%q: off by %v, want %v", told, got, want)
		}
	}
}

func TestClockInWords(t *testing.T) {
	for off, want := range map[time.Duration]string{
		-62 * time.Second:                  "its clock is 1 min 2 s behind: ",
		-62*time.Minute - time.Second:      "its clock is 1 h 2 min behind: ",
		72 * time.Hour:                     "its clock is 3 days ahead: ",
		-10*365*24*time.Hour - time.Minute: "its clock is 10 years behind: ",
	} {
		if got := (engine.Clock{Host: "gpu-1", Off: off}).Summary(); !strings.HasPrefix(got, want) {
			t.Errorf("%v: %q, want %q", off, got, want)
		}
	}
}

func TestClocksThatAreOff(t *testing.T) {
	for _, test := range []struct {
		name               string
		edge, gpu1, gpu2   time.Duration
		plan, status, hint string
	}{
		{"none", 0, 50 * time.Second, -50 * time.Second, "", "", ""},
		{"one", 0, -time.Hour - 2*time.Minute - 30*time.Second, 0, "gpu-1: its clock is 1 h 2 min behind: ", "gpu-1", "timedatectl set-ntp true"},
		{"this machine's own", time.Hour, time.Hour, time.Hour + 20*time.Second, ": the clock of this machine is 1 h 0 min behind: ", "", "Set this machine's clock"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHome(t)
				h.mustApply()
				h.edge.clockOff, h.gpu1.clockOff, h.gpu2.clockOff = test.edge, test.gpu1, test.gpu2
				planned := h.plan()
				if !planned.Empty() {
					t.Error("there is something to do")
				}
				if len(planned.Clocks) == 0 && test.plan == "" {
					return
				}
				if len(planned.Clocks) != 1 || !strings.HasPrefix(planned.Clocks[0].Host+": "+planned.Clocks[0].Summary(), test.plan) ||
					!strings.Contains(planned.Clocks[0].Hint(), test.hint) {
					t.Errorf("the plan tells %+v", planned.Clocks)
				}
				problems := h.status().Problems
				if len(problems) == 0 || problems[0].Host != test.status || problems[0].Summary != planned.Clocks[0].Summary() {
					t.Errorf("status tells %+v", problems)
				}
			})
		})
	}
}

// Where clocks disagree in several ways, each host's is told.
func TestSeveralClocksThatAreOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		h.edge.clockOff, h.gpu1.clockOff, h.gpu2.clockOff = 2*time.Hour, -time.Hour, time.Hour
		var hosts []string
		for _, clock := range h.plan().Clocks {
			hosts = append(hosts, clock.Host)
		}
		if diff := cmp.Diff([]string{"edge", "gpu-1", "gpu-2"}, hosts); diff != "" {
			t.Errorf("hosts whose clocks are off (-want +got):\n%s", diff)
		}
	})
}
