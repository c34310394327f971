package remote

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
)

// maxTold bounds how many lines of known_hosts are told of.
const maxTold = 5

func (c *hostKeyCheck) fail(kind Kind, why, next string) error {
	return &Error{Kind: kind, What: fmt.Sprintf("verify host key of %s: %s", c.way.listed, why), Next: next}
}

// describeKey is a key as host_key takes it.
func describeKey(key ssh.PublicKey) string { return key.Type() + " " + ssh.FingerprintSHA256(key) }

// notPinned tells of the keys that the host showed in place of the pinned one;
// has are the algorithms that it can do, where it has no key but those.
func (c *hostKeyCheck) notPinned(has ...string) error {
	why := "it has no key of that type, only for " + strings.Join(has, ", ")
	if len(c.shown) > 0 {
		var shown []string
		for _, key := range c.shown {
			shown = append(shown, describeKey(key))
		}
		why = "it shows " + strings.Join(shown, ", ")
	}
	return c.fail(HostKeyPinned, fmt.Sprintf("pinned is %s, %s", c.way.target.HostKey, why),
		"If the host was set up anew, change host_key in its ssh block.\nIf it was not, "+another+".")
}

// another is what else a key may mean that is not the known one.
const another = "another machine answers at its address, or somebody stands in between, who could read and change all that is sent"

// changed tells of another key than those that are listed: in the error the
// listed ones of the same type, if there are any, and all lines in the advice,
// since ssh-keygen takes all of them away.
func (c *hostKeyCheck) changed(key ssh.PublicKey, listed []knownHost, skipped []string) error {
	same := slices.DeleteFunc(slices.Clone(listed), func(known knownHost) bool { return known.key.Type() != key.Type() })
	if len(same) == 0 {
		same = listed
	}
	var keys, lines, commands []string
	for _, known := range same[:min(len(same), maxTold)] {
		keys = append(keys, fmt.Sprintf("%s (%s:%d)", describeKey(known.key), known.file, known.line))
	}
	for _, known := range listed {
		lines = append(lines, fmt.Sprintf("%s:%d  %s%s", known.file, known.line, describeKey(known.key), known.others(c.way.listed)))
		if command := fmt.Sprintf("  ssh-keygen -f %s -R %s\n", shellWord(known.file), shellWord(c.way.listed)); !slices.Contains(commands, command) {
			commands = append(commands, command)
		}
	}
	return c.fail(HostKeyChanged, fmt.Sprintf("listed is %s, it shows %s", strings.Join(keys, ", "), describeKey(key)),
		tell("listed", lines)+tell("skipped", skipped)+
			fmt.Sprintf("Either the host was set up anew, or %s.\n%s\nIf that is %s, forget the listed lines:\n%s", another, lookUp(key), ssh.FingerprintSHA256(key), strings.Join(commands, ""))+
			c.trust("Then ", key))
}

// others tells, of a line for more than the one name, what it is for.
func (h knownHost) others(name string) string {
	if strings.HasPrefix(h.names, "|") || strings.EqualFold(h.names, name) {
		return ""
	}
	return ", for " + shorten(h.names)
}

// shorten cuts names that fill a screen.
func shorten(names string) string {
	const most = 100
	if len(names) > most {
		return strings.ToValidUTF8(names[:most], "") + "…"
	}
	return names
}

func (c *hostKeyCheck) revoked(key ssh.PublicKey, at *knownHost) error {
	what := describeKey(key)
	if !at.has(key) {
		what = "the authority of its certificate, " + describeKey(at.key) + ","
	}
	return c.fail(HostKeyRevoked, fmt.Sprintf("%s is marked %s at %s:%d", what, markerRevoked, at.file, at.line),
		"Whoever wrote that line holds the key to be stolen or out of use: who has it can pass for the host.\n"+
			"Give the host another one. If the line is wrong, take it out of the file: ssh-keygen -R leaves it.")
}

