package cli_test

import (
	"context"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/relayctl/relayctl/internal/cli"
	"github.com/relayctl/relayctl/internal/engine"
	"github.com/relayctl/relayctl/internal/plan"
	"github.com/relayctl/relayctl/internal/secret"
)

var update = flag.Bool("update", false, "write the golden files anew")

const stackFile = `stack "home" {}

proxy "edge" {
  address = "203.0.113.10"
  domain  = "llm.example.com"
  tls "internal" {}
}

worker "gpu-1" {
  address = "10.0.0.21"
  model "llama3-8b" {
    backend = "http://127.0.0.1:11434"
  }
}

api_key "laptop" {}
`

var now = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// hosts stands in for a stack's hosts: every answer is set by the test.
type hosts struct {
	config  engine.Config
	planned *engine.Planned
	status  *engine.Status
	root    string
	err     error // of Plan, Status and RootCA

	apply    func(ctx context.Context, h *hosts, show func(*engine.Outcome) error) (*engine.Outcome, error)
	rotation *engine.Rotation
	rotate   func(h *hosts, show func(*engine.Rotated) error) (*engine.Rotated, error)
	asked    engine.RotateRequest

	rollback *engine.Rollback
	to       int  // that a rollback was asked to go back to
	purge    bool // that was asked of a destroy

	history *engine.History
	past    engine.HistoryRequest

	before  func() // happens while hosts are looked at
	applied int
	closed  bool
}

func (h *hosts) Plan(context.Context) (*engine.Planned, error) {
	h.look()
	return h.planned, h.err
}

func (h *hosts) Status(context.Context) (*engine.Status, error) {
	h.look()
	return h.status, h.err
}

func (h *hosts) look() {
	if h.before != nil {
		h.before()
	}
}

func (h *hosts) RootCA(context.Context) (string, error) { return h.root, h.err }

func (h *hosts) Close() error {
	h.closed = true
	return nil
}

func (h *hosts) Apply(ctx context.Context, _ *engine.Planned, show func(*engine.Outcome) error) (*engine.Outcome, error) {
	h.applied++
	return h.apply(ctx, h, show)
}

// console is a user's machine, and what was printed on it.
type console struct {
	cli.System
	stdout, stderr text
	code           int
	exited         chan int // codes of Exit
}

// text is what several goroutines print.
type text struct {
	mu sync.Mutex
	b  strings.Builder
}

func (t *text) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.b.Write(p)
}

func (t *text) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.b.String()
}

// newConsole is a terminal on which stdin is typed, in a folder with the stack
// file.
func newConsole(t *testing.T, stdin string, args ...string) *console {
	t.Helper()
	t.Chdir(t.TempDir())
	if err := os.WriteFile("stack.hcl", []byte(stackFile), 0o644); err != nil {
		t.Fatal(err)
	}
	c := &console{exited: make(chan int, 1)}
	c.System = cli.System{
		Version: "0.3.0", Args: args, Stdin: strings.NewReader(stdin), Stdout: &c.stdout, Stderr: &c.stderr,
		StdinTerminal: true, StdoutTerminal: true, StderrTerminal: true,
		Env: func(name string) (string, bool) {
			value, ok := map[string]string{"LANG": "C.UTF-8", "NO_COLOR": "1"}[name]
			return value, ok
		},
		Now:      func() time.Time { return now },
		Operator: "ops@desk",
		Exit:     func(code int) { c.exited <- code },
	}
	return c
}

// piped makes the console no terminal at all.
func (c *console) piped() *console {
	c.StdinTerminal, c.StdoutTerminal, c.StderrTerminal = false, false, false
	return c
}

func (c *console) run(h *hosts) *console {
	c.code = cli.RunWith(c.System, func(_ context.Context, config engine.Config) (cli.Session, error) {
		h.config = config
		return h, nil
	})
	return c
}

// connecting is run where connecting is what the test is about.
func (c *console) connecting(connect func(context.Context, engine.Config) error, h *hosts) {
	c.code = cli.RunWith(c.System, func(ctx context.Context, config engine.Config) (cli.Session, error) {
		return h, connect(ctx, config)
	})
}

