package host

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"syscall"

	"github.com/relayctl/relayctl/internal/host/machine"
	"github.com/relayctl/relayctl/internal/plan"
)

// A file that lets in who is known by a hash is never put back as it was: what
// was revoked since would be good again.

// hexHash is how such files name who is let in: a hex SHA-256.
var hexHash = regexp.MustCompile(`^[0-9a-f]{64}$`)

// restoreGrants puts back what is kept of a file that grants, less what was
// revoked since.
func (h *Host) restoreGrants(path, kept string) error {
	content, err := h.keptGrants(path, kept)
	if err != nil {
		return err
	}
	info, err := os.Lstat(h.Path(kept))
	if err != nil {
		return fmt.Errorf("put %s back: %w", path, err)
	}
	uid, gid := ownerOf(info)
	temporary := machine.TemporaryName(h.Path(path))
	if err := machine.WriteNew(temporary, content, uid, gid, info.Mode().Perm()); err != nil {
		return fmt.Errorf("put %s back: %w", path, err)
	}
	if err := os.Rename(temporary, h.Path(path)); err != nil {
		return fmt.Errorf("put %s back: %w", path, err)
	}
	return machine.SyncDir(filepath.Dir(h.Path(path)))
}

// keptGrants is what is kept of a file, less the hashes that are not in it now.
func (h *Host) keptGrants(path, kept string) ([]byte, error) {
	former, err := machine.ReadRegular(h.Path(kept))
	if err != nil {
		return nil, fmt.Errorf("read what is kept of %s: %w", path, err)
	}
	present, err := machine.ReadRegular(h.Path(path))
	if err != nil && !machine.Gone(err) {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return withoutRevoked(former, present)
}

// withoutRevoked is a former JSON text less everything in its lists that names
// a hash which the present one does not have. It is as it was where nothing has
// to go. A present text that is no JSON has no hashes.
func withoutRevoked(former, present []byte) ([]byte, error) {
	good := map[string]bool{}
	var now, then any
	if json.Unmarshal(present, &now) == nil {
		collectHashes(now, good)
	}
	if err := json.Unmarshal(former, &then); err != nil {
		return nil, fmt.Errorf("decode who was let in: %w", err)
	}
	kept, changed := filterHashes(then, good)
	if !changed {
		return former, nil
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetIndent("", "  ")
	err := encoder.Encode(kept)
	return text.Bytes(), err
}

func collectHashes(value any, into map[string]bool) {
	switch value := value.(type) {
	case string:
		if hexHash.MatchString(value) {
			into[value] = true
		}
	case []any:
		for _, one := range value {
			collectHashes(one, into)
		}
	case map[string]any:
		for _, one := range value {
			collectHashes(one, into)
		}
	}
}

// filterHashes leaves out of all lists what is known by a hash that is not good.
func filterHashes(value any, good map[string]bool) (kept any, changed bool) {
	switch value := value.(type) {
	case []any:
		list := []any{}
		for _, one := range value {
			if isRevoked(one, good) {
				changed = true
				continue
			}
			one, inside := filterHashes(one, good)
			list, changed = append(list, one), changed || inside
		}
		return list, changed
	case map[string]any:
		for name, one := range value {
			filtered, inside := filterHashes(one, good)
			value[name], changed = filtered, changed || inside
		}
		return value, changed
	}
	return value, false
}

// isRevoked reports whether an element of a list is a hash that is not good, or
// an object that is known by one.
func isRevoked(element any, good map[string]bool) bool {
	switch element := element.(type) {
	case string:
		return hexHash.MatchString(element) && !good[element]
	case map[string]any:
		for _, member := range element {
			if text, ok := member.(string); ok && isRevoked(text, good) {
				return true
			}
		}
	}
	return false
}

// grants reports whether a text lets anybody in.
func grants(content []byte) bool {
	var value any
	found := map[string]bool{}
	if json.Unmarshal(content, &value) == nil {
		collectHashes(value, found)
	}
	return len(found) > 0
}

// formerGrants is what going back to a file that grants comes to: the digest of
// what of it is still good. A file that let somebody in and would let nobody in
// does not come back.
func (h *Host) formerGrants(former *plan.Former) error {
	if former.Kept == "" || former.Entry == nil || former.Entry.As == nil || !former.Entry.As.Grants {
		return nil
	}
	content, err := h.keptGrants(former.Name, former.Kept)
	if err != nil {
		return err
	}
	have := map[string]string{}
	for name, value := range former.Before.Have {
		have[name] = value
	}
	have[plan.AttrContent] = plan.Digest(content)
	if !grants(content) {
		delete(have, plan.AttrContent)
	}
	former.Before.Have = have
	return nil
}

func ownerOf(info fs.FileInfo) (uid, gid int) {
	stat := info.Sys().(*syscall.Stat_t)
	return int(stat.Uid), int(stat.Gid)
}
