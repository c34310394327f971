package machine

import (
	"encoding/base64"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/relayctl/relayctl/internal/secret"
)

// A machine may reach the world through a web proxy alone, which has nothing to
// do with the stack's own proxy. Nothing of a login's environment reaches what
// relay-host runs; what downloads is told of the web proxy again, from the file
// that logins take it from, pam_env's. Where else a login may have one from
// (profile.d, pam_env.conf, sshd or systemd) is not looked at.

// EnvironmentFile is where a machine keeps variables for all its logins.
const EnvironmentFile = "/etc/environment"

// webProxyNames are the variables that lead to a web proxy, or past it. Each is
// known in upper case, too.
var webProxyNames = []string{"http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "no_proxy"}

// WebProxy is what programs that download are told. A password may be in it.
type WebProxy struct {
	Env []string // NAME=VALUE
}

// WebProxy reads the machine's web proxy. A file that can't be read counts as
// none: logins go without it, too.
func (m *Machine) WebProxy() WebProxy {
	text, err := ReadLinked(m.Path(EnvironmentFile), MaxFile)
	if err != nil {
		return WebProxy{}
	}
	values := parseEnvironment(string(text))
	var proxy WebProxy
	for _, name := range webProxyNames {
		for _, name := range []string{name, strings.ToUpper(name)} {
			if value, isSet := values[name]; isSet {
				proxy.Env = append(proxy.Env, name+"="+value)
			}
		}
	}
	return proxy
}

// parseEnvironment reads environment(5) as pam_env(8) does, which is no shell:
// it expands nothing, takes quotes off both ends only, and passes over what
// makes no sense.
func parseEnvironment(text string) map[string]string {
	values := map[string]string{}
	for _, line := range environmentLines(text) {
		line = strings.TrimPrefix(line, "export ")
		name, value, isSet := strings.Cut(line, "=")
		if name == "" || strings.ContainsFunc(name, isNoNameByte) {
			continue
		}
		if !isSet {
			delete(values, name)
			continue
		}
		values[name] = unquoteEnvironment(value)
	}
	return values
}

func isNoNameByte(r rune) bool {
	return r != '_' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
}

// environmentLines joins the lines that a backslash continues, and leaves out
// comments: all that follows a #, be it in quotes.
func environmentLines(text string) []string {
	var lines []string
	joined := ""
	for line := range strings.Lines(text) {
		line = strings.TrimLeft(strings.TrimSuffix(line, "\n"), " \t")
		line, _, _ = strings.Cut(line, "\x00") // where C's strings end
		line, _, hasComment := strings.Cut(line, "#")
		rest, goesOn := strings.CutSuffix(strings.TrimRight(line, " \t"), `\`)
		if goesOn && !hasComment {
			joined += rest
			continue
		}
		lines = append(lines, joined+line)
		joined = ""
	}
	return lines // the last one, if it was to go on, is none
}

// unquoteEnvironment takes a quote off the front, and off the end where there
// is one, be it the other kind.
func unquoteEnvironment(value string) string {
	if value == "" || !isQuote(value[0]) {
		return value
	}
	value = value[1:]
	if value != "" && isQuote(value[len(value)-1]) {
		value = value[:len(value)-1]
	}
	return value
}

func isQuote(c byte) bool { return c == '"' || c == '\'' }

// Names lists the variables that are set.
func (p WebProxy) Names() []string {
	var names []string
	for _, one := range p.Env {
		name, _, _ := strings.Cut(one, "=")
		names = append(names, name)
	}
	return names
}

// LeadsApt reports whether apt heeds any of the variables: it knows two of them,
// and no upper case.
func (p WebProxy) LeadsApt() bool {
	return slices.ContainsFunc(p.Env, func(one string) bool {
		name, value, _ := strings.Cut(one, "=")
		return value != "" && (name == "http_proxy" || name == "https_proxy")
	})
}

// login is the part of a URL that may hold a password.
var login = regexp.MustCompile(`://[^\s/@]*@`)

// mask takes passwords out of what a program said: those of the web proxy in
// every form that they may take, and those in front of an @ in any URL.
func (p WebProxy) mask(text string) string {
	for _, hidden := range p.hidden() {
		mask := secret.Mask
		if strings.HasSuffix(hidden, "@") {
			mask += "@"
		}
		text = strings.ReplaceAll(text, hidden, mask)
	}
	return login.ReplaceAllString(text, "://"+secret.Mask+"@")
}

func (p WebProxy) maskAll(lines []string) []string {
	var masked []string
	for _, line := range lines {
		masked = append(masked, p.mask(line))
	}
	return masked
}

// shortestHidden is how long a password has to be, in bytes, to be looked for
// by itself: shorter ones are parts of common words.
const shortestHidden = 4

// hidden lists the forms of the web proxy's logins and passwords, long ones
// first.
func (p WebProxy) hidden() []string {
	var list []string
	for _, one := range p.Env {
		_, value, _ := strings.Cut(one, "=")
		at := strings.LastIndexByte(value, '@')
		if at < 0 {
			continue
		}
		user := value[:at]
		if _, rest, isURL := strings.Cut(user, "://"); isURL {
			user = rest
		}
		forms := []string{user}
		if plain, err := url.PathUnescape(user); err == nil {
			forms = append(forms, plain)
		}
		for _, form := range forms {
			list = append(list, form+"@", base64.StdEncoding.EncodeToString([]byte(form)))
			if _, password, _ := strings.Cut(form, ":"); len(password) >= shortestHidden {
				list = append(list, password)
			}
		}
	}
	slices.SortFunc(list, func(a, b string) int { return len(b) - len(a) })
	return slices.Compact(list)
}
