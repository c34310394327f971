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
	command := exec.CommandContext(ctx, program, append(args, "--", q.Address)...)
	command.Env = withoutSecrets(os.Environ())
	var stderr bytes.Buffer
	command.Stderr = &stderr
	command.WaitDelay = time.Second // for what a Match exec leaves running
	out, err := command.Output()
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		said := strings.ReplaceAll(strings.TrimSpace(stderr.String()), "\n", "; ")
		return Config{}, fmt.Errorf("read ssh's configuration for %s: %w: %s", q.Address, err, said)
	}
	return parse(string(out)), nil
}

// withoutSecrets leaves out what may hold the operator's secrets: ssh hands its
// environment to whatever a Match exec names.
func withoutSecrets(environment []string) []string {
	kept := []string{} // not nil, which would mean all of it
	for _, variable := range environment {
		if !strings.HasPrefix(variable, "RELAYCTL_") {
			kept = append(kept, variable)
		}
	}
	return kept
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
