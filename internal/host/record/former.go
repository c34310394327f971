package record

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/relayctl/relayctl/internal/plan"
)

// Before there was a journal, a host kept a manifest and a history, and a file
// for each restart that was owed. What they say is the first line of the
// journal of a host that was applied to by then.

// manifestName is where the manifest was. There stands a word for a relayctl of
// then now: that it is too old.
const manifestName = "manifest.json"

// former is a checkpoint of what an older relay-host wrote down; nil: nothing.
func former(folder string) (*checkpoint, error) {
	var manifest plan.Manifest
	content, err := os.ReadFile(filepath.Join(folder, manifestName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil {
		err = json.Unmarshal(content, &manifest)
	}
	if err != nil {
		return nil, fmt.Errorf("read manifest: %w", err)
	}
	c := &checkpoint{Schema: schema, Sequence: 2, Oldest: manifest.Number, Last: manifest.Number, Manifest: &manifest}
	history, _ := os.ReadFile(filepath.Join(folder, "history.jsonl"))
	for text := range strings.Lines(string(history)) {
		var past plan.Past
		if json.Unmarshal([]byte(text), &past) == nil && past.Number > 0 {
			c.Past = append(c.Past, past)
			c.Last, c.Oldest = max(c.Last, past.Number), max(c.Oldest, past.Number)
		}
	}
	c.Changed = formerIntents(folder)
	return c, nil
}

// formerIntents is what units had not loaded.
func formerIntents(folder string) []changedAt {
	var owed []changedAt
	paths, _ := filepath.Glob(filepath.Join(folder, "intents", "*.json")) // the pattern is well-formed
	for _, path := range paths {
		var intent struct{ Because []plan.ID }
		content, err := os.ReadFile(path)
		if err != nil || json.Unmarshal(content, &intent) != nil {
			continue
		}
		for _, id := range intent.Because {
			owed = append(owed, changedAt{id, 1})
		}
	}
	return owed
}

// replaceFormer takes away what an older relay-host wrote down, once the journal
// has it.
func replaceFormer(folder string, manifest *plan.Manifest) error {
	path := filepath.Join(folder, manifestName)
	var word plan.Manifest
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil || json.Unmarshal(content, &word) != nil || word.Schema < schema {
		word = plan.Manifest{Schema: schema, Stack: manifest.Stack, Version: manifest.Version, Number: manifest.Number}
		if err := writeWord(path, word); err != nil {
			return fmt.Errorf("write manifest: %w", err)
		}
	}
	for _, name := range []string{"history.jsonl", "making.json", "intents", "loaded", "steps"} {
		if err := os.RemoveAll(filepath.Join(folder, name)); err != nil {
			return fmt.Errorf("remove what the journal has: %w", err)
		}
	}
	return nil
}

func writeWord(path string, word plan.Manifest) error {
	text, err := json.Marshal(word)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path+".new", append(text, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
