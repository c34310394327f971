package remote

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// route is a Target with everything filled in.
type route struct {
	target         Target
	user           string
	address        string   // host:port to dial
	listed         string   // host:port as known_hosts has it
	identities     []string // files of keys
	identitiesOnly bool     // no other key of the agent is offered
	agentSocket    string
	knownHosts     []string
	hashKnownHosts bool
}

// defaultIdentities are the files that ssh itself looks for, in its order,
// without those that need a security key's own library.
var defaultIdentities = []string{"~/.ssh/id_ecdsa", "~/.ssh/id_ed25519", "~/.ssh/id_rsa"}

// route fills in what the stack leaves open: from ssh's configuration where
// the ssh program is there, else from ssh's defaults.
func (d *Dialer) route(ctx context.Context, t Target) (route, error) {
	conf, err := d.sshConfig(ctx, t)
	if err != nil {
		return route{}, err
	}
	for _, hop := range []string{"proxyjump", "proxycommand"} {
		if value := conf.first(hop, "none"); value != "none" {
			return route{}, fmt.Errorf("ssh's configuration reaches %s through %s %s, which is not supported yet", t.Address, hop, value)
		}
	}
	host := strings.ToLower(conf.first("hostname", t.Address)) // as ssh: only an alias has capitals
	port := conf.first("port", "22")
	if t.Port != 0 {
		port = strconv.Itoa(t.Port)
	}
	way := route{
		target:         t,
		user:           firstOf(t.User, conf.first("user", ""), d.User),
		address:        net.JoinHostPort(host, port),
		listed:         net.JoinHostPort(host, port),
		identitiesOnly: conf.first("identitiesonly", "no") == "yes",
		agentSocket:    d.agentSocket(conf.first("identityagent", "")),
		knownHosts:     d.KnownHosts,
		hashKnownHosts: conf.first("hashknownhosts", "no") == "yes",
	}
	if alias := conf.first("hostkeyalias", ""); alias != "" {
		way.listed = net.JoinHostPort(alias, "22") // as ssh: an alias stands without its port
	}
	way.identities, way.identitiesOnly = d.identityFiles(t, conf, way.identitiesOnly)
	if way.knownHosts == nil {
		way.knownHosts = d.defaultKnownHosts(conf)
	}
	return way, nil
}

func (d *Dialer) identityFiles(t Target, conf sshConfig, only bool) ([]string, bool) {
	if t.IdentityFile != "" {
		return []string{d.expand(t.IdentityFile)}, true
	}
	files := conf["identityfile"]
	if conf == nil {
		files = defaultIdentities
	}
	var paths []string
	for _, file := range files {
		paths = append(paths, d.expand(file))
	}
	return paths, only
}

func (d *Dialer) agentSocket(configured string) string {
	switch configured {
	case "", "SSH_AUTH_SOCK":
		return d.AgentSocket
	case "none":
		return ""
	}
	return d.expand(configured)
}

func (d *Dialer) defaultKnownHosts(conf sshConfig) []string {
	if conf == nil {
		return []string{filepath.Join(d.Home, ".ssh/known_hosts"), "/etc/ssh/ssh_known_hosts"}
	}
	var files []string
	for _, key := range []string{"userknownhostsfile", "globalknownhostsfile"} {
		for _, value := range conf[key] {
			for _, file := range strings.Fields(value) {
				files = append(files, d.expand(file))
			}
		}
	}
	return files
}

// sshConfig is what "ssh -G" prints: the values of each lower-case keyword.
// It is nil where there is no ssh to ask.
type sshConfig map[string][]string

func (c sshConfig) first(key, otherwise string) string {
	if values := c[key]; len(values) > 0 && values[0] != "" {
		return values[0]
	}
	return otherwise
}

// sshConfig asks ssh what its configuration says about the target, so that
// Match, Include and tokens mean what they mean to ssh.
func (d *Dialer) sshConfig(ctx context.Context, t Target) (sshConfig, error) {
	if d.SSH == "" {
		return nil, nil
	}
	args := []string{"-G"}
	if t.User != "" {
		args = append(args, "-l", t.User)
	}
	if t.Port != 0 {
		args = append(args, "-p", strconv.Itoa(t.Port))
	}
	command := exec.CommandContext(ctx, d.SSH, append(args, "--", t.Address)...)
	var stderr bytes.Buffer
	command.Stderr = &stderr
	out, err := command.Output()
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return nil, fmt.Errorf("read ssh's configuration for %s: %w: %s", t.Address, err, lastLine(stderr.String()))
	}
	return parseSSHConfig(out), nil
}

func parseSSHConfig(out []byte) sshConfig {
	conf := sshConfig{}
	lines := bufio.NewScanner(bytes.NewReader(out))
	for lines.Scan() {
		key, value, _ := strings.Cut(lines.Text(), " ")
		conf[key] = append(conf[key], value)
	}
	return conf
}

func firstOf(values ...string) string {
	for _, value := range values {
		if value != "" {
			return value
		}
	}
	return ""
}
