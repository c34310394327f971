// Package plan says what a resource, a fact, a change and a plan are, and how
// the second follows from the first: Diff is a pure function, and everything
// here is data that can be printed, compared and sent. It holds digests of
// content, never secrets, and imports nothing of ours.
package plan

import (
	"cmp"
	"strings"
)

// Kind is what sort of thing a resource is.
type Kind string

// The kinds.
const (
	KindPackage   Kind = "package"   // a Debian package, by name
	KindUser      Kind = "user"      // a system user with a group of its name
	KindDirectory Kind = "directory" // by absolute path
	KindCA        Kind = "ca"        // a certificate authority, made and kept on the host
	KindSecret    Kind = "secret"    // 256 random bits, made and kept on the host
	KindKey       Kind = "key"       // an API key made by relayctl: the host keeps its hash
	KindProgram   Kind = "program"   // a versioned program behind a symlink
	KindFile      Kind = "file"      // by absolute path
	KindUnit      Kind = "unit"      // a systemd unit, by full name (relay-server.service)
)

// KindPort is a TCP port, by number. Nothing is ever done about a port itself:
// it is what attention is called to when a process of nobody's unit holds it.
const KindPort Kind = "port"

// ID names a resource on a host.
type ID struct {
	Kind Kind   `json:"kind"`
	Name string `json:"name"`
}

func (id ID) String() string { return string(id.Kind) + " " + id.Name }

// unitName is a unit's name as people say it.
func unitName(full string) string { return strings.TrimSuffix(full, ".service") }

// compareIDs orders by work, then by name.
func compareIDs(a, b ID) int {
	return cmp.Or(cmp.Compare(a.Kind.rank(), b.Kind.rank()), cmp.Compare(a.Name, b.Name))
}

// The attributes of resources, by kind. Every value is text, so that one Diff
// serves all kinds.
const (
	AttrInstalled = "installed" // package: Yes
	AttrMode      = "mode"      // directory, file: four octal digits
	AttrOwner     = "owner"     // directory, file: user name
	AttrGroup     = "group"     // directory, file: group name
	AttrContent   = "content"   // file: digest of its bytes, see Digest
	AttrVersion   = "version"   // program: as it calls itself
	AttrDigest    = "digest"    // program: digest of its bytes; key: hash of the key
	AttrDomain    = "domain"    // ca: the one name or address it may sign for
	AttrShown     = "shown"     // key: Yes once its owner could read it
	AttrHome      = "home"      // user: home directory
	AttrEnabled   = "enabled"   // unit: Yes or No
	AttrRunning   = "running"   // unit: Yes or No
)

// The attributes that only facts have.
const (
	AttrPublic = "public" // ca: root certificate, PEM; secret: its hex SHA-256
	AttrMAC    = "mac"    // secret, ca: digest of the secret part, as in AttrContent of a file made from it
)

// Yes and No are the values of attributes that are true or false.
const (
	Yes = "yes"
	No  = "no"
)

// Value is what an attribute should be: known text, or text that only an apply
// will make.
type Value struct {
	Text   string `json:"text,omitempty"`
	MadeOn string `json:"made_on,omitempty"` // name of the host whose apply step makes it; Text is empty then
}

// Known is a value that is settled.
func Known(text string) Value { return Value{Text: text} }

// MadeOn is a value that apply makes on host.
func MadeOn(host string) Value { return Value{MadeOn: host} }

// IsKnown reports whether the value is settled.
func (v Value) IsKnown() bool { return v.MadeOn == "" }

// Resource is one thing as it should be on a host.
type Resource struct {
	ID
	Want   map[string]Value `json:"want"`
	Origin Origin           `json:"origin"`

	// After lists what has to be in place before this, where the resource does
	// not tell otherwise: it needs no mention of its folder, owner, From, Program
	// or unit file. What comes after a unit finds it running with what it reads.
	After []ID `json:"after,omitempty"`

	// Sensitive says that a file's content is secret: its digests are HMACs,
	// and it is never shown nor carried in facts.
	Sensitive bool `json:"sensitive,omitempty"`
	// From names the host's own secret that fills a file: the host renders
	// it, the content never travels. For a secret it names the one that takes
	// its place, and is gone then.
	From *ID `json:"from,omitempty"`
	// Kept is where the host keeps the content, which is not put then: of what
	// goes back.
	Kept string `json:"kept,omitempty"`
	// Grants says that a file's content names by their hashes who is let in:
	// JSON, in which a former content that goes back loses the hashes that are
	// not in the present one.
	Grants bool `json:"grants,omitempty"`
	// Check names the service that has to accept a file's new content before it
	// is swapped in.
	Check Lifecycle `json:"check,omitempty"`
	// Site is the one name or address that a server serves by this file.
	Site string `json:"site,omitempty"`
	// Unit is what a unit needs beyond its attributes.
	Unit *Unit `json:"unit,omitempty"`
	// Size is how many bytes travel when the content is put, for people;
	// 0: not worth a word.
	Size int64 `json:"size,omitempty"`
}

// Unit says how a unit follows the resources that it reads.
type Unit struct {
	// Restart and Reload list what the running service has loaded: a change
	// of one of Restart needs a restart, a change of one of Reload a reload.
	Restart []ID `json:"restart,omitempty"`
	Reload  []ID `json:"reload,omitempty"`
	// Settings lists the files whose digest the service publishes as its
	// status once it has loaded them. Empty: it publishes none.
	Settings []string `json:"settings,omitempty"`
	// Program is the program that the service runs: ID of a program resource.
	Program   *ID       `json:"program,omitempty"`
	Lifecycle Lifecycle `json:"lifecycle,omitempty"`
	// Rivals are units that would do the same in another way, and so have to be
	// off.
	Rivals []string `json:"rivals,omitempty"`
	// Drain is the admin socket of a relay whose workers are told to come
	// back later before this unit is reloaded or restarted. Empty: none.
	Drain string `json:"drain,omitempty"`
}

// Lifecycle names what relay-host knows of a service: how its configuration is
// checked, how it is reloaded, and when it runs with what it reads. The zero
// value is a unit that is reloaded by its own ExecReload and ready once it stays
// up, and what Unit says beyond that.
type Lifecycle string

const (
	// LifecycleRelay is relay-server: the workers' connections end at it, so that
	// a restart closes them; a reload does not.
	LifecycleRelay Lifecycle = "relay"
	// LifecycleCaddy is Caddy: it checks its Caddyfile itself, loads it only if it
	// means something else than what runs, and closes all WebSockets when it does.
	LifecycleCaddy Lifecycle = "caddy"
)

// Origin is the place in the stack file that asked for something.
type Origin struct {
	File  string `json:"file,omitempty"`
	Line  int    `json:"line,omitempty"`
	Block string `json:"block,omitempty"` // such as `worker "gpu-1"`
}
