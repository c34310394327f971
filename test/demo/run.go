package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/relayctl/relayctl/test/lab"
)

// rootFile holds the root certificate of the stack's own CA.
const rootFile = "demo-ca.pem"

// relayctl runs a command line as somebody at this machine would: only the
// lab's names are added to what the machine can find.
func (d *demo) relayctl(ctx context.Context, out io.Writer, arguments ...string) error {
	cmd, err := d.lab.CommandWithSSH(ctx, filepath.Join(d.dir, ".ssh"), d.program, arguments...)
	if err != nil {
		return err
	}
	return d.runHere(cmd, out)
}

// runHere runs cmd in the demo's folder.
func (d *demo) runHere(cmd *exec.Cmd, out io.Writer) error {
	cmd.Dir = d.dir
	cmd.Env = append(os.Environ(), "SSH_AUTH_SOCK=", "RELAYCTL_VAR_engine_key="+d.engineKey.Reveal())
	cmd.Stdout, cmd.Stderr = out, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("run %s: %w", filepath.Base(cmd.Args[len(cmd.Args)-1]), err)
	}
	return nil
}

// ask sends a question through the public name with curl and prints the
// answer as it comes.
func (d *demo) ask(ctx context.Context, question string) error {
	header, err := d.headerFile()
	if err != nil {
		return err
	}
	body, err := json.Marshal(map[string]any{
		"model": lab.SmallModel, "stream": true, "temperature": 0, "max_tokens": 40,
		"messages": []map[string]string{{"role": "user", "content": question}},
	})
	if err != nil {
		return err
	}
	fmt.Fprintf(d.out, "\n$ curl --cacert %s https://%s/v1/chat/completions …\n  %s\n  ", rootFile, domain, question)
	events, answer := io.Pipe()
	curl := d.lab.Command(ctx, "curl", "--silent", "--show-error", "--fail-with-body", "--no-buffer",
		"--cacert", rootFile, "--header", "@"+header, "--json", string(body), "https://"+domain+"/v1/chat/completions")
	go func() { answer.CloseWithError(d.runHere(curl, answer)) }()
	return printAnswer(d.out, events)
}

// headerFile writes the API key where curl reads it: a key in an argument
// could be seen by everybody on this machine.
func (d *demo) headerFile() (string, error) {
	key, err := d.key()
	if err != nil {
		return "", err
	}
	const name = "header"
	return name, os.WriteFile(filepath.Join(d.dir, name), []byte("Authorization: Bearer "+key), 0o600)
}

// key reads the laptop's API key from the file that apply wrote.
func (d *demo) key() (string, error) {
	content, err := os.ReadFile(filepath.Join(d.dir, "keys"))
	if err != nil {
		return "", fmt.Errorf("read keys: %w", err)
	}
	for line := range strings.Lines(string(content)) {
		if key, ok := strings.CutPrefix(strings.TrimSpace(line), "laptop="); ok {
			return key, nil
		}
	}
	return "", errors.New("read keys: no key for laptop")
}
