package lab

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/relayctl/relayctl/test/lab/engine"
)

// StubOptions says what stub engine to start; see package engine for how it
// behaves. The zero value is an engine for the model "stub" on port 8000.
type StubOptions struct {
	Port     int      // 0: 8000
	Models   []string // served names; none: "stub"
	Key      string   // API key; empty: a new one
	LoadTime time.Duration
	// Tokens is the length of an answer that the request does not limit; 0: 16.
	Tokens int
	// FirstToken and Interval set the pace.
	FirstToken, Interval time.Duration
	// ShutdownTimeout is how long running answers may go on when it is stopped.
	ShutdownTimeout time.Duration
	// Moods are ways of other engines than vLLM.
	Moods engine.Moods
}

// StubEngine is a stub engine on a host.
type StubEngine struct {
	Engine
	control string
}

// The metrics of a stub engine that tests ask for most.
const (
	MetricRunning   = "vllm:num_requests_running"
	MetricCancelled = "stub_requests_cancelled_total"
	MetricStarted   = "stub_requests_total"
	MetricPeak      = "stub_requests_running_peak"
	MetricLoads     = "stub_loads_total"
)

const stubProgram = "usr/local/bin/stubengine"

// StartStubEngine installs a stub engine on the host and starts it. It returns
// when it answers; with a LoadTime, at once.
func (h *Host) StartStubEngine(ctx context.Context, o StubOptions) (StubEngine, error) {
	program, err := buildStub()
	if err != nil {
		return StubEngine{}, err
	}
	if err := (hostFile{path: stubProgram, content: string(program), mode: 0o755}).write(h.Root); err != nil {
		return StubEngine{}, err
	}
	service, control := o.service()
	e, err := h.startEngine(ctx, service)
	return StubEngine{e, control}, err
}

// StubEngine is the stub engine that was started on the host with these
// options, its key among them, and has been frozen with it.
func (h *Host) StubEngine(o StubOptions) StubEngine {
	service, control := o.service()
	return StubEngine{service.on(h), control}
}

// service is what runs a stub engine, and where it takes orders.
func (o StubOptions) service() (service engineService, control string) {
	port := cmp.Or(o.Port, 8000)
	if len(o.Models) == 0 {
		o.Models = []string{"stub"}
	}
	control = fmt.Sprintf("127.0.0.1:%d", port+10000)
	limit := time.Minute
	if o.LoadTime > 0 {
		limit = 0
	}
	return engineService{
		name: fmt.Sprintf("stub-engine-%d", port), port: port, model: o.Models[0], key: o.Key, limit: limit,
		program: fmt.Sprintf("/%s -api-key-file %%d/key -listen 127.0.0.1:%d -control %s -models %s -load-time %s "+
			"-tokens %d -first-token %s -interval %s -shutdown-timeout %s "+
			"-wake %s -least-tokens %d -new-limit=%t -no-stream=%t -needs-system=%t", stubProgram, port, control,
			strings.Join(o.Models, ","), o.LoadTime, o.Tokens, o.FirstToken, o.Interval, o.ShutdownTimeout,
			o.Moods.Wake, o.Moods.LeastTokens, o.Moods.NewLimit, o.Moods.NoStream, o.Moods.NeedsSystem),
	}, control
}

// buildStub builds the stub engine: it is the same for all labs of a process.
var buildStub = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "relayctl-lab-")
	if err != nil {
		return nil, fmt.Errorf("build stub engine: %w", err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "stubengine")
	cmd := exec.Command("go", "build", "-trimpath", "-o", path,
		"github.com/relayctl/relayctl/test/lab/engine/cmd/stubengine")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if _, err := output(cmd); err != nil {
		return nil, fmt.Errorf("build stub engine: %w", err)
	}
	return os.ReadFile(path)
})

// Hang makes every completion wait, those that run included. Health and models
// go on answering.
func (e StubEngine) Hang(ctx context.Context) error { return e.order(ctx, "hang") }

// Unhang ends Hang.
func (e StubEngine) Unhang(ctx context.Context) error { return e.order(ctx, "unhang") }

// Die ends the engine as its core's death ends vLLM: at once and with status
// 0. Start brings it back.
func (e StubEngine) Die(ctx context.Context) error { return e.order(ctx, "die") }

// Load ends the load of the model that somebody waits for.
func (e StubEngine) Load(ctx context.Context) error { return e.order(ctx, "load") }

func (e StubEngine) order(ctx context.Context, what string) error {
	_, err := e.Host.run(ctx, nil, "curl", "-sf", "--max-time", "5", "-X", "POST", "http://"+e.control+"/"+what)
	return err
}
