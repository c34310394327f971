package plan

// Action is what a change does.
type Action string

// The actions that change a host. A Create, Update or Remove that cannot be
// done is never planned as such, but as Attention with its Block.
const (
	Create  Action = "create"
	Update  Action = "change"
	Remove  Action = "remove"
	Restart Action = "restart"
	Reload  Action = "reload"
	// PutBack gives back what was taken over from somebody else: a unit is as
	// it was, a file that was moved aside stands in its place.
	PutBack Action = "put back"
)

// The actions that change nothing and are never counted. Take and Forget are
// steps of an apply that has other things to do as well; Attention is none.
const (
	Attention Action = "attention" // for people only
	Take      Action = "take"      // found as it should be: enters the manifest, Made false
	Forget    Action = "forget"    // leaves the manifest, and stays as it is on the host
)

// Change is one step from what a host is to what it should be.
type Change struct {
	ID         ID           `json:"id"`
	Action     Action       `json:"action"`
	Resource   *Resource    `json:"resource,omitempty"` // as it should be; nil for Remove and Forget
	Fact       Fact         `json:"fact"`               // as it was found: what apply expects to find again
	Attributes []AttrChange `json:"attributes,omitempty"`
	Reasons    []string     `json:"reasons,omitempty"`
	Notes      []string     `json:"notes,omitempty"`     // what it means for people
	Drops      int          `json:"drops,omitempty"`     // worker connections that it closes
	Block      string       `json:"block,omitempty"`     // why apply stops at it; empty: it does not
	Adoptable  bool         `json:"adoptable,omitempty"` // --adopt clears the block
	Adopt      bool         `json:"adopt,omitempty"`     // takes over what is not ours and keeps the original
	Purge      bool         `json:"purge,omitempty"`     // of a package that goes: its settings go with it
}

// AttrChange is one attribute's way.
type AttrChange struct {
	Name   string `json:"name"`
	Before string `json:"before,omitempty"`
	After  Value  `json:"after"`
}

// Host is one host's part of a stack: what it should be and what it is.
type Host struct {
	Name    string
	Address string
	Role    Role
	Worker  string // that is on it; empty: none is
	Want    []Resource
	Ports   []Port // what our units will listen on
	Facts   Facts
	Adopt   bool // --adopt was given
	// GiveBack says which of the things that were taken over are given back;
	// nil: none is.
	GiveBack func(ID) bool
	// KeepTrust leaves on a host of RoleDeparted what clients trust and are
	// known by: the CA, and the hashes of API keys.
	KeepTrust bool
	// WorkerConnections is how many workers are connected to the relay on
	// this host just now; 0 where there is no relay to ask.
	WorkerConnections int
	// DirectConnections is how many of these have no proxy in front.
	DirectConnections int
}

// Role is what a host does in the stack.
type Role string

// The roles. A departed host left the stack file: everything of ours goes.
const (
	RoleProxy    Role = "proxy"
	RoleWorker   Role = "worker"
	RoleDeparted Role = "departed"
)

// Port is a TCP port that a unit of ours needs.
type Port struct {
	Number int
	Addr   string // IP address that the unit binds to; empty: all
	Unit   string
	Origin Origin
}

// HostPlan is what an apply would do on one host.
type HostPlan struct {
	Name      string   `json:"name"`
	Address   string   `json:"address"`
	Role      Role     `json:"role"`
	Worker    string   `json:"worker,omitempty"` // that is on it, on the proxy's machine too; empty: none is
	Machine   Machine  `json:"machine"`
	New       bool     `json:"new,omitempty"` // relayctl was never there
	Changes   []Change `json:"changes"`       // in the order of work
	Unchanged int      `json:"unchanged"`
}

// Plan is what an apply would do.
type Plan struct {
	Stack string     `json:"stack"`
	Hosts []HostPlan `json:"hosts"` // proxy first, then workers as in the file, then departed ones
}

// HostOf names the host that a worker is on.
func (p Plan) HostOf(worker string) (host string, ok bool) {
	for _, h := range p.Hosts {
		if h.Worker == worker {
			return h.Name, true
		}
	}
	return "", false
}

// Counts is how much there is to do. Attention, Take and Forget do not count.
type Counts struct {
	Create  int `json:"create"`
	Update  int `json:"change"`
	Remove  int `json:"remove"`
	Restart int `json:"restart"`
	Reload  int `json:"reload"`
}

// Total is the number of all changes.
func (c Counts) Total() int { return c.Create + c.Update + c.Remove + c.Restart + c.Reload }

// Counts reports whether the change changes the host.
func (c Change) Counts() bool {
	switch c.Action {
	case Create, Update, Remove, Restart, Reload, PutBack:
		return true
	}
	return false
}

// Add counts one more change.
func (c *Counts) Add(action Action) {
	switch action {
	case Create:
		c.Create++
	case Update, PutBack:
		c.Update++
	case Remove:
		c.Remove++
	case Restart:
		c.Restart++
	case Reload:
		c.Reload++
	}
}

// Counts counts the host's changes.
func (h HostPlan) Counts() Counts {
	var n Counts
	for _, c := range h.Changes {
		n.Add(c.Action)
	}
	return n
}

// Blocked lists the changes that stop apply, in the order of work.
func (h HostPlan) Blocked() []Change {
	var list []Change
	for _, c := range h.Changes {
		if c.Block != "" {
			list = append(list, c)
		}
	}
	return list
}

// Counts counts the changes on all hosts.
func (p Plan) Counts() Counts {
	var sum Counts
	for _, h := range p.Hosts {
		n := h.Counts()
		sum.Create += n.Create
		sum.Update += n.Update
		sum.Remove += n.Remove
		sum.Restart += n.Restart
		sum.Reload += n.Reload
	}
	return sum
}

// Empty reports whether there is nothing to do and nothing in the way. What
// only calls for attention leaves a plan empty.
func (p Plan) Empty() bool { return p.Counts().Total() == 0 && len(p.Blocked()) == 0 }

// Blocked lists the changes that stop apply, host by host.
func (p Plan) Blocked() []Change {
	var list []Change
	for _, h := range p.Hosts {
		list = append(list, h.Blocked()...)
	}
	return list
}
