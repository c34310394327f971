package sshconfig

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A reading makes the value of what stands behind a keyword.
type reading func(rest string) (string, error)

// readings has the keywords that Read reads. It passes over all others: they
// are not about which host is reached, and how.
var readings = map[string]reading{
	"hostname": word, "user": word, "port": port, "hostkeyalias": word,
	"identityfile": word, "certificatefile": word, "identityagent": word,
	"userknownhostsfile": words, "globalknownhostsfile": words,
	"hostkeyalgorithms": word, "preferredauthentications": word,
	"connecttimeout": seconds, "bindaddress": word,
	"proxyjump": hops, "proxycommand": line,

	"knownhostscommand": line, "revokedhostkeys": word, "pkcs11provider": word,
	"bindinterface": word, "refuseconnection": line,
}

// switches has what a keyword may be apart from yes and no; nil for no switch.
var switches = map[string][]string{
	"identitiesonly": {}, "hashknownhosts": {}, "batchmode": {},
	"passwordauthentication": {}, "kbdinteractiveauthentication": {},
	"pubkeyauthentication": {"unbound", "host-bound"},
	"addressfamily":        {"any", "inet", "inet6"},

	"stricthostkeychecking": {"ask", "off", "accept-new"}, "verifyhostkeydns": {"ask"},
	"hostbasedauthentication": {}, "nohostauthenticationforlocalhost": {},
	"proxyusefdpass": {}, "canonicalizehostname": {"always"},
}

// formerly has the names that keywords had, which ssh still takes.
var formerly = map[string]string{
	"challengeresponseauthentication": "kbdinteractiveauthentication",
	"skeyauthentication":              "kbdinteractiveauthentication",
	"tisauthentication":               "kbdinteractiveauthentication",
	"dsaauthentication":               "pubkeyauthentication",
	"identityfile2":                   "identityfile",
}

// Identities are the names of the files below ~/.ssh that ssh looks for
// unasked, in its order.
var Identities = []string{"id_rsa", "id_ecdsa", "id_ecdsa_sk", "id_ed25519", "id_ed25519_sk", "id_xmss", "id_dsa"}

// defaults are ssh's own, but for the user's name and the identities.
var defaults = map[string]string{
	"port": "22", "addressfamily": "any", "connecttimeout": "none", "batchmode": "no",
	"identitiesonly": "no", "hashknownhosts": "no",
	"pubkeyauthentication": "yes", "passwordauthentication": "yes", "kbdinteractiveauthentication": "yes",
	"userknownhostsfile":   "~/.ssh/known_hosts ~/.ssh/known_hosts2",
	"globalknownhostsfile": "/etc/ssh/ssh_known_hosts /etc/ssh/ssh_known_hosts2",
}

// read makes the value of what stands behind a keyword, or tells that Read does
// not read it.
func read(keyword, rest string) (value string, known bool, err error) {
	if rest == "" {
		return "", true, fmt.Errorf("nothing stands behind %s", keyword)
	}
	if others := switches[keyword]; others != nil {
		value, err = toggle(rest, others)
		return value, true, err
	}
	reading, known := readings[keyword]
	if !known {
		return "", false, nil
	}
	value, err = reading(rest)
	return value, true, err
}

func line(rest string) (string, error) { return rest, nil }

func words(rest string) (string, error) {
	args, err := split(rest)
	return strings.Join(args, " "), err
}

func word(rest string) (string, error) {
	args, err := split(rest)
	switch {
	case err != nil:
		return "", err
	case len(args) == 0 || args[0] == "":
		return "", fmt.Errorf("there is no value")
	case len(args) > 1:
		return "", fmt.Errorf("%q is too much: a value with spaces stands in quotes", args[1])
	}
	return args[0], nil
}

// hops are hosts to go through, separated by commas; only their ports are
// looked at here.
func hops(rest string) (string, error) {
	value, err := word(rest)
	for hop := range strings.SplitSeq(value, ",") {
		_, _, number, hasPort := splitHop(hop)
		switch {
		case err != nil:
		case hop == "":
			err = fmt.Errorf("%q has a hop without a host", value)
		case hasPort:
			_, err = port(number)
		}
	}
	return value, err
}

func port(rest string) (string, error) {
	value, err := word(rest)
	if err != nil {
		return "", err
	}
	number, err := strconv.ParseUint(value, 10, 16)
	if err != nil || number == 0 {
		return "", fmt.Errorf("%q is no port", value)
	}
	return strconv.FormatUint(number, 10), nil
}

func toggle(rest string, others []string) (string, error) {
	value, err := word(rest)
	value = strings.ToLower(value)
	if err != nil || slices.Contains(others, value) || slices.Contains([]string{"yes", "no", "true", "false"}, value) {
		return onOff(value), err
	}
	return "", fmt.Errorf("%q is neither yes nor no", value)
}

// onOff has one word for each of what ssh has two or three for.
func onOff(value string) string {
	switch value {
	case "true":
		return "yes"
	case "false", "off":
		return "no"
	}
	return value
}

var (
	duration = regexp.MustCompile(`^(\d{1,9}[smhdw])*(\d{1,9})?$`)
	span     = regexp.MustCompile(`(\d+)([smhdw]?)`)
)

func seconds(rest string) (string, error) {
	value, err := word(rest)
	value = strings.ToLower(value)
	if err != nil || value == "none" {
		return value, err
	}
	if !duration.MatchString(value) {
		return "", fmt.Errorf("%q is no time, such as 30 or 1m30s", value)
	}
	total := 0
	unit := map[string]int{"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
	for _, part := range span.FindAllStringSubmatch(value, -1) {
		number, _ := strconv.Atoi(part[1]) // nine digits at most
		total += number * unit[part[2]]
	}
	return strconv.Itoa(total), nil
}

// complete brings what was read into the form that "ssh -G" prints.
func (c Config) complete() {
	for _, keyword := range []string{"proxyjump", "proxycommand", "knownhostscommand", "revokedhostkeys", "pkcs11provider"} {
		if strings.EqualFold(c.First(keyword, ""), "none") {
			delete(c.values, keyword)
		}
	}
	for keyword, value := range maps.All(defaults) {
		if c.values[keyword] == nil {
			c.values[keyword] = []string{value}
		}
	}
	list := c.First("hostkeyalgorithms", strings.Join(hostKeyAlgorithms, ","))
	c.values["hostkeyalgorithms"] = []string{algorithms(list)}
	if c.values["identityfile"] == nil {
		for _, name := range Identities {
			c.values["identityfile"] = append(c.values["identityfile"], "~/.ssh/"+name)
		}
	}
}
