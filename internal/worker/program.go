package worker

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/coreos/go-systemd/v22/daemon"

	"github.com/relayctl/relayctl/internal/secret"
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
	p, err := parse(args, os.Getenv, os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintln(os.Stderr, "relay-worker:", err)
		return 1
	case p.showVersion:
		fmt.Println("relay-worker", version)
		return 0
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	if err := p.run(ctx, version, hup); err != nil {
		fmt.Fprintln(os.Stderr, "relay-worker:", err)
		return 1
	}
	return 0
}

// program is relay-worker as its command line has it.
type program struct {
	showVersion bool
	config      string
	hand        ByHand
	log         *slog.Logger
}

func parse(args []string, getenv func(string) string, stderr io.Writer) (*program, error) {
	p := &program{}
	var level, format string
	flags := flag.NewFlagSet("relay-worker", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprint(stderr, usage)
		flags.PrintDefaults()
	}
	flags.BoolVar(&p.showVersion, "version", false, "print the version and exit")
	flags.StringVar(&p.config, "config", "", "worker.json, or the folder it is in")
	flags.StringVar(&p.hand.Relay, "proxy-url", getenv("PROXY_URL"), "the relay's URL (PROXY_URL)")
	flags.StringVar(&p.hand.CAFile, "proxy-ca", getenv("PROXY_CA"), "PEM file: for the relay these are trusted and nothing else (PROXY_CA)")
	flags.StringVar(&p.hand.Backend, "backend-url", getenv("BACKEND_URL"), "the engine's URL (BACKEND_URL)")
	flags.StringVar(&p.hand.Models, "models", getenv("MODELS"), "names of the engine's models, with commas between (MODELS)")
	flags.StringVar(&p.hand.Name, "worker-name", cmp.Or(getenv("WORKER_NAME"), defaultName()), "this worker's name at the relay (WORKER_NAME)")
	flags.StringVar(&p.hand.Concurrency, "max-concurrency", getenv("MAX_CONCURRENCY"), "requests at once per model (MAX_CONCURRENCY) (default 16)")
	flags.StringVar(&level, "log-level", cmp.Or(getenv("LOG_LEVEL"), "info"), "debug, info, warn or error (LOG_LEVEL)")
	flags.StringVar(&format, "log-format", cmp.Or(getenv("LOG_FORMAT"), "text"), "text or json (LOG_FORMAT)")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if flags.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	p.hand.Secret = secret.New(getenv("WORKER_SECRET"))
	p.hand.BackendKey = secret.New(getenv("BACKEND_KEY"))
	var err error
	p.log, err = newLog(stderr, level, format)
	return p, err
}

func newLog(w io.Writer, level, format string) (*slog.Logger, error) {
	var options slog.HandlerOptions
	var parsed slog.Level
	if err := parsed.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("log level: %q is none of debug, info, warn, error", level)
	}
	options.Level = parsed
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(w, &options)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, &options)), nil
	}
	return nil, fmt.Errorf("log format: %q is neither text nor json", format)
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

// run serves until ctx ends, and reads the settings again at each hup. It is
// ready with good settings, whether the relay is there or not: the status
// tells that.
func (p *program) run(ctx context.Context, version string, hup <-chan os.Signal) error {
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
	notify("READY=1\nSTATUS=" + status.text())
	for {
		select {
		case <-hup:
			p.reload(w, status)
		case <-ctx.Done():
			notify("STOPPING=1")
			<-done
			return nil
		}
	}
}

// reload brings in what the files say now, or tells why not and keeps on with
// what was.
func (p *program) reload(w *Worker, status *status) {
	notify("RELOADING=1\n" + daemon.SdNotifyMonotonicUsec())
	settings, err := p.settings()
	status.set(settings, err)
	if err != nil {
		p.log.Error("reload refused, the settings of before stay in force", "err", err)
	} else {
		p.warnPlain(settings)
		p.log.Info("settings reloaded", "models", len(settings.Models))
		w.Reload(settings)
	}
	notify("READY=1\nSTATUS=" + status.text())
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
	notify("STATUS=" + s.text())
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
	text := "settings " + cmp.Or(s.settings.Digest, "by hand") + "; " + s.state
	if s.refused != nil {
		text += "; reload refused: " + s.refused.Error()
	}
	line := []byte(text)
	for i, c := range line {
		if c < ' ' {
			line[i] = ' '
		}
	}
	return string(line)
}

// notify tells the service manager, if there is one. It can't do anything
// about a failure.
func notify(state string) { daemon.SdNotify(false, state) }
