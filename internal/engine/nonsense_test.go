package engine_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/relayctl/relayctl/internal/engine"
)

// wrongValues are of every type, none of which every member has.
var wrongValues = []string{
	`null`, `true`, `-1`, `1e400`, `99999999999999999999`, `1.5`, `""`, `"\u001b[2J\u202e"`, `"\ud800"`, `[]`, `[null]`, `[[1]]`, `{}`, `{"a":{"b":[]}}`, `"` + strings.Repeat("x", 70_000) + `"`,
	strings.Repeat("[", 9000) + strings.Repeat("]", 9000), strings.Repeat("[", 20_000),
}

// member replaces a member of a line, named by its path, wherever it stands.
func member(line, path, value string) string {
	prefix, text := "", line
	if at := strings.Index(line, "{"); at > 0 {
		prefix, text = line[:at], line[at:]
	}
	var v any
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	if decoder.Decode(&v) != nil {
		return line
	}
	const mark = "the value that is replaced"
	v = replaced(v, "", path, mark)
	encoded, err := json.Marshal(v)
	if err != nil {
		return line
	}
	return prefix + strings.ReplaceAll(string(encoded), `"`+mark+`"`, value) + "\n"
}

func replaced(v any, at, path string, by any) any {
	if at == path {
		return by
	}
	switch v := v.(type) {
	case map[string]any:
		for name := range v {
			v[name] = replaced(v[name], at+"."+name, path, by)
		}
	case []any:
		for i := range v {
			v[i] = replaced(v[i], at+"[]", path, by)
		}
	}
	return v
}

// members are the paths of all members of a line.
func members(line string) map[string]bool {
	found := map[string]bool{}
	var v any
	if at := strings.Index(line, "{"); at >= 0 && json.Unmarshal([]byte(line[at:]), &v) == nil {
		walk(v, "", found)
	}
	return found
}

func walk(v any, at string, found map[string]bool) {
	found[at] = true
	switch v := v.(type) {
	case map[string]any:
		for name := range v {
			if !strings.Contains(name, "/") {
				walk(v[name], at+"."+name, found)
			}
		}
	case []any:
		for i := range v {
			walk(v[i], at+"[]", found)
		}
	}
}

// Whatever a host greets with, an error names it, or it is as it says; the
// others are reached.
func TestHostileGreetings(t *testing.T) {
	tried, refused := 0, 0
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		var greeting string
		h.gpu1.greets = func(line string) (string, bool) {
			if strings.HasPrefix(line, "relay-host greets ") {
				greeting = line
			}
			return line, false
		}
		h.connect().Close()
		_, hello, _ := strings.Cut(strings.TrimSpace(greeting), "greets ")
		greetings := []string{
			"", "\n", "relay-host greets\n", "relay-host greets \n", "relay-host greets null\n", "relay-host greets []\n", "relay-host greets {}\n", "relay-host greets {\n", greeting[:len(greeting)/2], strings.Repeat("x", 1<<20),
			strings.Repeat("\n", 1<<17), "relay-host greets " + strings.Repeat("[", 50_000) + "\n", "relay-host greets {\"x\":\"" + strings.Repeat("x", 1<<20) + "\"}\n", "\x1b[2J" + greeting[1:], "relay-host greets \x00" + hello + "\n",
			"relay-host greets {\"protocol\":99," + hello[1:] + "\n", "relay-host greets " + hello + hello + "\n", greeting + greeting, strings.ToUpper(greeting), "relay-host greets {\"protocol\":99}\n",
		}
		for _, path := range slices.Sorted(maps.Keys(members(greeting))) {
			for _, value := range wrongValues {
				greetings = append(greetings, member(greeting, path, value))
			}
		}
		for _, greeting := range greetings {
			h.gpu1.greets = func(line string) (string, bool) {
				if strings.HasPrefix(line, "relay-host greets ") {
					return greeting, false
				}
				return line, false
			}
			if greeting == "" {
				continue // a host that says nothing is another test's
			}
			tried++
			session, err := engine.Connect(t.Context(), h.config)
			if err != nil {
				t.Errorf("%.60q: nothing is connected: %v", greeting, err)
				continue
			}
			planned, err := session.Plan(t.Context())
			switch {
			case err == nil && len(planned.Failed) == 0:
			case err != nil:
				t.Errorf("%.60q: plan: %v", greeting, err)
			default:
				refused++
				for _, failure := range planned.Failed {
					if failure.Host != "gpu-1" {
						t.Errorf("%.60q: %s is blamed", greeting, failure.Host)
					}
				}
			}
			session.Close()
		}
	})
	t.Logf("%d greetings tried, %d refused with the name of the host", tried, refused)
	if refused == 0 || tried < 100 {
		t.Error("too few")
	}
}

// Each member of each answer of a host with values of every other type: the
// apply ends, and where it fails it is that host that is blamed.
func TestMembersOfAnotherType(t *testing.T) {
	found := map[string]bool{}
	var mu sync.Mutex
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		h.gpu1.lie = func(line string) (string, bool) {
			mu.Lock()
			defer mu.Unlock()
			maps.Copy(found, members(line))
			return line, false
		}
		h.mustApply()
	})
	const each = 1 // of the wrong values, in turn
	tried, failed, turn := 0, 0, 0
	for _, path := range slices.Sorted(maps.Keys(found)) {
		for range each {
			value := wrongValues[turn%len(wrongValues)]
			turn++
			synctest.Test(t, func(t *testing.T) {
				h := newHome(t)
				h.gpu1.lie = func(line string) (string, bool) { return member(line, path, value), false }
				tried++
				session := h.connect()
				defer session.Close()
				planned, err := session.Plan(t.Context())
				if err == nil {
					_, err = session.Apply(t.Context(), planned, func(*engine.Outcome) error { return nil })
				}
				if err == nil {
					return
				}
				failed++
				if !bytes.Contains([]byte(fmt.Sprint(err)), []byte("gpu-1")) {
					t.Errorf("%s as %.40s: no word of the host: %v", path, value, err)
				}
				for _, failure := range explained(err) {
					if failure.Host != "gpu-1" {
						t.Errorf("%s as %.40s: %s is blamed: %v", path, value, failure.Host, failure.Summary)
					}
				}
			})
		}
	}
	t.Logf("%d members with %d value each: %d applies, %d failed with the name of the host", len(found), each, tried, failed)
	if tried < 50 || failed == 0 {
		t.Error("too few")
	}
}
