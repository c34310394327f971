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

	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/relayctl/relayctl/internal/remote/sshconfig"
)

// route is a Target with everything filled in.
type route struct {
	target         Target
	user           string
	address        string   // host:port to dial
	listed         string   // host:port as known_hosts has it
	identities     []string // files of keys
	certificates   []string // files of certificates; none means those beside identities
	identitiesOnly bool     // no other key of the agent is offered
	agentSocket    string
	knownHosts     []string
	hashKnownHosts bool
}

// route fills in what the stack leaves open: from ssh's configuration where
// the ssh program is there, else from ssh's defaults.
func (d *Dialer) route(ctx context.Context, t Target) (route, error) {
	conf, err := d.sshConfig(ctx, t)
	if err != nil {
		return route{}, err
	}
	for _, hop := range []string{"proxyjump", "proxycommand"} {
		if value := conf.First(hop, "none"); value != "none" {
			return route{}, fmt.Errorf("ssh's configuration reaches %s through %s %s, which is not supported yet", t.Address, hop, value)
		}
	}
	host := strings.ToLower(conf.First("hostname", t.Address)) // as ssh: only an alias has capitals
	port := conf.First("port", "22")
	if t.Port != 0 {
		port = strconv.Itoa(t.Port)
	}
	way := route{
		target:         t,
		user:           cmp.Or(t.User, conf.First("user", ""), d.User),
		address:        net.JoinHostPort(host, port),
		listed:         net.JoinHostPort(host, port),
		identitiesOnly: conf.First("identitiesonly", "no") == "yes",
		knownHosts:     d.KnownHosts,
		hashKnownHosts: conf.First("hashknownhosts", "no") == "yes",
	}
	if alias := conf.First("hostkeyalias", ""); alias != "" {
		way.listed = net.JoinHostPort(alias, "22") // as ssh: an alias stands without its port
	}
	expand := d.expander(way, host, port)
	way.agentSocket = d.agentSocket(conf.First("identityagent", ""), expand)
	way.identities = files(conf.All("identityfile"), expand)
	if t.IdentityFile != "" {
		way.identities, way.identitiesOnly = []string{d.expand(t.IdentityFile)}, true
	}
	way.certificates = files(conf.All("certificatefile"), expand)
	if way.knownHosts == nil {
		way.knownHosts = files(strings.Fields(conf.First("userknownhostsfile", "")+" "+conf.First("globalknownhostsfile", "")), d.expand)
	}
	return way, nil
}

// expander expands what "ssh -G" leaves as it stands in paths: "~/", tokens and
// ${VARIABLES}.
func (d *Dialer) expander(way route, host, port string) func(string) string {
	tokens := strings.NewReplacer("%%", "%", "%d", d.Home, "%h", host, "%n", way.target.Address, "%p", port,
		"%r", way.user, "%u", d.User, "%i", strconv.Itoa(os.Getuid()), "%k", strings.TrimSuffix(knownhosts.Normalize(way.listed), ":"+port))
	return func(path string) string {
		path = variable.ReplaceAllStringFunc(tokens.Replace(path), func(name string) string {
			return os.Getenv(strings.Trim(name, "${}"))
		})
		return d.expand(path)
	}
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

// sshConfig is what ssh's configuration says about the target.
func (d *Dialer) sshConfig(ctx context.Context, t Target) (sshconfig.Config, error) {
	query := sshconfig.Query{Address: t.Address, User: t.User, Port: t.Port}
	if d.SSH == "" {
		return sshconfig.Read(d.Home, d.User, query)
	}
	return sshconfig.Ask(ctx, d.SSH, query)
}
