package bench_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/relayctl/relayctl/internal/desired"
	"github.com/relayctl/relayctl/internal/engine"
	"github.com/relayctl/relayctl/internal/host"
	"github.com/relayctl/relayctl/internal/host/machine/machinetest"
	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
	"github.com/relayctl/relayctl/internal/remote/remotetest"
	"github.com/relayctl/relayctl/internal/secret"
	"github.com/relayctl/relayctl/internal/stack"
)

const version = "0.4.0"

// size is how much a fleet's stack asks for. The first host is the proxy.
// Behind it, near to it, the workers are where behind says so.
type size struct {
	hosts, models, keys int
	behind              bool
}

// fleet is hosts behind SSH servers of this process.
type fleet struct {
	t       testing.TB
	rtt     time.Duration
	size    size
	servers []*remotetest.Server
	byPort  map[string]*memoryListener
	changes int // made to the stack so far
}

// newFleet starts hosts that are rtt away. Nothing but this process's own
// memory is between, so that in a bubble of synctest time goes by only where a
// message is on its way.
func newFleet(t testing.TB, size size, rtt time.Duration) *fleet {
	f := &fleet{t: t, rtt: rtt, size: size, byPort: map[string]*memoryListener{}}
	for i := range size.hosts {
		listener := newMemoryListener(10000 + i)
		m := newMachine(t, fmt.Sprint("host-", i))
		f.byPort[listener.Addr().String()] = listener
		away := rtt
		if size.behind && i > 0 {
			away = 0
		}
		f.servers = append(f.servers, remotetest.Start(t, remotetest.Options{
			Listener: listener, RTT: away, Forward: size.behind,
			Connect: func(address string) (net.Conn, error) { return f.byPort[address].dial(t.Context()) },
			Program: func(stdin io.ReadCloser, stdout io.Writer) int { return converse(m, stdin, stdout) },
		}))
	}
	return f
}

// converse is relay-host.
func converse(m *machinetest.Machine, stdin io.ReadCloser, stdout io.Writer) int {
	h := relayHost(m)
	about, err := h.Describe()
	if err != nil {
		return 1
	}
	about.Arch = "amd64"
	hello := hostapi.Hello{
		Protocol: hostapi.ProtocolVersion, Version: version, Machine: about,
		Digest: plan.Digest(programText("relay-host", about.Arch)),
	}
	if err := host.NewConversation(h, stdin, keptOpen{stdout}).Serve(context.Background(), hello); err != nil {
		return 1
	}
	return 0
}

// keptOpen is an output that the server closes, after the exit status.
type keptOpen struct{ io.Writer }

// Close implements io.Closer.
func (keptOpen) Close() error { return nil }

// config is a relayctl that uses the fleet.
func (f *fleet) config() engine.Config {
	return engine.Config{
		Stack: f.stack(), Version: version, Operator: "ops@desk", Programs: programs{}, Keys: anyKey{},
		ConnectSSH: f.connect,
	}
}

