package plan

import (
	"path"
	"slices"
	"strings"
)

// kind is what there is to know of a kind of resource, but for how a host brings
// one about.
type kind struct {
	name Kind
	// runs says that its things are started and stopped, and may be restarted
	// and reloaded.
	runs bool
	// below lists what a thing of this name stands on: it can't be without.
	below func(name string) []ID
}

// kinds lists the kinds in the order of work where nothing else orders it: what
// goes does so in the opposite order.
var kinds = []kind{
	{name: KindPort},
	{name: KindPackage},
	{name: KindUser},
	{name: KindDirectory, below: folders},
	{name: KindCA},
	{name: KindSecret},
	{name: KindKey},
	{name: KindProgram},
	{name: KindFile, below: folders},
	{name: KindUnit, runs: true, below: unitFile},
}

// rank is the place of k in the order of work. Kinds that nothing is known of
// come first.
func (k Kind) rank() int {
	return slices.IndexFunc(kinds, func(one kind) bool { return one.name == k })
}

// describe tells what there is to know of k. A kind that is not listed is a plain
// thing.
func (k Kind) describe() kind {
	if i := k.rank(); i >= 0 {
		return kinds[i]
	}
	return kind{name: k}
}

// standsOn lists what a thing of this name can't be without.
func (k kind) standsOn(name string) []ID {
	if k.below == nil {
		return nil
	}
	return k.below(name)
}

// folders lists the folders above a path.
func folders(name string) []ID {
	var ids []ID
	for dir := path.Dir(name); strings.HasPrefix(dir, "/") && dir != "/"; dir = path.Dir(dir) {
		ids = append(ids, ID{KindDirectory, dir})
	}
	return ids
}

// unitFile is the file by which relayctl brings a unit.
func unitFile(name string) []ID { return []ID{{KindFile, "/etc/systemd/system/" + name}} }