func (c *hostKeyCheck) unknown(key ssh.PublicKey, skipped []string) error {
	var elsewhere, authorities []string
	for _, known := range sameKeyElsewhere(c.way.knownHosts, key) {
		names := shorten(known.names)
		if strings.HasPrefix(names, "|") {
			names = "a name that is hashed"
		}
		elsewhere = append(elsewhere, fmt.Sprintf("%s:%d  the same key, for %s", known.file, known.line, names))
	}
	for _, known := range c.known.listed(markerAuthority) {
		authorities = append(authorities, fmt.Sprintf("%s:%d  %s %s, which has not certified this key", known.file, known.line, markerAuthority, describeKey(known.key)))
	}
	return c.fail(HostKeyUnknown, describeKey(key)+" is not known",
		tell("listed", elsewhere)+tell("listed", authorities)+tell("skipped", skipped)+
			fmt.Sprintf("%s\n%s", lookUp(key), c.trust(fmt.Sprintf("If that is %s, ", ssh.FingerprintSHA256(key)), key)))
}

// tell tells of a few lines, each under a word.
func tell(word string, lines []string) string {
	var b strings.Builder
	for _, line := range lines[:min(len(lines), maxTold)] {
		fmt.Fprintf(&b, "%-7s  %s\n", word, line)
	}
	return b.String()
}

// lookUp is how to know which key the host really has.
func lookUp(key ssh.PublicKey) string {
	kind := "ed25519" // as in /etc/ssh/ssh_host_*_key
	for _, other := range []string{"ecdsa", "rsa"} {
		if strings.Contains(key.Type(), other) {
			kind = other
		}
	}
	return fmt.Sprintf("On the host, ssh-keygen -lf /etc/ssh/ssh_host_%s_key.pub prints its fingerprint.", kind)
}

// trust is how to have a key known from now on.
func (c *hostKeyCheck) trust(begin string, key ssh.PublicKey) string {
	advice := fmt.Sprintf("%sput host_key = %q into the host's ssh block", begin, describeKey(key))
	if c.way.newHostKeys != "" && !c.way.target.KnownOnly {
		advice += fmt.Sprintf(", or have it written to %s: relayctl plan --accept-new-host-keys", c.way.newHostKeys)
	}
	return advice
}

// notListed is why a new key was not taken.
func (c *hostKeyCheck) notListed(key ssh.PublicKey, err error) error {
	why := fmt.Sprintf("list host key of %s in %s: %v", c.way.listed, c.way.newHostKeys, err)
	var at *fs.PathError
	if errors.As(err, &at) && at.Path == c.way.newHostKeys { // named already
		why = fmt.Sprintf("list host key of %s in %s: %v", c.way.listed, at.Path, at.Err)
	}
	if c.way.newHostKeys == "" {
		why = fmt.Sprintf("list host key of %s: %v", c.way.listed, err)
	}
	return &Error{
		Kind: HostKeyUnknown, What: why, Err: err,
		Next: fmt.Sprintf("A key that can't be written down is not trusted. Have ssh's configuration name another file (UserKnownHostsFile),\n"+
			"or, if the key is the host's, put host_key = %q into its ssh block.", describeKey(key)),
	}
}

// noAlgorithm tells that nothing is left to ask the host for.
func (c *hostKeyCheck) noAlgorithm() error {
	why := "relayctl knows none of the algorithms that HostKeyAlgorithms of ssh's configuration has"
	if kind, _ := c.way.target.pin(); kind != "" {
		why = fmt.Sprintf("the pinned key is of type %s, which relayctl does not know, or HostKeyAlgorithms of ssh's configuration does not have", kind)
	}
	return c.fail(HostKeyType, why, "relayctl knows "+strings.Join(preferredHostKeys, ", ")+
		", and certificates of those where known_hosts lists an authority.")
}

// notAllowed tells that the host has keys, and none that ssh's configuration
// lets it show.
func (c *hostKeyCheck) notAllowed(has []string) error {
	return c.fail(HostKeyType, fmt.Sprintf("it has keys for %s, and was asked for %s", strings.Join(has, ", "), strings.Join(c.algorithms(), ", ")),
		"HostKeyAlgorithms of ssh's configuration sets what is asked for: ssh -G prints it. Is the host's SSH server very old?")
}

// shellWord quotes a word for a shell.
func shellWord(word string) string { return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'" }
