// Stubengine runs the stand-in for vLLM of package engine.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/relayctl/relayctl/test/lab/engine"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "stubengine:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	c, err := parse(args)
	if err != nil {
		return err
	}
	stub, err := engine.New(c)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err = stub.Serve(ctx)
	if errors.Is(err, engine.ErrDied) {
		log.Print("EngineDeadError: EngineCore encountered an issue.")
		return nil // status 0, as vLLM
	}
	return err
}

func parse(args []string) (engine.Config, error) {
	c := engine.Config{Log: log.New(os.Stderr, "INFO ", 0)}
	flags := flag.NewFlagSet("stubengine", flag.ContinueOnError)
	flags.StringVar(&c.Listen, "listen", "127.0.0.1:8000", "address of the API")
	flags.StringVar(&c.Control, "control", "", "address of the control port; empty for none")
	keyFile := flags.String("api-key-file", "", "file with the API key; empty for none")
	models := flags.String("models", "stub", "served model names, with commas")
	flags.DurationVar(&c.LoadTime, "load-time", 0, "how long connections are refused at the start")
	flags.IntVar(&c.Tokens, "tokens", 0, "length of an answer without max_tokens (0: 16)")
	flags.DurationVar(&c.FirstToken, "first-token", 0, "time to the first token")
	flags.DurationVar(&c.Interval, "interval", 0, "time between two tokens")
	flags.DurationVar(&c.Moods.Wake, "wake", 0, "how long the model loads when it is first asked; given up when nobody waits")
	flags.IntVar(&c.Moods.LeastTokens, "least-tokens", 0, "lowest limit of tokens that is taken")
	flags.BoolVar(&c.Moods.NewLimit, "new-limit", false, "know max_completion_tokens only")
	flags.BoolVar(&c.Moods.NoStream, "no-stream", false, "answer in one piece only")
	flags.BoolVar(&c.Moods.NeedsSystem, "needs-system", false, "want a system message first")
	flags.DurationVar(&c.ShutdownTimeout, "shutdown-timeout", 0, "how long answers go on after SIGTERM")
	if err := flags.Parse(args); err != nil {
		return c, err
	}
	if flags.NArg() > 0 {
		return c, fmt.Errorf("unrecognized arguments: %s", strings.Join(flags.Args(), " "))
	}
	c.Models = strings.Split(*models, ",")
	if *keyFile != "" {
		key, err := os.ReadFile(*keyFile)
		if err != nil {
			return c, fmt.Errorf("read API key: %w", err)
		}
		c.Key = strings.TrimSpace(string(key))
	}
	return c, nil
}
