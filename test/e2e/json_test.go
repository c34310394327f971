package e2e_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/relayctl/relayctl/test/lab"
)

// jsonLine is what the test reads of a document; docs/json.md tells of the
// rest.
type jsonLine struct {
	Type     string `json:"type"`
	Host     string `json:"host"`
	OK       bool   `json:"ok"`
	ExitCode int    `json:"exit_code"`
	Changes  []struct {
		Host string          `json:"host"`
		Name string          `json:"name"`
		Diff json.RawMessage `json:"diff"`
	} `json:"changes"`
	NewKeys  json.RawMessage `json:"new_keys"`
	Problems []struct {
		Host string `json:"host"`
	} `json:"problems"`
	Models []struct {
		OK bool `json:"ok"`
	} `json:"models"`
	Errors []struct {
		Code string `json:"code"`
	} `json:"errors"`
	Created int `json:"created"`
}

// asJSON runs relayctl, all of whose output has to be JSON, a document a line,
// the last of which tells the exit code.
func (s *site) asJSON(code int, args ...string) []jsonLine {
	s.t.Helper()
	r := s.relayctl(args...)
	var lines []jsonLine
	for text := range strings.Lines(r.out) {
		var line jsonLine
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			s.t.Fatalf("no JSON: %v\n%s", err, text)
		}
		lines = append(lines, line)
	}
	if r.code != code || len(lines) == 0 || lines[len(lines)-1].ExitCode != code {
		s.t.Fatalf("relayctl %s: exit code %d, want %d, and the same in the last line", strings.Join(args, " "), r.code, code)
	}
	return lines
}

// A pipeline can follow a stack from its first plan on by what relayctl prints
// for machines. What newSite searches for secrets is all of it.
func TestPipelineFollowsByJSON(t *testing.T) {
	s := newSite(t)
	s.step("plan", func() {
		plan := s.asJSON(2, "plan", "--json", "--diff", "--detailed-exitcode")[0]
		hosts, diffs := map[string]bool{}, 0
		for _, change := range plan.Changes {
			hosts[change.Host] = true
			if change.Diff != nil {
				diffs++
			}
		}
		if len(hosts) != 3 || diffs == 0 || string(plan.NewKeys) != `["laptop"]` {
			s.t.Errorf("changes on %v, %d of them with their text; new keys %s", hosts, diffs, plan.NewKeys)
		}
	})
	s.step("apply without a place for the key", func() {
		lines := s.asJSON(1, "apply", "--json", "--yes")
		last := lines[len(lines)-1]
		if last.Type != "result" || len(last.Errors) != 1 || last.Errors[0].Code != "keys_out_needed" {
			s.t.Errorf("the result is %+v", last)
		}
	})
	s.step("apply", func() {
		lines := s.asJSON(0, "apply", "--json", "--yes", "--keys-out", "keys")
		s.secrets = append(s.secrets, s.key("laptop"))
		count := map[string]int{}
		for _, line := range lines {
			count[line.Type]++
		}
		last := lines[len(lines)-1]
		if lines := count["planned"] * count["outcome"] * count["proof"] * count["result"]; lines != 1 || count["host_done"] != 3 || count["step_done"] < last.Created/2 {
			s.t.Errorf("types of lines: %v, %d created", count, last.Created)
		}
		if !last.OK || last.Created == 0 || !strings.Contains(string(last.NewKeys), `"file":"keys"`) {
			s.t.Errorf("the result is %+v", last)
		}
	})
	s.step("nothing to do", func() {
		if plan := s.asJSON(0, "plan", "--json", "--detailed-exitcode")[0]; len(plan.Changes) > 0 || !plan.OK {
			s.t.Errorf("the plan is %+v", plan)
		}
		if status := s.asJSON(0, "status", "--json")[0]; !status.OK || len(status.Models) != 1 || !status.Models[0].OK {
			s.t.Errorf("the status is %+v", status)
		}
	})
	s.step("something is wrong", func() {
		lab.MustRun(s.t, s.Workers[1], "systemctl stop relay-worker")
		if status := s.asJSON(1, "status", "--json")[0]; status.OK || len(status.Problems) == 0 || status.Problems[0].Host != "gpu-2" {
			s.t.Errorf("the status is %+v", status)
		}
	})
}
