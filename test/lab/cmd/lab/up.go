package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/relayctl/relayctl/test/lab"
)

const (
	domain = "llm.lab.test"
	// howToFile, in a lab's folder, says how to reach it.
	howToFile = "README"
)

// up boots a lab, or shows the one that is up.
func up(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("up", flag.ContinueOnError)
	engine := flags.String("engine", "small", "engine on the gpu hosts: small, stub or none")
	if err := flags.Parse(args); err != nil {
		return err
	}
	switch *engine {
	case "small", "stub", "none":
	default:
		return fmt.Errorf("no engine %q; there are small, stub and none", *engine)
	}
	kept, err := lab.Kept()
	if err != nil {
		return err
	}
	for _, dir := range kept {
		if howTo, err := os.ReadFile(filepath.Join(dir, howToFile)); err == nil {
			fmt.Printf("A lab is up already.\n\n%s", howTo)
			return nil
		}
	}
	l, err := lab.Open(ctx, lab.Options{Keep: true, Logf: func(format string, args ...any) {
		fmt.Printf(format+"\n", args...)
	}})
	if err != nil {
		return err
	}
	if err := fill(ctx, l, *engine); err != nil {
		return errors.Join(err, l.Close())
	}
	return nil
}

// fill boots the hosts, starts the engines and says how to reach them.
func fill(ctx context.Context, l *lab.Lab, engine string) error {
	start := time.Now()
	hosts, err := l.BootAll(ctx,
		lab.Spec{Name: "edge", Suite: lab.Trixie},
		lab.Spec{Name: "gpu-1", Suite: lab.Bookworm},
		lab.Spec{Name: "gpu-2", Suite: lab.Trixie},
	)
	if err != nil {
		return err
	}
	edge, workers := hosts[0], hosts[1:]
	if err := l.Name(domain, edge); err != nil {
		return err
	}
	fmt.Printf("Booted %d hosts in %s.\n", len(hosts), time.Since(start).Round(100*time.Millisecond))
	var engines []lab.Engine
	for _, h := range workers {
		e, err := startEngine(ctx, h, engine)
		if err != nil {
			return err
		}
		engines = append(engines, e)
	}
	stack := filepath.Join(l.Dir, "stack.hcl")
	if err := os.WriteFile(stack, []byte(stackFile(l, edge, engines)), 0o644); err != nil {
		return fmt.Errorf("write stack: %w", err)
	}
	for _, e := range engines {
		if err := os.WriteFile(filepath.Join(l.Dir, e.Host.Name+".key"), []byte(e.Key+"\n"), 0o600); err != nil {
			return fmt.Errorf("write engine key: %w", err)
		}
	}
	text := howTo(hosts, stack)
	if err := os.WriteFile(filepath.Join(l.Dir, howToFile), []byte(text), 0o644); err != nil {
		return fmt.Errorf("write description: %w", err)
	}
	fmt.Printf("\n%s", text)
	return nil
}

func startEngine(ctx context.Context, h *lab.Host, kind string) (lab.Engine, error) {
	switch kind {
	case "small":
		return h.StartSmallModel(ctx, lab.SmallModelOptions{})
	case "stub":
		e, err := h.StartStubEngine(ctx, lab.StubOptions{})
		return e.Engine, err
	}
	return lab.Engine{Host: h, URL: "http://127.0.0.1:8000", Model: "model"}, nil
}

// stackFile is a stack for the lab's hosts.
func stackFile(l *lab.Lab, edge *lab.Host, engines []lab.Engine) string {
	var b strings.Builder
	fmt.Fprintf(&b, `stack "lab" {}

ssh {
  user          = %q
  identity_file = %q
}

proxy %q {
  address = %q
  domain  = %q
  ssh {
    host_key = %q
  }
  tls "internal" {}
}
`, lab.Admin, l.SSHKeyFile, edge.Name, edge.Addr, domain, edge.HostKeys[0])
	for _, e := range engines {
		key := ""
		if e.Key != "" {
			key = fmt.Sprintf("    backend_key = trimspace(file(%q))\n", e.Host.Name+".key")
		}
		fmt.Fprintf(&b, `
worker %q {
  address = %q
  ssh {
    host_key = %q
  }
  model %q {
    backend     = %q
%s    concurrency = 4
  }
}
`, e.Host.Name, e.Host.Addr, e.Host.HostKeys[0], e.Model, e.URL, key)
	}
	b.WriteString("\napi_key \"laptop\" {}\n")
	return b.String()
}

func howTo(hosts []*lab.Host, stack string) string {
	var b strings.Builder
	for _, h := range hosts {
		fmt.Fprintf(&b, "%-6s %-12s %-9s %s\n", h.Name, h.Addr, h.Suite, strings.Join(h.SSH(lab.Root), " "))
	}
	fmt.Fprintf(&b, `
Their stack:   %s
Plan it:       bin/relayctl plan %[1]s
Apply it:      bin/relayctl apply %[1]s
A program that finds %s:  go run ./test/lab/cmd/lab run curl https://%[2]s/
Remove all:    go run ./test/lab/cmd/lab down
`, stack, domain)
	return b.String()
}

// runInLab runs a program that finds the names of the lab that is up.
func runInLab(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errors.New("run needs a program to run")
	}
	kept, err := lab.Kept()
	if err != nil {
		return err
	}
	if len(kept) == 0 {
		return errors.New("no lab is up; `lab up` boots one")
	}
	cmd := lab.CommandIn(ctx, kept[0], args[0], args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	return cmd.Run()
}

func down(ctx context.Context) error {
	removed, err := lab.RemoveKept(ctx)
	for _, dir := range removed {
		fmt.Println("Removed", dir)
	}
	if err == nil && len(removed) == 0 {
		fmt.Println("No lab is up.")
	}
	return err
}
