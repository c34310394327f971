package sshconfig

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/relayctl/relayctl/internal/secret"
)

// Ask has ssh say what its configuration says, so that Match, Include and
// tokens mean what they mean to ssh. Program is its path. An error has ssh's
// own words.
func Ask(ctx context.Context, program string, q Query) (Config, error) {
	args := []string{"-G"}
	if q.User != "" {
		args = append(args, "-l", q.User)
	}
	if q.Port != 0 {
		args = append(args, "-p", strconv.Itoa(q.Port))
	}
	if q.Direct { // else ssh refuses a host that is its own hop
		args = append(args, "-o", "ProxyJump=none")
	}
	command := exec.CommandContext(ctx, program, append(args, "--", q.Address)...)
	command.Env = secret.OfOthers(os.Environ()) // ssh hands it to whatever a Match exec names
	var stderr bytes.Buffer
	command.Stderr = &stderr
	command.WaitDelay = time.Second // for what a Match exec leaves running
	out, err := command.Output()
	switch {
	case ctx.Err() != nil:
		return Config{}, fmt.Errorf("read ssh's configuration for %s: ssh -G did not come to an end, perhaps for a Match exec: %w", q.Address, context.Cause(ctx))
	case err != nil:
		said := strings.ReplaceAll(strings.TrimSpace(stderr.String()), "\n", "; ")
		return Config{}, fmt.Errorf("read ssh's configuration for %s: %w: %s", q.Address, err, said)
	}
	return parse(string(out)), nil
}

// parse reads what "ssh -G" prints.
func parse(out string) Config {
	c := Config{values: map[string][]string{}}
	for line := range strings.Lines(out) {
		keyword, value, _ := strings.Cut(strings.TrimRight(line, "\r\n"), " ")
		if switches[keyword] != nil {
			value = onOff(value)
		}
		c.values[keyword] = append(c.values[keyword], value)
	}
	return c
}
