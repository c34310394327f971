package worker

import (
	"cmp"
	"context"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"

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
	var standing service.Standing
	p.tell(&standing, settings)
	standing.Tell("connecting")
	w := New(Config{Settings: settings, Version: version, Log: p.log, OnState: standing.Tell})
	p.log.Info("worker starts", "version", version, "name", settings.Name, "relay", settings.Relay.String(), "models", len(settings.Models))
	serve := func(ctx context.Context) error { w.Run(ctx); return nil }
	return standing.Serve(ctx, hup, p.log, serve, func() error {
		settings, err := p.settings()
		if err != nil {
			return err
		}
		p.tell(&standing, settings)
		p.log.Info("settings reloaded", "models", len(settings.Models))
		w.Reload(settings)
		return nil
	})
}

// tell tells of settings that are in force, and of a secret that travels in the
// clear.
func (p *program) tell(standing *service.Standing, s *Settings) {
	standing.Settle(s.Digest)
	ip := net.ParseIP(s.Relay.Hostname())
	if s.Relay.Scheme == "http" && s.Relay.Hostname() != "localhost" && (ip == nil || !ip.IsLoopback()) {
		p.log.Warn("the secret and all requests travel unencrypted: use https", "relay", s.Relay.String())
	}
}
