package remote

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/relayctl/relayctl/internal/remote/sshconfig"
)

// route is the way from one host, or from here, to the next, with everything
// filled in.
type route struct {
	target            Target
	isHop             bool // the way leads on from there
	user              string
	network           string   // "tcp", "tcp4" or "tcp6"
	address           string   // host:port to dial
	bind              string   // the address to dial from; "": any
	command           string   // that makes the connection instead; "": none does
	name              string   // the host's for its key, without a port: what it dials, or ssh's HostKeyAlias
	listed            string   // the same as known_hosts has it, with its port
	identities        []string // files of keys
	certificates      []string // files of certificates; none means those beside identities
	identitiesOnly    bool     // no other key of the agent is offered
	agentSocket       string
	methods           []string // to log in by, in the order to try them
	silent            bool     // the operator is not to be asked
	hostKeyAlgorithms []string // that may be asked for, the best first; nil: whatever relayctl knows
	knownHosts        []string
	newHostKeys       string // which of them new keys go to; "": none
	hashKnownHosts    bool
	timeout           time.Duration // of a connection attempt
}

// key tells a way from every other one, by whatever name it is called.
func (way route) key() string {
	way.target = Target{HostKey: way.target.HostKey}
	return fmt.Sprintf("%+v\n", way)
}

// route fills in what the stack leaves open as ssh's configuration has it, which
// knows ssh's defaults, too. jump are the hosts to go through.
func (d *Dialer) route(ctx context.Context, t Target) (way route, jump []Target, err error) {
	conf, err := d.sshConfig(ctx, t)
	if err != nil {
		return route{}, nil, err
	}
	d.notFollowed(conf)
	host := conf.First("hostname", t.Address)
	port := conf.First("port", "22")
	if t.Port != 0 {
		port = strconv.Itoa(t.Port)
	}
	way = route{
		target:         t,
		user:           cmp.Or(t.User, conf.First("user", ""), d.User),
		network:        networks[conf.First("addressfamily", "any")],
		address:        net.JoinHostPort(host, port),
		bind:           strings.TrimPrefix(conf.First("bindaddress", ""), "none"),
		name:           host,
		listed:         listedName(host, port),
		identitiesOnly: conf.First("identitiesonly", "no") == "yes",
		methods:        conf.Methods(),
		silent:         conf.First("batchmode", "no") == "yes",
		knownHosts:     d.KnownHosts,
		hashKnownHosts: conf.First("hashknownhosts", "no") == "yes",
		timeout:        d.timeout(),
	}
	if alias := strings.ToLower(conf.First("hostkeyalias", "none")); alias != "none" {
		way.name, way.listed = alias, alias // as ssh: an alias stands as it is, whatever the port
	}
	if algorithms := conf.List("hostkeyalgorithms"); len(algorithms) > 0 {
		way.hostKeyAlgorithms = algorithms
	}
	if seconds, err := strconv.Atoi(conf.First("connecttimeout", "none")); err == nil && d.Timeout == 0 && seconds > 0 {
		way.timeout = time.Duration(seconds) * time.Second
	}
	way.keys(d, conf, d.expander(way, host, port))
	if t.Direct || len(t.Jump) > 0 {
		return way, t.Jump, nil
	}
	jump = jumpsOf(conf)
	if command := conf.First("proxycommand", "none"); command != "none" && jump == nil {
		way.command = d.tokens(way, host, port).Replace(command)
	}
	return way, jump, nil
}

// keys fills in which keys to log in with, and by which files a host's key is
// known.
func (way *route) keys(d *Dialer, conf sshconfig.Config, expand func(string) string) {
	t := way.target
	way.agentSocket = d.agentSocket(conf.First("identityagent", ""), expand)
	way.identities = files(conf.All("identityfile"), expand)
	switch {
	case t.IdentityFile != "" && t.BesidesOthers:
		way.identities = append([]string{d.expand(t.IdentityFile)}, way.identities...)
	case t.IdentityFile != "":
		way.identities, way.identitiesOnly = []string{d.expand(t.IdentityFile)}, true
	}
	way.certificates = files(conf.All("certificatefile"), expand)
	way.newHostKeys = first(way.knownHosts)
	if way.knownHosts == nil {
		way.knownHosts = files(strings.Fields(conf.First("userknownhostsfile", "")), expand)
		way.newHostKeys = first(way.knownHosts) // never to those of all users
		way.knownHosts = append(way.knownHosts, files(strings.Fields(conf.First("globalknownhostsfile", "")), expand)...)
	}
}

// notFollowed tells what is set in vain, once each.
func (d *Dialer) notFollowed(conf sshconfig.Config) {
	for _, setting := range conf.NotFollowed() {
		if _, told := d.told.LoadOrStore(setting, true); !told && d.OnNotFollowed != nil {
			d.OnNotFollowed(setting)
		}
	}
}

// networks are what AddressFamily calls them.
var networks = map[string]string{"any": "tcp", "inet": "tcp4", "inet6": "tcp6"}

// expander expands what "ssh -G" leaves as it stands in paths: "~/", tokens and
// ${VARIABLES}.
func (d *Dialer) expander(way route, host, port string) func(string) string {
	tokens := d.tokens(way, host, port)
	return func(path string) string {
		path = variable.ReplaceAllStringFunc(tokens.Replace(path), func(name string) string {
			return os.Getenv(strings.Trim(name, "${}"))
		})
		return d.expand(path)
	}
}

// tokens expands what ssh's configuration may say of a way (ssh_config, TOKENS).
func (d *Dialer) tokens(way route, host, port string) *strings.Replacer {
	k := way.target.Address
	if way.name != host { // ssh's HostKeyAlias
		k = way.name
	}
	return strings.NewReplacer("%%", "%", "%d", d.Home, "%h", host, "%n", way.target.Address, "%p", port,
		"%r", way.user, "%u", d.User, "%i", strconv.Itoa(os.Getuid()), "%k", k)
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

// sshConfig is what ssh's configuration says about the target.
func (d *Dialer) sshConfig(ctx context.Context, t Target) (sshconfig.Config, error) {
	query := sshconfig.Query{Address: t.Address, User: t.User, Port: t.Port, Direct: t.Direct || len(t.Jump) > 0}
	if d.SSH == "" {
		return sshconfig.Read(d.Home, d.SSHConfig, d.User, query)
	}
	ctx, cancel := context.WithTimeout(ctx, d.timeout())
	defer cancel()
	return sshconfig.Ask(ctx, d.SSH, query)
}
