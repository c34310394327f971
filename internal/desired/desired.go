// Package desired turns a stack, and what is known of its hosts, into the
// resources that each host should have and the content of its files. It is
// pure: it looks at no host, and fills in templates that it carries.
package desired

import (
	"errors"
	"fmt"

	"github.com/relayctl/relayctl/internal/plan"
	"github.com/relayctl/relayctl/internal/stack"
)

// Input is all that a desired state follows from.
type Input struct {
	Stack *stack.Stack

	// Hosts holds what was observed, by host name. A host that is not there
	// was not looked at: values that it would settle are plan.MadeOn it.
	Hosts map[string]Seen

	// OnProxy names the worker whose machine is the proxy's; empty: none is.
	// It is a part of that host and none by itself.
	OnProxy string

	// Prepared says that the facts were taken after the prepare stage: keys
	// that were made and not yet shown are taken as they are. Without it they
	// are planned anew.
	Prepared bool

	// Rotate says by worker what its secret's rotation is to come to. A worker
	// that is not there keeps what its facts show, an unfinished rotation
	// included.
	Rotate map[string]Rotation

	// Program looks up a host program for an architecture as Go names it. It
	// is called for observed hosts only.
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
	Worker  string // that is on it; empty: none is

	Want  []plan.Resource
	Ports []plan.Port // what its units listen on

	// Blobs holds, by digest, all content that Want names and that relayctl
	// brings: of every file without From whose content is known, and of every
	// program whose digest is.
	Blobs map[string]Blob
}

// The programs for hosts.
const (
	hostProgram   = "relay-host"
	serverProgram = "relay-server"
	workerProgram = "relay-worker"
)

// hostOf names the host that a worker is on.
func (in Input) hostOf(worker string) string {
	if worker == in.OnProxy {
		return in.Stack.Proxy.Name
	}
	return worker
}

// Build says how each host should be: the proxy first, then the workers in the
// file's order, but for the one on the proxy's machine. Hosts that left the stack are not its matter. Without facts it
// yields the same resources, so that it also says what to look at.
func Build(in Input) ([]Host, error) {
	if in.Stack == nil || in.Stack.Proxy == nil {
		return nil, errors.New("build desired state: no stack with a proxy")
	}
	if err := checkNames(in.Stack); err != nil {
		return nil, fmt.Errorf("build desired state: %w", err)
	}
	proxy, err := buildProxy(in)
	if err != nil {
		return nil, fmt.Errorf("build desired state of %s: %w", in.Stack.Proxy.Name, err)
	}
	hosts := []Host{proxy}
	for _, w := range in.Stack.Workers {
		if w.Name == in.OnProxy {
			continue
		}
		worker, err := buildWorker(in, w)
		if err != nil {
			return nil, fmt.Errorf("build desired state of %s: %w", w.Name, err)
		}
		hosts = append(hosts, worker)
	}
	return hosts, nil
}

// Prepare reports whether a resource belongs to the prepare stage: what the
// files of all hosts are rendered from, and what renders them.
func Prepare(r plan.Resource) bool {
	return r.Kind.Describe().Credential || r.ID == plan.ID{Kind: plan.KindProgram, Name: hostProgram}
}
