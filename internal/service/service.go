// Package service is what relay-server and relay-worker have in common as
// programs: their command line and log, signals, the reading of settings, and
// what the service manager is told.
package service

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
)

// Program is a service as its command line has it.
type Program interface {
	// Run serves until ctx ends, and reads the settings again at each hup.
	Run(ctx context.Context, version string, hup <-chan os.Signal) error
}

// Main runs the program that parse makes of the process's arguments, and
// returns the exit code.
func Main(name, version string, parse func() (Program, error)) int {
	p, err := parse()
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case errors.Is(err, errVersion):
		fmt.Println(name, version)
		return 0
	case err != nil:
		fmt.Fprintln(os.Stderr, name+":", err)
		return 1
	}
	// net/http quotes what a server says that nobody asked for: of an engine, an
	// answer, which is for no log.
	log.SetOutput(io.Discard)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	if err := p.Run(ctx, version, hup); err != nil {
		fmt.Fprintln(os.Stderr, name+":", err)
		return 1
	}
	return 0
}

// errVersion is returned where the command line asks for the version only.
var errVersion = errors.New("the version was asked for")

// CommandLine is a program's flags, with those that each service has.
type CommandLine struct {
	*flag.FlagSet
	version       bool
	level, format string
}

// NewCommandLine makes the command line of a program, which explains itself by
// usage and its flags. LOG_LEVEL and LOG_FORMAT come from getenv.
func NewCommandLine(name, usage string, getenv func(string) string, stderr io.Writer) *CommandLine {
	c := &CommandLine{FlagSet: flag.NewFlagSet(name, flag.ContinueOnError)}
	c.SetOutput(stderr)
	c.Usage = func() {
		fmt.Fprint(stderr, usage)
		c.PrintDefaults()
	}
	c.BoolVar(&c.version, "version", false, "print the version and exit")
	c.StringVar(&c.level, "log-level", cmp.Or(getenv("LOG_LEVEL"), "info"), "debug, info, warn or error (LOG_LEVEL)")
	c.StringVar(&c.format, "log-format", cmp.Or(getenv("LOG_FORMAT"), "text"), "text or json (LOG_FORMAT)")
	return c
}

// ParseAll parses args, which must be flags all, and makes the log that they
// ask for. Its errors are for Main.
func (c *CommandLine) ParseAll(args []string) (*slog.Logger, error) {
	if err := c.Parse(args); err != nil {
		return nil, err
	}
	if c.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q", c.Arg(0))
	}
	if c.version {
		return nil, errVersion
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.level)); err != nil {
		return nil, fmt.Errorf("log level: %q is none of debug, info, warn, error", c.level)
	}
	options := &slog.HandlerOptions{Level: level}
	switch c.format {
	case "text":
		return slog.New(slog.NewTextHandler(c.Output(), options)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(c.Output(), options)), nil
	}
	return nil, fmt.Errorf("log format: %q is neither text nor json", c.format)
}
