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
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/ssh/knownhosts"
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
	listed            string   // host:port as known_hosts has it
	identities        []string // files of keys
	certificates      []string // files of certificates; none means those beside identities
	identitiesOnly    bool     // no other key of the agent is offered
	agentSocket       string
	methods           []string // to log in by, in the order to try them
	silent            bool     // the operator is not to be asked
	hostKeyAlgorithms []string
	knownHosts        []string
	hashKnownHosts    bool
	timeout           time.Duration // of a connection attempt
}

// key tells a way from every other one.
func (way route) key() string { return fmt.Sprintf("%+v\n", way) }

// sshIdentities are the names of the files below ~/.ssh that ssh looks for
// unasked, in its order.
var sshIdentities = []string{"id_rsa", "id_ecdsa", "id_ecdsa_sk", "id_ed25519", "id_ed25519_sk", "id_xmss", "id_dsa"}

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

// route fills in what the stack leaves open: from ssh's configuration where
// the ssh program is there, else from ssh's defaults. jump are the hosts to go
// through.
func (d *Dialer) route(ctx context.Context, t Target) (way route, jump []Target, err error) {
	conf, err := d.sshConfig(ctx, t)
	if err != nil {
		return route{}, nil, err
	}
	host := strings.ToLower(conf.first("hostname", t.Address)) // as ssh: only an alias has capitals
	port := conf.first("port", "22")
	if t.Port != 0 {
		port = strconv.Itoa(t.Port)
	}
	way = route{
		target:            t,
		user:              cmp.Or(t.User, conf.first("user", ""), d.User),
		network:           networks[conf.first("addressfamily", "any")],
		address:           net.JoinHostPort(host, port),
		bind:              conf.first("bindaddress", ""),
		listed:            net.JoinHostPort(host, port),
		identitiesOnly:    conf.first("identitiesonly", "no") == "yes",
		methods:           conf.methods(),
		silent:            conf.first("batchmode", "no") == "yes",
		hostKeyAlgorithms: conf.list("hostkeyalgorithms"),
		knownHosts:        d.KnownHosts,
		hashKnownHosts:    conf.first("hashknownhosts", "no") == "yes",
		timeout:           d.timeout(),
	}
	if alias := conf.first("hostkeyalias", ""); alias != "" {
		way.listed = net.JoinHostPort(alias, "22") // as ssh: an alias stands without its port
	}
	if seconds, err := strconv.Atoi(conf.first("connecttimeout", "none")); err == nil && d.Timeout == 0 && seconds > 0 {
		way.timeout = time.Duration(seconds) * time.Second
	}
	expand := d.expander(way, host, port)
	way.agentSocket = d.agentSocket(conf.first("identityagent", ""), expand)
	way.identities = files(conf["identityfile"], expand)
	switch {
	case t.IdentityFile != "" && t.BesidesOthers:
		way.identities = append([]string{d.expand(t.IdentityFile)}, way.identities...)
	case t.IdentityFile != "":
		way.identities, way.identitiesOnly = []string{d.expand(t.IdentityFile)}, true
	}
	way.certificates = files(conf["certificatefile"], expand)
	if way.knownHosts == nil {
		way.knownHosts = files(strings.Fields(conf.first("userknownhostsfile", "")+" "+conf.first("globalknownhostsfile", "")), d.expand)
	}
	switch command := conf.first("proxycommand", "none"); {
	case t.Direct || len(t.Jump) > 0:
		jump = t.Jump
	case conf.first("proxyjump", "none") != "none":
		jump = jumpsOf(conf.first("proxyjump", "none"))
	case command != "none":
		way.command = d.tokens(way, host, port).Replace(command)
	}
	return way, jump, nil
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
		"%r", way.user, "%u", d.User, "%i", strconv.Itoa(os.Getuid()), "%k", strings.TrimSuffix(knownhosts.Normalize(way.listed), ":"+port))
}

var variable = regexp.MustCompile(`\$\{[A-Za-z_][A-Za-z0-9_]*\}`)

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

// list are the values that stand behind one keyword, separated by commas; nil
// where it is not set.
func (c sshConfig) list(key string) []string {
	return strings.FieldsFunc(c.first(key, ""), func(r rune) bool { return r == ',' })
}

// logInMethods are the ways to log in that relayctl knows, in ssh's own order,
// and the keywords that turn them off.
var logInMethods = []struct{ name, keyword string }{
	{"publickey", "pubkeyauthentication"},
	{"keyboard-interactive", "kbdinteractiveauthentication"},
	{"password", "passwordauthentication"},
}

// methods are the ways to log in, in the order to try them.
func (c sshConfig) methods() []string {
	var methods []string
	for _, method := range logInMethods {
		if value := c.first(method.keyword, "yes"); value != "no" && value != "false" {
			methods = append(methods, method.name)
		}
	}
	preferred := c.list("preferredauthentications")
	if len(preferred) == 0 {
		return methods
	}
	return slices.DeleteFunc(preferred, func(method string) bool { return !slices.Contains(methods, method) })
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
	command.Env = childEnvironment()
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
