package plan

import "time"

// Fact is one thing as it was found on a host.
type Fact struct {
	ID
	Exists bool              `json:"exists"`
	Have   map[string]string `json:"have,omitempty"`

	// Applied is what the last apply left, from the host's manifest; nil when
	// the thing is not ours.
	Applied *Applied `json:"applied,omitempty"`
	// Pristine says that a file is a package's default, never edited.
	Pristine bool `json:"pristine,omitempty"`
	// InWay is what keeps a thing from being made as it should be, where apply
	// can do nothing about it: "a directory stands in its place".
	InWay string `json:"in_way,omitempty"`
	// Stale lists what a running unit has not loaded as it stands now.
	Stale []ID `json:"stale,omitempty"`
	// Serves lists the names of the sites that a unit of somebody else serves,
	// or a server by a file of theirs, as far as they are known. Imports lists the
	// files from which there may be more.
	Serves  []string `json:"serves,omitempty"`
	Imports []string `json:"imports,omitempty"`
	// StartedBy lists the socket, timer and path units that start a unit.
	StartedBy []string `json:"started_by,omitempty"`
	// PulledBy lists the units that start a unit at boot and go on doing so:
	// it can be neither disabled nor masked.
	PulledBy []string `json:"pulled_by,omitempty"`
	// Overrides lists what has a unit start or read something else than its own
	// file says.
	Overrides []Override `json:"overrides,omitempty"`
	// Content is a file's text where it is not sensitive and at most
	// MaxShown bytes long.
	Content []byte `json:"content,omitempty"`
	// Detail is one line on the thing for people: a unit's last result, say.
	Detail string `json:"detail,omitempty"`
}

// MaxShown is the longest file, in bytes, whose text is carried for a diff.
const MaxShown = 64 << 10

// Applied is a manifest's entry for one resource.
type Applied struct {
	ID
	Have map[string]string `json:"have"`           // its attributes when apply left it
	Made bool              `json:"made,omitempty"` // relayctl made it; else it was found, and is never removed
	// Kept is where what stood there before is kept on the host.
	Kept string `json:"kept,omitempty"`
	// With are the packages and users that came with a package.
	With []ID `json:"with,omitempty"`
	// Taken tells of something that was taken over from somebody else; nil: it
	// was not.
	Taken  *TakenOver `json:"taken,omitempty"`
	Number int        `json:"apply"` // number of the apply that last changed it
	Time   time.Time  `json:"time"`
	// As is how it was asked for, with all values settled; nil: nobody asked
	// for it, or that is not known.
	As *Resource `json:"as,omitempty"`
}

// Facts is what one look at a host found. Resources holds a fact for everything
// that was asked about, everything in the manifest, and every unit named in
// Listeners.
type Facts struct {
	Machine   Machine    `json:"machine"`
	Manifest  *Manifest  `json:"manifest,omitempty"` // nil: relayctl was never here
	Resources []Fact     `json:"resources"`
	Listeners []Listener `json:"listeners,omitempty"` // TCP only
}

// Find returns the fact of id; a thing that was not looked at does not exist.
func (f Facts) Find(id ID) Fact {
	for _, fact := range f.Resources {
		if fact.ID == id {
			return fact
		}
	}
	return Fact{ID: id}
}

// Machine is what a host is.
type Machine struct {
	Hostname  string `json:"hostname"`
	System    string `json:"system"`          // os-release ID: debian, ubuntu
	Version   string `json:"version"`         // os-release VERSION_ID: 12, 24.04
	Pretty    string `json:"pretty"`          // for people: Debian 12
	Arch      string `json:"arch"`            // as Go says it: amd64, arm64
	MachineID string `json:"machine_id"`      // cloned machines share it
	BootID    string `json:"boot_id"`         // two machines never share it
	Clock     string `json:"clock,omitempty"` // RFC 3339, when it was looked at
	// Init is what runs as pid 1 in the place of systemd; empty: systemd does.
	Init string `json:"init,omitempty"`
}

// SupportedSystems are the systems that relayctl was built for, as people say it.
const SupportedSystems = "Debian 12, Debian 13 or Ubuntu 24.04"

// IsSupported reports whether relayctl was built for a machine's system.
func (m Machine) IsSupported() bool {
	switch m.System + " " + m.Version {
	case "debian 12", "debian 13", "ubuntu 24.04":
		return m.Arch == "amd64" || m.Arch == "arm64"
	}
	return false
}

// Manifest is what a host knows of the stack it belongs to.
type Manifest struct {
	Schema    int       `json:"schema"`
	Stack     string    `json:"stack"`
	Version   string    `json:"version"` // of the relayctl that applied last
	Number    int       `json:"apply"`   // of the last apply, from 1
	Time      time.Time `json:"time"`
	Operator  string    `json:"operator,omitempty"` // user@machine that applied last
	Resources []Applied `json:"resources,omitempty"`
	Hosts     []Member  `json:"hosts,omitempty"` // on the proxy host only
}

// Member is another host of the stack and where it is reached: what the proxy
// host remembers, so that a worker taken out of the file is found. By what it is
// known and with what relayctl logs in is not in it: the operator's side has to
// know that, whatever a host remembers.
type Member struct {
	Name    string `json:"name"`
	Address string `json:"address"`
	User    string `json:"user,omitempty"`
	Port    int    `json:"port,omitempty"`
	Sudo    string `json:"sudo,omitempty"`
	// Jump is the hosts that the way there leads through as the stack file had
	// them, separated by commas, and "none" for no other; empty: it did not say.
	Jump string `json:"jump,omitempty"`
	// MachineID tells which machine it was when it was last reached, since its
	// address may change, and another machine may get its name.
	MachineID string `json:"machine_id,omitempty"`
}

// Listener is a TCP port that somebody listens on.
type Listener struct {
	Address string `json:"address"`
	Port    int    `json:"port"`
	Process string `json:"process,omitempty"`
	PID     int    `json:"pid,omitempty"`
	Unit    string `json:"unit,omitempty"` // systemd service or socket unit that holds it; empty: none
}
