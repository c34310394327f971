package engine_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/relayctl/relayctl/internal/engine"
	"github.com/relayctl/relayctl/internal/plan"
)

// tellsFormers has a machine answer otherwise how it was.
func (m *machine) tellsFormers(change func(told map[string]any)) {
	m.lie = func(line string) (string, bool) {
		var answer map[string]any
		if !strings.Contains(line, `"formers":`) || json.Unmarshal([]byte(line), &answer) != nil {
			return line, false
		}
		told, _ := answer["result"].(map[string]any)
		if told == nil {
			return line, false
		}
		change(told)
		text, err := json.Marshal(answer)
		if err != nil {
			m.t.Error(err)
		}
		return string(text) + "\n", false
	}
}

// former is one answer of how a thing was.
func former(kind plan.Kind, name string, more string) string {
	return fmt.Sprintf(`{"kind":%q,"name":%q,"before":{"kind":%q,"name":%q,"exists":true,"have":{"mode":"0644","owner":"root","group":"root","content":"sha256:aa"}},"left":{"kind":%q,"name":%q,"exists":true},"kept":"/etc/shadow","entry":{"kind":%q,"name":%q,"have":{},"made":true%s}}`,
		kind, name, kind, name, kind, name, kind, name, more)
}

// A host that is anybody's by now says how it was: what can't be so is refused,
// by its name, and the others go back all the same.
func TestHostileFormers(t *testing.T) {
	as := func(more string) string { return former("file", "/etc/x", `,"as":`+more) }
	many := "[" + strings.TrimSuffix(strings.Repeat(former("file", "/etc/x", "")+",", 30_000), ",") + "]"
	for name, formers := range map[string]string{
		"a path that is none":        "[" + former("file", "../../etc/shadow", "") + "]",
		"a name with control signs":  "[" + strings.ReplaceAll(former("file", "/etc/x", ""), "/etc/x", `/etc/\u001b[2J`) + "]",
		"an option as a package":     "[" + former("package", "--allow-downgrades", "") + "]",
		"no name":                    "[{}]",
		"an entry of something else": "[" + strings.Replace(former("file", "/etc/x", ""), `"entry":{"kind":"file","name":"/etc/x"`, `"entry":{"kind":"file","name":"/etc/y"`, 1) + "]",
		"as something else":          "[" + as(`{"kind":"package","name":"x","want":null}`) + "]",
		"a circle":                   "[" + former("file", "/etc/x", `,"as":{"kind":"file","name":"/etc/x","after":[{"kind":"file","name":"/etc/y"}]}`) + "," + former("file", "/etc/y", `,"as":{"kind":"file","name":"/etc/y","after":[{"kind":"file","name":"/etc/x"}]}`) + "]",
		"a circle of its own":        "[" + as(`{"kind":"file","name":"/etc/x","after":[{"kind":"file","name":"/etc/x"}]}`) + "]",
		"the same twice":             "[" + former("file", "/etc/x", "") + "," + former("file", "/etc/x", "") + "]",
		"too many":                   many,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHome(t)
				h.applies(homeStack, withKey(homeStack)+"\napi_key \"phone\" {}\n")
				h.gpu1.tellsFormers(func(told map[string]any) { told["formers"] = json.RawMessage(formers) })
				h.gpu1.asked()
				_, _, err := h.rollback(1)
				mustFail(t, err, "gpu-1")
				if slices.Contains(h.gpu1.asked(), "apply") {
					t.Error("it was worked on")
				}
				if failure := explained(err)[0]; !errors.Is(err, engine.ErrReport) || plan.Printable(failure.Summary, false) != failure.Summary {
					t.Errorf("error %+v", failure)
				}
				if h.edge.lastPast().Command != "rollback" {
					t.Error("the proxy host was not rolled back")
				}
			})
		})
	}
}

// Whatever a host says in the place of any member of how it was, the rollback
// ends, and where it fails it is that host that is blamed.
func TestMembersOfFormersOfAnotherType(t *testing.T) {
	found := map[string]bool{}
	var mu sync.Mutex
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		h.applies(homeStack, withKey(homeStack))
		h.gpu1.lie = func(line string) (string, bool) {
			mu.Lock()
			defer mu.Unlock()
			if strings.Contains(line, `"formers":`) {
				maps.Copy(found, members(line))
			}
			return line, false
		}
		h.mustRollback(1)
	})
	turn, failed := 0, 0
	for _, path := range slices.Sorted(maps.Keys(found)) {
		value := wrongValues[turn%len(wrongValues)]
		turn++
		synctest.Test(t, func(t *testing.T) {
			h := newHome(t)
			h.applies(homeStack, withKey(homeStack))
			h.gpu1.lie = func(line string) (string, bool) {
				if !strings.Contains(line, `"formers":`) {
					return line, false
				}
				return member(line, path, value), false
			}
			_, _, err := h.rollback(1)
			for _, failure := range explained(err) {
				failed++
				if failure.Host != "gpu-1" {
					t.Errorf("%s as %.40s: %s is blamed: %v", path, value, failure.Host, failure.Summary)
				}
			}
			if err != nil && !errors.Is(err, engine.ErrBlocked) && len(explained(err)) == 0 {
				t.Errorf("%s as %.40s: nobody is blamed: %v", path, value, err)
			}
		})
	}
	t.Logf("%d members, %d failed", len(found), failed)
	if len(found) < 20 || failed == 0 {
		t.Error("too few")
	}
}

// What can't come back on one host stops the rollback before anything is done
// anywhere.
func TestRollbackOfWhatIsNotKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		h.applies(homeStack, strings.ReplaceAll(homeStack, "11434", "11500"))
		const kept = "/var/lib/relayctl/generations/2/etc/relay/worker.json"
		if err := os.Remove(h.gpu1.path(kept)); err != nil {
			t.Fatal(err)
		}
		before := h.stands()
		rollback, _, err := h.rollback(1)
		if !errors.Is(err, engine.ErrBlocked) || !strings.Contains(changesOf(rollback), "how it was is not in "+kept+" any more") {
			t.Errorf("error %v\n%s", err, changesOf(rollback))
		}
		h.mustStand(before)
	})
}
