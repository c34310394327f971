// Package engine works on all hosts of a stack at once: it connects, looks,
// plans, applies in the right order and proves with a real token that the
// stack serves. What happens meanwhile it tells as events; it prints nothing.
package engine

import (
	"context"
	"io"
	"net"

	"github.com/relayctl/relayctl/internal/desired"
	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
	"github.com/relayctl/relayctl/internal/remote"
	"github.com/relayctl/relayctl/internal/secret"
	"github.com/relayctl/relayctl/internal/stack"
)

// Config says what a session works on, and how. Stack, Version and Operator
// are required.
type Config struct {
	Stack    *stack.Stack
	Version  string // of relayctl
	Operator string // user@machine, for locks, manifests and history

	// KnownHosts is the file of known host keys. Empty: ~/.ssh/known_hosts.
	KnownHosts string
	// AcceptNewHostKeys takes the key of a host that is not in KnownHosts,
	// writes it there and tells its fingerprint in an event.
	AcceptNewHostKeys bool

	// Adopt takes over what stands in the way and is not ours.
	Adopt bool
	// Forget names hosts that left the stack and are given up: they are not
	// connected, and not remembered any more.
	Forget []string

	// Keys is where made keys go. Nil: an apply that must make one stops
	// before it changes anything, with ErrNoDelivery.
	Keys KeyDelivery
	// Ask asks for what logs in and what makes root, where only the user knows
	// it. Nil: nobody can be asked.
	Ask func(context.Context, Question) (secret.Value, error)
	// SudoPassword is tried where sudo wants a password. Zero: it is asked for.
	SudoPassword secret.Value
	// Parallelism bounds how many hosts are dialled at once. 0: DefaultParallelism.
	Parallelism int
	// Events hears what happens. It is called from one goroutine at a time and
	// should return soon. Nil: nobody listens.
	Events func(Event)

	// Programs are those that run on hosts. Nil: the ones that this build of
	// relayctl carries.
	Programs Programs
	// Dialer reaches the hosts. Nil: SSH, or no connection at all for a host
	// whose address is "local".
	Dialer Dialer
	// ConnectSSH makes the connections that SSH runs on. Nil: TCP.
	ConnectSSH func(ctx context.Context, network, address string) (net.Conn, error)
	// DialContext connects to the public URL for the proof. Nil: the network.
	DialContext func(ctx context.Context, network, address string) (net.Conn, error)
}

// Question is something that only the user knows.
type Question = remote.Question

// What a Question is for.
const (
	Passphrase  = remote.Passphrase
	Password    = remote.Password
	Challenge   = remote.Challenge
	SudoAnswers = remote.SudoAnswers
)

// KeyDelivery takes API keys that an apply makes.
type KeyDelivery interface {
	// Deliver keeps a new key where its owner will find it. It is called
	// before the key's hash is sent to any host: an error stops the apply.
	Deliver(name string, key secret.Value) error
}

// Programs carries the programs that run on hosts, by name and by architecture
// as Go names it.
type Programs interface {
	// Describe tells what a program is.
	Describe(name, arch string) (desired.Program, error)
	// Packed returns a program as gzip packs it.
	Packed(name, arch string) ([]byte, error)
}

// Dialer begins conversations with hosts.
type Dialer interface {
	// Dial starts relay-host on a host and reads its greeting. ctx bounds only
	// the dialling. The error is a *PasswordWanted where sudo wants a password.
	Dial(ctx context.Context, target Target) (*Conversation, error)
}

// Target is a host as it is reached.
type Target struct {
	plan.Member
	IdentityFile string // the one key to log in with; empty: ssh's own
	HostKey      string // its fingerprint; empty: known_hosts decides
	// Jump are the hosts that the way leads through, the first to be reached
	// first; none: as ssh's configuration has it. Direct: through none at all.
	Jump   []Target
	Direct bool
	Role   plan.Role
	Origin plan.Origin // zero for a host that left the stack
	// Worker is, of the proxy host, the worker on the same machine; empty: none
	// is, or it is not known yet.
	Worker string
}

// Conversation is relay-host's standard input and output, from after its
// greeting. Closing it ends the way to the host, too.
type Conversation struct {
	hostapi.Hello
	Stream io.ReadWriteCloser
}
