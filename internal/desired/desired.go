// Package desired turns a stack, and what is known of its hosts, into the
// resources that each host should have and the content of its files. It is
// pure: it reads no host, and fills in templates that it carries.
package desired

import (
	"errors"

	"github.com/relayctl/relayctl/internal/plan"
	"github.com/relayctl/relayctl/internal/stack"
)

// Input is all that a desired state follows from.
type Input struct {
	Stack *stack.Stack

	// Hosts holds what was observed, by host name. A host that is not there
	// was not looked at: values that it would settle are plan.MadeOn it.
	Hosts map[string]Seen

	// Prepared says that the prepare stage is done: keys that were made and
	// not yet shown are taken as they are. Without it they are planned anew.
	Prepared bool

	// Program looks up a host program for an architecture as Go names it.
	// It is called for observed hosts only.
	Program func(name, arch string) (Program, error)
}

// Seen is what is known of one observed host.
type Seen struct {
	Facts  plan.Facts
	MACKey []byte // the key under which this host digests secret content
}

// Program describes a program for hosts that relayctl carries.
type Program struct {
	Version string // as it calls itself
	Digest  string // plan.Digest of its bytes
	Size    int64  // in bytes, as it travels
}

// Host is one host as it should be.
type Host struct {
	Name    string
	Address string
	Role    plan.Role
	Want    []plan.Resource // in no particular order across kinds; files of one folder after it
	Ports   []plan.Port     // what its units listen on

	// Blobs holds, by digest, all content that Want names and that relayctl
	// brings: every Known content of a file without From, and every Known
	// digest of a program.
	Blobs map[string]Blob
}

// Build says how each host should be: the proxy first, then the workers in the
// file's order. Hosts that left the stack are not its matter.
func Build(in Input) ([]Host, error) {
	if in.Stack == nil || in.Stack.Proxy == nil {
		return nil, errors.New("build desired state: no stack")
	}
	hosts := []Host{{Name: in.Stack.Proxy.Name, Address: in.Stack.Proxy.Address, Role: plan.RoleProxy}}
	for _, w := range in.Stack.Workers {
		hosts = append(hosts, Host{Name: w.Name, Address: w.Address, Role: plan.RoleWorker})
	}
	return hosts, nil
}

// Prepare reports whether a resource belongs to the prepare stage: what the
// files of other hosts are rendered from.
func Prepare(r plan.Resource) bool {
	switch r.Kind {
	case plan.KindCA, plan.KindSecret, plan.KindKey:
		return true
	case plan.KindProgram:
		return r.Name == hostProgram
	}
	return false
}

// The programs for hosts.
const (
	hostProgram   = "relay-host"
	serverProgram = "relay-server"
	workerProgram = "relay-worker"
)
