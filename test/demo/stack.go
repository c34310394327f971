package main

import (
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/template"

	"github.com/relayctl/relayctl/test/lab"
)

//go:embed stack.hcl.tmpl
var stackTemplate string

// writeStack writes the stack file for the hosts, and the known_hosts file
// that lets relayctl know them.
func (d *demo) writeStack(hosts []*lab.Host) error {
	var file, known strings.Builder
	stack, err := template.New("stack.hcl").Parse(stackTemplate)
	if err != nil {
		return fmt.Errorf("write stack file: %w", err)
	}
	err = stack.Execute(&file, struct {
		Domain, Model, Identity string
		Proxy                   *lab.Host
		Workers                 []*lab.Host
	}{domain, lab.SmallModel, d.lab.SSHKeyFile, hosts[0], hosts[1:]})
	if err != nil {
		return fmt.Errorf("write stack file: %w", err)
	}
	for _, host := range hosts {
		keys, err := os.ReadFile(host.KnownHosts)
		if err != nil {
			return fmt.Errorf("read host keys: %w", err)
		}
		known.Write(keys)
	}
	if err := os.Mkdir(filepath.Join(d.dir, ".ssh"), 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(d.dir, ".ssh", "known_hosts"), []byte(known.String()), 0o600); err != nil {
		return err
	}
	fmt.Fprintf(d.out, "\nThe stack file:\n\n%s\n", indent(file.String()))
	return os.WriteFile(filepath.Join(d.dir, "stack.hcl"), []byte(file.String()), 0o600)
}

// indent sets a text off from what is said about it.
func indent(text string) string {
	return "    " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n    ")
}
