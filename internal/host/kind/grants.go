package kind

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"syscall"

	"github.com/relayctl/relayctl/internal/host/machine"
	"github.com/relayctl/relayctl/internal/host/record"
	"github.com/relayctl/relayctl/internal/plan"
)

// A file that lets in who is known by a hash never goes back as it was: what was
// revoked since would be good again, and what took the place of something that
// was rotated would be good no more. What goes back is what is granted, and not
// by what one is known.

// credentials are the members of a grant by which it is known, and until when.
var credentials = []string{"hash", "hashes", "former", "expires"}

// grants are those of a file, by name. A file is one grant, or has a list of
// them.
type grants map[string]map[string]any

// document is a file that grants.
type document struct {
	whole map[string]any
	list  string // member with the list of grants; empty: the file is one
}

func readDocument(content []byte) (document, error) {
	var d document
	if err := json.Unmarshal(content, &d.whole); err != nil {
		return d, fmt.Errorf("decode who is let in: %w", err)
	}
	for _, name := range slices.Sorted(maps.Keys(d.whole)) {
		if list, ok := d.whole[name].([]any); ok && len(list) > 0 {
			if _, isObject := list[0].(map[string]any); isObject {
				d.list = name
			}
		}
	}
	return d, nil
}

// grants lists the document's grants by name.
func (d document) grants() grants { return maps.Collect(inOrder(d)) }

// goBack is what a former text goes back to: what it grants to those who are
// known still, by what they are known now. The versions lead from it to the
// present one; who was put out by a going back, which is undone with them, comes
// back. A nil text grants nothing to anybody any more.
func goBack(versions [][]byte, undoing []bool) ([]byte, error) {
	var documents []document
	var all []grants
	for _, text := range versions {
		d, err := readVersion(text)
		if err != nil {
			return nil, err
		}
		documents, all = append(documents, d), append(all, d.grants())
	}
	d, err := readDocument(versions[0])
	if err != nil {
		return nil, err
	}
	changed, left := false, []any{}
	for name, grant := range inOrder(d) {
		known := knownBy(name, all, undoing)
		if known == nil {
			changed = true
			continue
		}
		before := maps.Clone(grant)
		for _, member := range credentials {
			delete(grant, member)
			if value, ok := known[member]; ok {
				grant[member] = value
			}
		}
		changed = changed || !reflect.DeepEqual(before, grant)
		left = append(left, grant)
	}
	switch {
	case !changed:
		return versions[0], nil
	case d.list == "" && len(left) == 0:
		return nil, nil
	case d.list != "":
		d.whole[d.list] = left
	}
	if last := len(versions) - 1; reflect.DeepEqual(d.whole, documents[last].whole) {
		return versions[last], nil // with its members in their order
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetIndent("", "  ")
	err = encoder.Encode(d.whole)
	return text.Bytes(), err
}

func readVersion(text []byte) (document, error) {
	if text == nil {
		return document{}, nil
	}
	return readDocument(text)
}

// inOrder goes through the grants of a document as they stand there.
func inOrder(d document) func(yield func(string, map[string]any) bool) {
	return func(yield func(string, map[string]any) bool) {
		if name, isOne := d.whole["name"].(string); isOne {
			yield(name, d.whole)
			return
		}
		list, _ := d.whole[d.list].([]any)
		for _, one := range list {
			grant, _ := one.(map[string]any)
			name, _ := grant["name"].(string)
			if grant != nil && !yield(name, grant) {
				return
			}
		}
	}
}

// knownBy is the grant of a name as it is known last, unless it was put out for
// good.
func knownBy(name string, versions []grants, undoing []bool) map[string]any {
	for i := len(versions) - 1; i >= 0; i-- {
		if grant, ok := versions[i][name]; ok {
			return grant
		}
		if i > 0 && versions[i-1][name] != nil && !undoing[i-1] {
			return nil
		}
	}
	return nil
}

// grantsBack is what a file that grants goes back to; nil: it does not come back.
func (f files) grantsBack(journal *record.Journal, id plan.ID, kept string) ([]byte, error) {
	path := id.Name
	var texts [][]byte
	var undoing []bool
	for _, version := range journal.Versions(id, kept) {
		var text []byte
		if version.Kept != "" {
			var err error
			if text, err = machine.ReadRegular(f.Path(version.Kept)); err != nil {
				return nil, fmt.Errorf("read what is kept of %s: %w", path, err)
			}
		}
		texts, undoing = append(texts, text), append(undoing, version.Undoing)
	}
	present, err := machine.ReadRegular(f.Path(path))
	if err != nil && !machine.Gone(err) {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return goBack(append(texts, present), undoing)
}

// restoreGrants puts back what a file that grants goes back to, with the owner
// and the mode that it is kept with.
func (f files) restoreGrants(journal *record.Journal, id plan.ID, kept string) error {
	content, err := f.grantsBack(journal, id, kept)
	if err != nil {
		return err
	}
	if content == nil {
		return machine.RemoveIfThere(f.Path(id.Name))
	}
	info, err := os.Lstat(f.Path(kept))
	if err == nil {
		owner := info.Sys().(*syscall.Stat_t)
		err = f.write(id.Name, content, int(owner.Uid), int(owner.Gid), info.Mode().Perm(), nil)
	}
	if err != nil {
		return fmt.Errorf("put %s back: %w", id.Name, err)
	}
	return nil
}

// formerGrants tells what going back to a file that grants comes to: its digest.
// One that does not come back has none.
func (f files) formerGrants(journal *record.Journal, former *plan.Former) error {
	content, err := f.grantsBack(journal, former.ID, former.Kept)
	if err != nil {
		return err
	}
	former.Before.Have = maps.Clone(former.Before.Have)
	former.Before.Have[plan.AttrContent] = plan.Digest(content)
	if content == nil {
		delete(former.Before.Have, plan.AttrContent)
	}
	return nil
}
