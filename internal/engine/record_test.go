package engine_test

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/relayctl/relayctl/internal/host/record"
	"github.com/relayctl/relayctl/internal/plan"
)

// journalPath is where a machine remembers the stack that it belongs to.
const journalPath = plan.StoreDir + "/" + record.Name

// record is what the machine remembers.
func (m *machine) record() *record.Journal {
	m.t.Helper()
	journal, err := record.Read(m.path(plan.StoreDir))
	if err != nil {
		m.t.Fatal(err)
	}
	return journal
}

// remembers reports whether the machine remembers another host at an address.
func (m *machine) remembers(address string) bool {
	m.t.Helper()
	manifest := m.record().Manifest()
	return manifest != nil && slices.ContainsFunc(manifest.Hosts, func(h plan.Member) bool { return h.Address == address })
}

// lastPast is the last apply that the machine remembers the end of.
func (m *machine) lastPast() plan.Past {
	m.t.Helper()
	past := m.record().Past()
	if len(past) == 0 {
		return plan.Past{}
	}
	return past[len(past)-1]
}

// belongsTo has the machine remember an apply of a stack that left nothing.
func (m *machine) belongsTo(stack, version string) {
	m.t.Helper()
	m.write(journalPath, "")
	m.writeLine(map[string]any{"checkpoint": map[string]any{
		"schema": 2, "oldest": 1, "sequence": 1, "last": 1,
		"manifest": plan.Manifest{Schema: 2, Stack: stack, Version: version, Number: 1},
	}})
}

// writeLine adds a line to the machine's journal.
func (m *machine) writeLine(line map[string]any) {
	m.t.Helper()
	line["at"] = time.Now()
	text, err := json.Marshal(line)
	if err != nil {
		m.t.Fatal(err)
	}
	m.write(journalPath, m.read(journalPath)+string(text)+"\n")
}

// movesTo has the machine belong to another stack.
func (m *machine) movesTo(stack string) {
	m.t.Helper()
	m.write(journalPath, strings.ReplaceAll(m.read(journalPath), `"stack":"home"`, `"stack":"`+stack+`"`))
}
