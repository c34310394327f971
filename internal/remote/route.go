package remote

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// route is a Target with everything filled in.
type route struct {
	target         Target
	user           string
	address        string   // host:port to dial
	name           string   // the host's for its key, without a port: what it dials, or ssh's HostKeyAlias
	listed         string   // the same as known_hosts has it, with its port
	identities     []string // files of keys
	certificates   []string // files of certificates; none means those beside identities
	identitiesOnly bool     // no other key of the agent is offered
	agentSocket    string
	knownHosts     []string
	newHostKeys    string // which of them new keys go to; "": none
	hashKnownHosts bool

	hostKeyAlgorithms []string // that may be asked for, the best first; nil: whatever relayctl knows
}

// sshIdentities are the names of the files below ~/.ssh that ssh looks for
// unasked, in its order.
var sshIdentities = []string{"id_rsa", "id_ecdsa", "id_ecdsa_sk", "id_ed25519", "id_ed25519_sk", "id_xmss", "id_dsa"}

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
		user:           cmp.Or(t.User, conf.first("user", ""), d.User),
		address:        net.JoinHostPort(host, port),
		name:           host,
		listed:         listedName(host, port),
		identitiesOnly: conf.first("identitiesonly", "no") == "yes",
		knownHosts:     d.KnownHosts,
		hashKnownHosts: conf.first("hashknownhosts", "no") == "yes",
	}
	if alias := strings.ToLower(conf.first("hostkeyalias", "")); alias != "" {
		way.name, way.listed = alias, alias // as ssh: an alias stands as it is, whatever the port
	}
	if algorithms := conf.first("hostkeyalgorithms", ""); algorithms != "" {
		way.hostKeyAlgorithms = strings.Split(algorithms, ",")
	}
	expand := d.expander(way, host, port)
	way.agentSocket = d.agentSocket(conf.first("identityagent", ""), expand)
	way.identities = files(conf["identityfile"], expand)
	if t.IdentityFile != "" {
		way.identities, way.identitiesOnly = []string{d.expand(t.IdentityFile)}, true
	}
	way.certificates = files(conf["certificatefile"], expand)
	way.newHostKeys = first(way.knownHosts)
	if way.knownHosts == nil {
		way.knownHosts = files(strings.Fields(conf.first("userknownhostsfile", "")), d.expand)
		way.newHostKeys = first(way.knownHosts) // never to those of all users
		way.knownHosts = append(way.knownHosts, files(strings.Fields(conf.first("globalknownhostsfile", "")), d.expand)...)
	}
	return way, nil
}

// expander expands what "ssh -G" leaves as it stands in paths: "~/", tokens and
// ${VARIABLES}.
func (d *Dialer) expander(way route, host, port string) func(string) string {
	tokens := strings.NewReplacer("%%", "%", "%d", d.Home, "%h", host, "%n", way.target.Address, "%p", port,
		"%r", way.user, "%u", d.User, "%i", strconv.Itoa(os.Getuid()), "%k", way.name)
	return func(path string) string {
		path = variable.ReplaceAllStringFunc(tokens.Replace(path), func(name string) string {
			return os.Getenv(strings.Trim(name, "${}"))
		})
		return d.expand(path)
	}
}

var variable = regexp.MustCompile(`\$\{[A-Za-z_][A-Za-z0-9_]*\}`)

func first(paths []string) string {
	if len(paths) == 0 {
		return ""
	}
	return paths[0]
}

// files expands the values of a keyword that names files; "none" is no file.
func files(values []string, expand func(string) string) []string {
	var paths []string
	for _, value := range values {
		if !strings.EqualFold(value, "none") {
			paths = append(paths, expand(value))
		}
	}
	return paths
}

func (d *Dialer) agentSocket(configured string, expand func(string) string) string {
	switch configured {
	case "", "SSH_AUTH_SOCK":
		return d.AgentSocket
	case "none":
		return ""
	}
	if name, ok := strings.CutPrefix(configured, "$"); ok && !strings.HasPrefix(name, "{") {
		return os.Getenv(name)
	}
	return expand(configured)
}

// sshConfig is what "ssh -G" prints: the values of each lower-case keyword.
type sshConfig map[string][]string

// withoutSSH is ssh's configuration where there is no ssh to ask.
func withoutSSH() sshConfig {
	conf := sshConfig{
		"userknownhostsfile":   {"~/.ssh/known_hosts ~/.ssh/known_hosts2"},
		"globalknownhostsfile": {"/etc/ssh/ssh_known_hosts /etc/ssh/ssh_known_hosts2"},
	}
	for _, name := range sshIdentities {
		conf["identityfile"] = append(conf["identityfile"], "~/.ssh/"+name)
	}
	return conf
}

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
		return withoutSSH(), nil
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
	command.WaitDelay = time.Second // for what a Match exec leaves running
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
	for line := range strings.Lines(string(out)) {
		key, value, _ := strings.Cut(strings.TrimRight(line, "\r\n"), " ")
		conf[key] = append(conf[key], value)
	}
	return conf
}
