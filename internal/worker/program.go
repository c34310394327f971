package worker

import (
	"cmp"
	"context"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"

	"github.com/relayctl/relayctl/internal/secret"
	"github.com/relayctl/relayctl/internal/service"
)

const usage = `Usage: relay-worker --config FILE
       PROXY_URL=... WORKER_SECRET=... BACKEND_URL=... relay-worker --models NAME,...

Dials a relay and answers its requests from an engine near by.

With --config all settings come from FILE (worker.json, or the folder it is
in), as relayctl writes it. Without it they come from flags and environment;
secrets (WORKER_SECRET, BACKEND_KEY) only from the environment.

`

// Main is the program relay-worker. It returns the exit code.
func Main(args []string, version string) int {
	return service.Main("relay-worker", version, func() (service.Program, error) {
		return parse(args, os.Getenv, os.Stderr)
	})
}

// program is relay-worker as its command line has it.
type program struct {
	config string
	hand   ByHand
	log    *slog.Logger
}

func parse(args []string, getenv func(string) string, stderr io.Writer) (*program, error) {
	p := &program{}
	flags := service.NewCommandLine("relay-worker", usage, getenv, stderr)
	flags.StringVar(&p.config, "config", "", "worker.json, or the folder it is in")
	flags.StringVar(&p.hand.Relay, "proxy-url", getenv("PROXY_URL"), "the relay's URL (PROXY_URL)")
	flags.StringVar(&p.hand.CAFile, "proxy-ca", getenv("PROXY_CA"), "PEM file: for the relay these are trusted and nothing else (PROXY_CA)")
	flags.StringVar(&p.hand.Backend, "backend-url", getenv("BACKEND_URL"), "the engine's URL (BACKEND_URL)")
	flags.StringVar(&p.hand.Models, "models", getenv("MODELS"), "names of the engine's models, with commas between (MODELS)")
	flags.StringVar(&p.hand.Name, "worker-name", cmp.Or(getenv("WORKER_NAME"), defaultName()), "this worker's name at the relay (WORKER_NAME)")
	flags.StringVar(&p.hand.Concurrency, "max-concurrency", getenv("MAX_CONCURRENCY"), "requests at once per model (MAX_CONCURRENCY) (default 16)")
	p.hand.Secret = secret.New(getenv("WORKER_SECRET"))
	p.hand.BackendKey = secret.New(getenv("BACKEND_KEY"))
	var err error
	p.log, err = flags.ParseAll(args)
	return p, err
}

func (p *program) settings() (*Settings, error) {
	if p.config == "" {
		return p.hand.Settings()
	}
	path := p.config
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		path = filepath.Join(path, "worker.json")
	}
	return LoadSettings(path)
}

// Run serves until ctx ends, and reads the settings again at each hup. It is
// ready with good settings, whether the relay is there or not: the status
// tells that.
func (p *program) Run(ctx context.Context, version string, hup <-chan os.Signal) error {
	settings, err := p.settings()
	if err != nil {
		return err
	}
	p.warnPlain(settings)
	status := &status{settings: settings, state: "connecting"}
	w := New(Config{Settings: settings, Version: version, Log: p.log, OnState: status.setState})
	p.log.Info("worker starts", "version", version, "name", settings.Name, "relay", settings.Relay.String(), "models", len(settings.Models))
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.Run(ctx)
	}()
	service.NotifyReady(status.text())
	for {
		select {
		case <-hup:
			p.reload(w, status)
		case <-ctx.Done():
			service.NotifyStopping()
			<-done
			return nil
		}
	}
}

// reload brings in what the files say now, or tells why not and keeps on with
// what was.
func (p *program) reload(w *Worker, status *status) {
	service.NotifyReloading()
	settings, err := p.settings()
	status.set(settings, err)
	if err != nil {
		p.log.Error("reload refused, the settings of before stay in force", "err", err)
	} else {
		p.warnPlain(settings)
		p.log.Info("settings reloaded", "models", len(settings.Models))
		w.Reload(settings)
	}
	service.NotifyReady(status.text())
}

// warnPlain tells of a secret that travels in the clear.
func (p *program) warnPlain(s *Settings) {
	ip := net.ParseIP(s.Relay.Hostname())
	if s.Relay.Scheme == "http" && s.Relay.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback()) {
		p.log.Warn("the secret and all requests travel unencrypted: use https", "relay", s.Relay.String())
	}
}

// status is what the service manager is told.
type status struct {
	mu       sync.Mutex
	settings *Settings
	state    string
	refused  error // why the newest settings are not in force
}

func (s *status) setState(state string) {
	s.mu.Lock()
	s.state = state
	s.mu.Unlock()
	service.NotifyStatus(s.text())
}

func (s *status) set(settings *Settings, refused error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refused = refused; refused == nil {
		s.settings = settings
	}
}

// text begins with the digest of the settings in force and goes on with how
// the worker stands with the relay.
func (s *status) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return service.Status(s.settings.Digest, s.state, s.refused)
}
