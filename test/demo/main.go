// Demo shows relayctl doing its main job: it boots a small lab of real hosts
// on this machine, applies a stack to them, and gets a streamed answer of a
// real language model through HTTPS. It removes everything at the end.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		stop()
		os.Exit(1)
	}
}
