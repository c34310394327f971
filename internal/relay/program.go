package relay

import (
	"cmp"
	"context"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/relayctl/relayctl/internal/secret"
	"github.com/relayctl/relayctl/internal/service"
)

const usage = `Usage: relay-server --config DIR
       WORKER_SECRET=... relay-server [--listen ADDR] [--api-keys-file FILE]

Takes requests for models and hands them to workers that dialled in.

With --config all settings come from DIR (relay.json, keys.json, workers.d/),
as relayctl writes them. Without it they come from flags and environment; the
secret only from the environment.

`

// Main is the program relay-server. It returns the exit code.
func Main(args []string, version string) int {
	return service.Main("relay-server", version, func() (service.Program, error) {
		return parse(args, os.Getenv, os.Stderr)
	})
}

// program is relay-server as its command line has it.
type program struct {
	configDir string
	hand      ByHand
	log       *slog.Logger
}

func parse(args []string, getenv func(string) string, stderr io.Writer) (*program, error) {
	p := &program{}
	flags := service.NewCommandLine("relay-server", usage, getenv, stderr)
	flags.StringVar(&p.configDir, "config", "", "folder with relay.json, keys.json and workers.d/")
	flags.StringVar(&p.hand.Listen, "listen", cmp.Or(getenv("LISTEN_ADDR"), DefaultRelay().Listen), "address for clients and workers (LISTEN_ADDR)")
	flags.StringVar(&p.hand.RequestTimeout, "request-timeout", getenv("REQUEST_TIMEOUT_SECS"), "seconds that a request may take in all (REQUEST_TIMEOUT_SECS) (default 3600)")
	flags.StringVar(&p.hand.APIKeysFile, "api-keys-file", getenv("API_KEYS_FILE"), "lines of NAME=SHA256 (API_KEYS_FILE); without it every client on this machine is taken")
	flags.StringVar(&p.hand.Metrics, "metrics", "off", "address for metrics")
	flags.StringVar(&p.hand.Admin, "admin", "off", "path of the admin socket")
	p.hand.WorkerSecret = secret.New(getenv("WORKER_SECRET"))
	var err error
	p.log, err = flags.ParseAll(args)
	return p, err
}

func (p *program) settings() (*Settings, error) {
	if p.configDir != "" {
		return LoadSettings(p.configDir)
	}
	return p.hand.Settings()
}

// Run serves until ctx ends, and reads the settings again at each hup.
func (p *program) Run(ctx context.Context, version string, hup <-chan os.Signal) error {
	settings, err := p.settings()
	if err != nil {
		return err
	}
	listeners, err := Listen(settings.Relay)
	if err != nil {
		return err
	}
	if settings.Open {
		p.log.Warn("no API_KEYS_FILE: every client on this machine is taken")
	}
	server := New(Config{Settings: settings, Version: version, Log: p.log})
	p.log.Info("relay starts", "version", version, "listen", listeners.API.Addr().String(), "workers", len(settings.Workers), "keys", len(settings.Keys))
	var standing service.Standing
	p.tell(&standing, settings)
	serve := func(ctx context.Context) error { return server.Serve(ctx, listeners) }
	return standing.Serve(ctx, hup, p.log, serve, func() error {
		settings, err := p.settings()
		if err == nil {
			err = server.Reload(settings)
		}
		if err == nil {
			p.log.Info("settings reloaded", "workers", len(settings.Workers), "keys", len(settings.Keys))
			p.tell(&standing, settings)
		}
		return err
	})
}

// tell tells of settings that are in force, and which workers they leave out.
func (p *program) tell(standing *service.Standing, s *Settings) {
	var leftOut []string
	for _, err := range s.LeftOut {
		p.log.Error(err.Error())
		leftOut = append(leftOut, strings.ReplaceAll(err.Error(), "\n", ", "))
	}
	standing.Settle(s.Digest)
	standing.Tell(strings.Join(leftOut, "; "))
}
