// Lab boots a small lab of real hosts on this machine, to try relayctl by hand.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
)

const usage = `usage: lab COMMAND

  check [TARGET]      say what keeps this machine from running the lab; TARGET
                      is the make target to name in the advice (lab)
  install             install the Debian packages that the lab needs
  up [-engine KIND]   boot edge, gpu-1 and gpu-2 and leave them up; KIND is the
                      engine on the gpu hosts: small, stub or none (small)
  run PROGRAM ...     run a program that finds the lab's names
  down                remove every lab that was left up
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:])
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.ExitCode() > 0 {
		os.Exit(exit.ExitCode()) // the program of `lab run` has said why
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "lab:", err)
		if errors.Is(err, errUsage) {
			fmt.Fprint(os.Stderr, usage)
		}
		os.Exit(1)
	}
}

// errUsage is a command line that lab does not understand.
var errUsage = errors.New("no such command")

func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("%w: none given", errUsage)
	}
	command, args := args[0], args[1:]
	switch command {
	case "check":
		return check(ctx, args)
	case "install":
		return install(ctx)
	case "up":
		return up(ctx, args)
	case "run":
		return runInLab(ctx, args)
	case "down":
		return down(ctx)
	case "help", "-h", "--help":
		fmt.Print(usage)
		return nil
	}
	return fmt.Errorf("%w: %q", errUsage, command)
}
