package plan

import (
	"cmp"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Descriptor is what there is to know of a kind of resource, but for how a host
// looks at one and brings it about: that is the kind's handler on the host.
type Descriptor struct {
	Kind Kind
	// form is what names look like. Names reach commands as arguments of their
	// own and never a shell; the form keeps them from being taken for options or
	// for another path.
	form func(name string) bool
	// below lists what a thing of a name can't be without. Nil: nothing.
	below func(name string) []ID

	Runs   bool // is started and stopped, and may be restarted and reloaded
	Folder bool // stands for all files below it, where something reads it
	Text   bool // is a text at a path: anybody may have written it, and people may want to see it

	Content    string // attribute that is the digest of what relayctl has to bring; empty: none
	Hash       string // attribute that is the hex SHA-256 of a secret; empty: none
	Credential bool   // is a credential: a former one never becomes good again
	Known      bool   // is what clients trust or are known by: it goes last of all, when that is asked for
	MadeOnHost bool   // is made by the host that keeps it, which tells what it has come to be

	Brings     bool // others come along with one
	ComesAlong bool // may come along with another
	Slow       bool // takes long enough to be told of when it begins

	Interruptible bool // a step may be interrupted at any moment: a download may, a rename may not

	suffix string // of names, that people leave out
	anew   string // what people must know when one is made in the place of a former one
	unless string // what keeps a host from taking one away
	stays  string // what stays when one is taken away

	making, changing, removing Verb

	takes time.Duration // that one step may; zero: usualStep
}

// usualStep is how long a step may take: time enough to write a file to a slow
// disk.
const usualStep = 2 * time.Minute

// Verb says what is done about a thing, and what has been.
type Verb struct{ Doing, Done string }

// kinds lists the kinds in the order of work where no edge orders it; what goes
// does so in the opposite order.
var kinds = []Descriptor{
	{Kind: KindPort, form: never},
	{Kind: KindPackage, form: regexp.MustCompile(`^[a-z0-9][a-z0-9+.-]+$`).MatchString,
		Brings: true, ComesAlong: true, Slow: true, takes: 30 * time.Minute,
		unless: "unless another package needs it", stays: "its settings stay, as apt-get remove leaves them",
		making: installing, changing: Verb{installing.Doing, changing.Done}},
	{Kind: KindUser, form: regexp.MustCompile(`^[a-z_][a-z0-9_-]{0,31}$`).MatchString, ComesAlong: true},
	{Kind: KindDirectory, form: isPath, below: folders, Folder: true, ComesAlong: true,
		unless: "unless something else is in it"},
	{Kind: KindCA, form: isStored, Credential: true, Known: true, MadeOnHost: true,
		anew: "a new root: clients must take it (relayctl ca)"},
	{Kind: KindSecret, form: isStored, Hash: AttrPublic, Credential: true, MadeOnHost: true},
	{Kind: KindKey, form: isStored, Hash: AttrDigest, Credential: true, Known: true},
	{Kind: KindProgram, form: isStored, Content: AttrDigest,
		making: installing, changing: Verb{installing.Doing, changing.Done}},
	{Kind: KindFile, form: isPath, below: folders, Text: true, Content: AttrContent,
		making: Verb{"writing", "written"}},
	{Kind: KindUnit, form: regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9:_.@\\-]{0,200}\.(service|socket|timer|path|target|mount)$`).MatchString,
		below: ownFile, Runs: true, Slow: true, takes: 15 * time.Minute, suffix: ".service",
		making: Verb{"starting", "started"}, changing: Verb{"putting right", "put right"}, removing: Verb{"stopping", "removed"}},
}

// The verbs of most kinds.
var (
	making     = Verb{"making", "made"}
	installing = Verb{"installing", "installed"}
	changing   = Verb{"changing", "changed"}
	removing   = Verb{"removing", "removed"}
)

// rank is the place of k in the order of work. Kinds that are not listed come
// first.
func (k Kind) rank() int {
	return slices.IndexFunc(kinds, func(one Descriptor) bool { return one.Kind == k })
}

// Describe tells what there is to know of k. A kind that is not listed is a plain
// thing that is kept under a name.
func (k Kind) Describe() Descriptor {
	if i := k.rank(); i >= 0 {
		return kinds[i]
	}
	return Descriptor{Kind: k, form: isStored}
}

// Verb is what an action on a thing of the kind is called.
func (d Descriptor) Verb(action Action) Verb {
	switch action {
	case Create:
		return cmp.Or(d.making, making)
	case Remove:
		return cmp.Or(d.removing, removing)
	case Restart:
		return Verb{"restarting", "restarted"}
	case Reload:
		return Verb{"reloading", "reloaded"}
	case PutBack:
		return Verb{"putting back", "put back"}
	}
	return cmp.Or(d.changing, changing)
}

// Takes is how long one step of the kind may take.
func (d Descriptor) Takes() time.Duration { return cmp.Or(d.takes, usualStep) }

// standsOn lists what a thing of this name can't be without.
func (d Descriptor) standsOn(name string) []ID {
	if d.below == nil {
		return nil
	}
	return d.below(name)
}

// CheckName is an error on a name that a thing of the kind can't have.
func (id ID) CheckName() error {
	if !id.Kind.Describe().form(id.Name) {
		return fmt.Errorf("%q cannot be the name of a %s", id.Name, id.Kind)
	}
	return nil
}

// Title is a thing's kind and name as people say them.
func (id ID) Title() string {
	return string(id.Kind) + " " + strings.TrimSuffix(id.Name, id.Kind.Describe().suffix)
}

// short names the thing in a sentence that is about others too: a path says by
// itself what it is.
func (id ID) short() string {
	if d := id.Kind.Describe(); d.Text || d.Folder {
		return id.Name
	}
	return id.Title()
}

func never(string) bool { return false }

var storedName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)

// isStored reports whether a name can be the one of a file of its own.
func isStored(name string) bool { return storedName.MatchString(name) }

// isPath reports whether a name is an absolute path in its shortest form.
func isPath(name string) bool {
	return name != "/" && path.IsAbs(name) && path.Clean(name) == name &&
		!strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f })
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
func unitFile(unit string) ID { return ID{KindFile, "/etc/systemd/system/" + unit} }

func ownFile(unit string) []ID { return []ID{unitFile(unit)} }
