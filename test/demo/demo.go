package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/relayctl/relayctl/internal/secret"
	"github.com/relayctl/relayctl/test/lab"
)

// domain is the name that clients use; only the lab knows it.
const domain = "llm.demo.test"

// demo is a lab with a stack file for it.
type demo struct {
	lab     *lab.Lab
	out     io.Writer
	program string // relayctl
	dir     string // where the stack file and what relayctl writes stand

	engineKey secret.Value // what the engines on the GPU hosts ask for
}

// run boots the lab, does the work and removes the lab.
func run(ctx context.Context, out io.Writer) (err error) {
	program, err := filepath.Abs("bin/relayctl")
	if err != nil {
		return fmt.Errorf("find relayctl: %w", err)
	}
	if _, err := os.Stat(program); err != nil {
		return fmt.Errorf("find relayctl: %w; make build makes it", err)
	}
	l, err := lab.Open(ctx, lab.Options{Logf: func(format string, args ...any) {
		fmt.Fprintf(out, "  "+format+"\n", args...)
	}})
	if err != nil {
		return err
	}
	defer func() {
		fmt.Fprintln(out, "\nRemoving the lab.")
		err = errors.Join(err, l.Close())
	}()
	d := &demo{lab: l, out: out, program: program, dir: l.Dir}
	if err := d.boot(ctx); err != nil {
		return err
	}
	return d.show(ctx)
}

// boot starts the hosts and the engine, and writes the stack file.
func (d *demo) boot(ctx context.Context) error {
	fmt.Fprintln(d.out, "Booting three hosts: edge, gpu-1 and gpu-2.")
	hosts, err := d.lab.BootAll(ctx,
		lab.Spec{Name: "edge", Suite: lab.Trixie},
		lab.Spec{Name: "gpu-1", Suite: lab.Bookworm},
		lab.Spec{Name: "gpu-2", Suite: lab.Trixie},
	)
	if err != nil {
		return err
	}
	if err := d.lab.Name(domain, hosts[0]); err != nil {
		return err
	}
	fmt.Fprintln(d.out, "Starting SmolLM2-135M on gpu-1 and gpu-2, on 127.0.0.1 only.")
	d.engineKey = secret.NewToken()
	for _, host := range hosts[1:] {
		if _, err := host.StartSmallModel(ctx, lab.SmallModelOptions{Key: d.engineKey.Reveal()}); err != nil {
			return err
		}
	}
	return d.writeStack(hosts)
}

// show runs relayctl as its user would, and then a client.
func (d *demo) show(ctx context.Context) error {
	steps := [][]string{
		{"plan", "stack.hcl"},
		{"apply", "stack.hcl", "--yes", "--keys-out", "keys"},
		{"plan", "stack.hcl"},
		{"status", "stack.hcl"},
	}
	for _, arguments := range steps {
		fmt.Fprintf(d.out, "\n$ relayctl %s\n", strings.Join(arguments, " "))
		if err := d.relayctl(ctx, d.out, arguments...); err != nil {
			return err
		}
	}
	if err := d.saveRoot(ctx); err != nil {
		return err
	}
	return d.ask(ctx, "What is the capital of France?")
}

// saveRoot writes the root certificate that clients have to trust.
func (d *demo) saveRoot(ctx context.Context) error {
	fmt.Fprintf(d.out, "\n$ relayctl ca stack.hcl > %s\n", rootFile)
	root, err := os.Create(filepath.Join(d.dir, rootFile))
	if err != nil {
		return fmt.Errorf("save root certificate: %w", err)
	}
	if err := d.relayctl(ctx, root, "ca", "stack.hcl"); err != nil {
		root.Close()
		return err
	}
	return root.Close()
}
