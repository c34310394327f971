package remote

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"os"
	"regexp"
	"slices"
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

// ways are the hosts that lead to a target, the first to be reached first, and
// the target itself.
func (d *Dialer) ways(ctx context.Context, t Target) ([]route, error) {
	return d.waysTo(ctx, t, nil)
}

// maxHops is after how many hops a way goes round in circles.
const maxHops = 10

// waysTo adds the ways that lead to a target before those that lead on from it.
func (d *Dialer) waysTo(ctx context.Context, t Target, onward []route) ([]route, error) {
	if len(onward) > maxHops {
		return nil, fmt.Errorf("reach %s: the way there goes round in circles: %s", onward[len(onward)-1].target.Address, names(onward[:len(onward)-1]))
	}
	way, jump, err := d.route(ctx, t)
	if err != nil {
		return nil, err
	}
	way.isHop = len(onward) > 0
	ways := append([]route{way}, onward...)
	if len(jump) == 0 {
		return ways, nil
	}
	last := jump[len(jump)-1]
	if len(jump) > 1 {
		last.Jump = jump[:len(jump)-1] // as with ssh, the list leads there, whatever is said about it elsewhere
	}
	last.KnownOnly = t.KnownOnly
	if err := last.check(); err != nil {
		return nil, fmt.Errorf("reach %s through %s: %w", t.Address, last.Name, err)
	}
	return d.waysTo(ctx, last, ways)
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
		methods:        methodsOf(conf),
		silent:         conf.First("batchmode", "no") == "yes",
		knownHosts:     d.KnownHosts,
		hashKnownHosts: conf.First("hashknownhosts", "no") == "yes",
		timeout:        d.timeout(),
	}
	if alias := strings.ToLower(conf.First("hostkeyalias", "none")); alias != "none" {
		way.name, way.listed = alias, alias // as ssh: an alias stands as it is, whatever the port
	}
	if algorithms := list(conf, "hostkeyalgorithms"); len(algorithms) > 0 {
		way.hostKeyAlgorithms = algorithms
	}
	if seconds, err := strconv.Atoi(conf.First("connecttimeout", "none")); err == nil && d.Timeout == 0 && seconds > 0 {
		way.timeout = time.Duration(seconds) * time.Second
	}
	expand := d.expander(way, host, port)
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
	switch command := conf.First("proxycommand", "none"); {
	case t.Direct || len(t.Jump) > 0:
		jump = t.Jump
	case conf.First("proxyjump", "none") != "none":
		jump = jumpsOf(conf.First("proxyjump", "none"))
	case command != "none":
		way.command = d.tokens(way, host, port).Replace(command)
	}
	return way, jump, nil
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

// jumpsOf reads a ProxyJump: [user@]host[:port], or an ssh URI, separated by
// commas.
func jumpsOf(value string) []Target {
	var jump []Target
	for hop := range strings.SplitSeq(value, ",") {
		t := Target{Name: hop}
		rest := strings.TrimSuffix(strings.TrimPrefix(hop, "ssh://"), "/")
		if at := strings.LastIndexByte(rest, '@'); at >= 0 {
			t.User, rest = rest[:at], rest[at+1:]
		}
		t.Address = strings.Trim(rest, "[]")
		if host, port, err := net.SplitHostPort(rest); err == nil {
			t.Address = host
			t.Port, _ = strconv.Atoi(port) // ssh has refused what is no number
		}
		jump = append(jump, t)
	}
	return jump
}

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
	return strings.NewReplacer("%%", "%", "%d", d.Home, "%h", host, "%n", way.target.Address, "%p", port,
		"%r", way.user, "%u", d.User, "%i", strconv.Itoa(os.Getuid()), "%k", way.name)
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

// list are the values that stand behind one keyword, separated by commas; nil
// where it is not set.
func list(c sshconfig.Config, key string) []string {
	return strings.FieldsFunc(c.First(key, ""), func(r rune) bool { return r == ',' })
}

// logInMethods are the ways to log in that relayctl knows, in ssh's own order,
// and the keywords that turn them off.
var logInMethods = []struct{ name, keyword string }{
	{"publickey", "pubkeyauthentication"},
	{"keyboard-interactive", "kbdinteractiveauthentication"},
	{"password", "passwordauthentication"},
}

// methodsOf are the ways to log in, in the order to try them.
func methodsOf(c sshconfig.Config) []string {
	var methods []string
	for _, method := range logInMethods {
		if value := c.First(method.keyword, "yes"); value == "yes" {
			methods = append(methods, method.name)
		}
	}
	preferred := list(c, "preferredauthentications")
	if len(preferred) == 0 {
		return methods
	}
	return slices.DeleteFunc(preferred, func(method string) bool { return !slices.Contains(methods, method) })
}

// sshConfig is what ssh's configuration says about the target.
func (d *Dialer) sshConfig(ctx context.Context, t Target) (sshconfig.Config, error) {
	query := sshconfig.Query{Address: t.Address, User: t.User, Port: t.Port, Direct: t.Direct || len(t.Jump) > 0}
	if d.SSH == "" {
		return sshconfig.Read(d.Home, d.SSHConfig, d.User, query)
	}
	return sshconfig.Ask(ctx, d.SSH, query)
}