// connect takes as long as TCP's handshake does.
func (f *fleet) connect(ctx context.Context, _, address string) (net.Conn, error) {
	select {
	case <-time.After(f.rtt):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return f.byPort[address].dial(ctx)
}

func (f *fleet) stack() *stack.Stack {
	f.t.Helper()
	var source strings.Builder
	source.WriteString("stack \"fleet\" {}\n")
	for i, server := range f.servers {
		way := fmt.Sprintf("  address = \"127.0.0.1\"\n  ssh {\n    user = \"root\"\n    port = %d\n    identity_file = %q\n    host_key = %q\n  }\n",
			server.Port(), server.KeyFile, ssh.FingerprintSHA256(server.HostKeys[0]))
		if i == 0 {
			fmt.Fprintf(&source, "proxy \"edge\" {\n%s  domain = \"llm.example.com\"\n  tls \"internal\" {}\n  relay {\n    max_queue = %d\n  }\n}\n", way, 100+f.changes)
			continue
		}
		if f.size.behind {
			way = strings.Replace(way, "user =", "jump = \"edge\"\n    user =", 1)
		}
		fmt.Fprintf(&source, "worker \"gpu-%d\" {\n%s", i, way)
		for model := range f.size.models {
			fmt.Fprintf(&source, "  model \"m-%d\" {\n    backend = \"http://127.0.0.1:%d\"\n    concurrency = %d\n  }\n", model, 11000+model, 16+f.changes)
		}
		source.WriteString("}\n")
	}
	for key := range f.size.keys {
		fmt.Fprintf(&source, "api_key \"k-%d\" {}\n", key)
	}
	loaded, _, diagnostics := stack.Load(filepath.Join(f.t.TempDir(), "stack.hcl"), stack.Options{
		NeedValues: true, ReadFile: func(string) ([]byte, error) { return []byte(source.String()), nil },
	})
	if diagnostics.HasErrors() {
		f.t.Fatalf("load stack: %v", diagnostics)
	}
	return loaded
}

// plan connects to all hosts, plans and hangs up. It returns how long it took
// until the plan was there.
func (f *fleet) plan() (*engine.Planned, time.Duration) {
	f.t.Helper()
	config := f.config()
	begun := time.Now()
	session, err := engine.Connect(f.t.Context(), config)
	if err != nil {
		f.t.Fatal(err)
	}
	planned, err := session.Plan(f.t.Context())
	took := time.Since(begun)
	session.Close()
	if err != nil || len(planned.Failed) > 0 {
		f.t.Fatalf("plan: %v; failed: %v", err, planned.Failed)
	}
	return planned, took
}

// errNoProof ends an apply before models are asked for a token: there are none.
var errNoProof = errors.New("nobody is asked for a token")

// apply connects to all hosts, plans and applies. It returns how long it took
// until the proof would have begun.
func (f *fleet) apply() time.Duration {
	f.t.Helper()
	ctx, cancel := context.WithCancelCause(f.t.Context())
	defer cancel(nil)
	var took time.Duration
	begun := time.Now()
	config := f.config()
	config.DialContext = func(context.Context, string, string) (net.Conn, error) {
		if took == 0 {
			took = time.Since(begun)
		}
		cancel(errNoProof)
		return nil, errNoProof
	}
	session, err := engine.Connect(ctx, config)
	if err != nil {
		f.t.Fatal(err)
	}
	defer session.Close()
	planned, err := session.Plan(ctx)
	if err != nil {
		f.t.Fatal(err)
	}
	outcome, err := session.Apply(ctx, planned, func(*engine.Outcome) error { return nil })
	if !errors.Is(err, errNoProof) || len(outcome.Failed) > 0 {
		f.t.Fatalf("apply: %v; failed: %v", err, outcome.Failed)
	}
	return took
}

// mustBeEmpty fails when a plan has something to do.
func mustBeEmpty(t testing.TB, planned *engine.Planned) {
	t.Helper()
	if planned.Empty() {
		return
	}
	for _, h := range planned.Hosts {
		for _, change := range h.Changes {
			t.Logf("%s: %s %s %+v %v %s", h.Name, change.Action, change.ID, change.Attributes, change.Reasons, change.Block)
		}
	}
	t.Fatal("the plan is not empty")
}

// programs are small texts: twenty hosts that digest real ones would do so on
// one machine here.
type programs struct{}

func programText(name, arch string) []byte { return []byte(name + " for " + arch) }

// Describe implements engine.Programs.
func (programs) Describe(name, arch string) (desired.Program, error) {
	text := programText(name, arch)
	return desired.Program{Version: version, Digest: plan.Digest(text), Size: int64(len(text))}, nil
}

// Packed implements engine.Programs.
func (programs) Packed(name, arch string) ([]byte, error) {
	var packed bytes.Buffer
	packing := gzip.NewWriter(&packed)
	packing.Write(programText(name, arch))
	err := packing.Close()
	return packed.Bytes(), err
}

// anyKey takes made keys and forgets them.
type anyKey struct{}

// Deliver implements engine.KeyDelivery.
func (anyKey) Deliver(string, secret.Value) error { return nil }