// screen is all that was printed, for golden files.
func (c *console) screen() string {
	return "-- stdout --\n" + c.stdout.String() + "-- stderr --\n" + c.stderr.String()
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	goldenIn(t, "screens", name, got)
}

func goldenPlan(t *testing.T, name, got string) {
	t.Helper()
	goldenIn(t, "plans", name, got)
}

func goldenIn(t *testing.T, under, name, got string) {
	t.Helper()
	path := filepath.Join(folder, "testdata", under, name+".golden")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Error("(-want +got; -update writes it anew)\n" + diff)
	}
}

func (c *console) wantCode(t *testing.T, want int) {
	t.Helper()
	if c.code != want {
		t.Errorf("exit code %d, want %d\n%s", c.code, want, c.screen())
	}
}

// folder is where this package stands: tests work in others.
var folder = func() string {
	dir, err := os.Getwd()
	if err != nil {
		panic(err)
	}
	return dir
}()

// planOf is a plan with these changes on the proxy host.
func planOf(changes ...plan.Change) *engine.Planned {
	return &engine.Planned{
		Took: 620 * time.Millisecond,
		Plan: plan.Plan{Stack: "home", Hosts: []plan.HostPlan{
			{Name: "edge", Address: "203.0.113.10", Role: plan.RoleProxy, Machine: plan.Machine{Pretty: "Debian 13", Arch: "amd64"}, Changes: changes, Unchanged: 3},
			{Name: "gpu-1", Address: "10.0.0.21", Role: plan.RoleWorker, Worker: "gpu-1", Machine: plan.Machine{Pretty: "Debian 12", Arch: "amd64"}, Unchanged: 4},
		}},
	}
}

var (
	newPackage = plan.Change{ID: plan.ID{Kind: plan.KindPackage, Name: "caddy"}, Action: plan.Create}
	newKey     = plan.Change{ID: plan.ID{Kind: plan.KindKey, Name: "laptop"}, Action: plan.Create, Attributes: []plan.AttrChange{
		{Name: plan.AttrDigest, After: plan.MadeOn("edge")}, {Name: plan.AttrShown, After: plan.Known(plan.Yes)},
	}}
	inTheWay = plan.Change{
		ID: plan.ID{Kind: plan.KindUnit, Name: "nginx.service"}, Action: plan.Attention,
		Block: "not ours; holds port 443, which caddy needs", Adoptable: true,
		Resource: &plan.Resource{Origin: plan.Origin{File: "stack.hcl", Line: 5, Block: `proxy "edge"`}},
	}
	portTaken = plan.Change{
		ID: plan.ID{Kind: plan.KindPort, Name: "8080"}, Action: plan.Attention,
		Block:    "held by python3 (pid 900), which no unit runs; relay-server needs it",
		Resource: &plan.Resource{Origin: plan.Origin{File: "stack.hcl", Line: 3, Block: `proxy "edge"`}},
	}
)

// unreachable is a host that did not answer.
func unreachable(name string, line int) *engine.HostError {
	return &engine.HostError{
		Host: name, Summary: "connect: no answer from 10.0.0.21:22 within 10 s",
		Origin: plan.Origin{File: "stack.hcl", Line: line, Block: `worker "gpu-1"`},
		Hint:   "Is it up, and is the address right?\nOn the host, this says whether it takes connections:\n  systemctl status ssh",
	}
}

// answered is a proof that went well.
func answered() engine.Proof {
	return engine.Proof{URL: "https://llm.example.com", Route: engine.RouteDomain, Models: []engine.ModelProof{
		{Model: "llama3-8b", Route: engine.RouteDomain, FirstToken: 240 * time.Millisecond},
	}}
}

// deliver makes a key as the engine does.
func deliver(t *testing.T, h *hosts) {
	t.Helper()
	if err := h.config.Keys.Deliver("laptop", secret.New(testKey)); err != nil {
		t.Error(err)
	}
}

const testKey = "rk_0123456789abcdefghijklmnopqrstuvwxyzABCDEFG"

// newPipe is a terminal at which nobody types until the end.
func newPipe() (io.Reader, func() error) {
	r, w := io.Pipe()
	return r, w.Close
}
