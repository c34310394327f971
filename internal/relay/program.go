package relay

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/coreos/go-systemd/v22/daemon"

	"github.com/relayctl/relayctl/internal/secret"
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
	p, err := parse(args, os.Getenv, os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintln(os.Stderr, "relay-server:", err)
		return 1
	case p.showVersion:
		fmt.Println("relay-server", version)
		return 0
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	if err := p.run(ctx, version, hup); err != nil {
		fmt.Fprintln(os.Stderr, "relay-server:", err)
		return 1
	}
	return 0
}

// program is relay-server as its command line has it.
type program struct {
	showVersion bool
	configDir   string
	hand        ByHand
	log         *slog.Logger
}

func parse(args []string, getenv func(string) string, stderr io.Writer) (*program, error) {
	p := &program{}
	var level, format string
	flags := flag.NewFlagSet("relay-server", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.Usage = func() {
		fmt.Fprint(stderr, usage)
		flags.PrintDefaults()
	}
	flags.BoolVar(&p.showVersion, "version", false, "print the version and exit")
	flags.StringVar(&p.configDir, "config", "", "folder with relay.json, keys.json and workers.d/")
	flags.StringVar(&p.hand.Listen, "listen", cmp.Or(getenv("LISTEN_ADDR"), DefaultRelay().Listen), "address for clients and workers (LISTEN_ADDR)")
	flags.StringVar(&p.hand.RequestTimeout, "request-timeout", getenv("REQUEST_TIMEOUT_SECS"), "seconds that a request may take in all (REQUEST_TIMEOUT_SECS) (default 3600)")
	flags.StringVar(&p.hand.APIKeysFile, "api-keys-file", getenv("API_KEYS_FILE"), "lines of NAME=SHA256 (API_KEYS_FILE); without it every client on this machine is taken")
	flags.StringVar(&p.hand.Metrics, "metrics", "off", "address for metrics")
	flags.StringVar(&p.hand.Admin, "admin", "off", "path of the admin socket")
	flags.StringVar(&level, "log-level", cmp.Or(getenv("LOG_LEVEL"), "info"), "debug, info, warn or error (LOG_LEVEL)")
	flags.StringVar(&format, "log-format", cmp.Or(getenv("LOG_FORMAT"), "text"), "text or json (LOG_FORMAT)")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if flags.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	p.hand.WorkerSecret = secret.New(getenv("WORKER_SECRET"))
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
	if p.configDir != "" {
		return LoadSettings(p.configDir)
	}
	return p.hand.Settings()
}

// run serves until ctx ends, and reads the settings again at each hup.
func (p *program) run(ctx context.Context, version string, hup <-chan os.Signal) error {
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
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	served := make(chan error, 1)
	go func() { served <- server.Serve(ctx, listeners) }()
	notify("READY=1\nSTATUS=" + statusText(settings, nil))
	for {
		select {
		case <-hup:
			p.reload(server)
		case <-ctx.Done():
			notify("STOPPING=1")
			return <-served
		case err := <-served:
			return err
		}
	}
}

// reload brings in what the files say now, or tells why not and keeps on with
// what was. The service manager is told which settings are in force.
func (p *program) reload(server *Server) {
	notify("RELOADING=1\n" + daemon.SdNotifyMonotonicUsec())
	settings, err := p.settings()
	if err == nil {
		err = server.Reload(settings)
	}
	if err != nil {
		p.log.Error("reload refused, the settings of before stay in force", "err", err)
	} else {
		p.log.Info("settings reloaded", "workers", len(settings.Workers), "keys", len(settings.Keys))
	}
	notify("READY=1\nSTATUS=" + statusText(server.current().settings, err))
}

// statusText is what systemd shows: the digest of the settings in force, and
// why newer ones are not.
func statusText(s *Settings, reloadErr error) string {
	text := "settings " + cmp.Or(s.Digest, "by hand")
	if reloadErr != nil {
		text += "; reload refused: " + oneLine(reloadErr.Error())
	}
	return text
}

func oneLine(text string) string {
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
