package cli

import (
	"cmp"
	"strconv"
	"strings"

	"github.com/relayctl/relayctl/internal/stack"
)

// sshLine writes command lines of ssh that reach hosts as a stack file says,
// over what ~/.ssh/config has.
type sshLine struct {
	relayctl string // path of this program, which ssh asks about pinned keys
}

// to is what ssh is called with to reach a host: options, then the address.
func (l sshLine) to(h *stack.Host) []string {
	before, direct := h.SSH.Way()
	options, address := l.words(stack.Hop{Host: h}, before, direct)
	return append(options, address)
}

// words are for one host behind others. direct says that no other one leads to
// the first of them all, whatever ~/.ssh/config has.
func (l sshLine) words(hop stack.Hop, before []stack.Hop, direct bool) (options []string, address string) {
	ssh := stack.SSH{User: hop.User, Port: hop.Port, IdentityFile: hop.IdentityFile}
	if address = hop.Address; hop.Host != nil {
		ssh, address = hop.Host.SSH, hop.Host.Address
	}
	if ssh.User != "" {
		options = append(options, "-l", ssh.User)
	}
	if ssh.Port != 0 {
		options = append(options, "-p", strconv.Itoa(ssh.Port))
	}
	if ssh.IdentityFile != "" {
		options = append(options, "-o", "IdentityFile="+sshWord(strings.ReplaceAll(ssh.IdentityFile, "%", "%%")))
	}
	if ssh.IdentityFile != "" && hop.Host != nil {
		options = append(options, "-o", "IdentitiesOnly=yes")
	}
	if ssh.HostKey != "" {
		options = append(options, l.pinned(ssh.HostKey)...)
	}
	if last := len(before) - 1; last >= 0 {
		options = append(options, "-o", "ProxyCommand="+l.proxyCommand(before[last], before[:last], direct))
	} else if direct {
		options = append(options, "-o", "ProxyCommand=none") // which stands for ProxyJump as well
	}
	return options, address
}

// proxyCommand is a ProxyCommand by way of a hop. ssh expands its tokens, then
// the user's shell runs it. ssh's own ProxyJump can't do that: it takes neither
// a key nor a pin for the hop.
func (l sshLine) proxyCommand(hop stack.Hop, before []stack.Hop, direct bool) string {
	options, address := l.words(hop, before, direct)
	literally := func(word string) string { return shellWord(strings.ReplaceAll(word, "%", "%%")) }
	words := append([]string{"ssh"}, names(options, literally)...)
	return strings.Join(append(words, "-W", "'[%h]:%p'", literally(address)), " ")
}

// pinned has ssh take one host key and no other. It knows no fingerprints, but
// asks a command which keys a host may have, and tells that the key it was
// shown (since OpenSSH 8.5).
func (l sshLine) pinned(hostKey string) []string {
	command, algorithms := knownHostCommand, "-*-cert-v01@openssh.com"
	kind, fingerprint, isTyped := strings.Cut(hostKey, " ")
	if isTyped {
		algorithms = cmp.Or(map[string]string{"ssh-rsa": "rsa-sha2-512,rsa-sha2-256"}[kind], kind)
	} else {
		command, fingerprint = command+" --"+anyKeyFlag, hostKey
	}
	var options []string
	for _, option := range []string{
		"KnownHostsCommand=" + sshWord(l.relayctl) + " " + // in which ssh expands no tokens
			command + " " + fingerprint + " %I %H %f %t %K",
		"UserKnownHostsFile=none", "GlobalKnownHostsFile=none", "VerifyHostKeyDNS=no", "NoHostAuthenticationForLocalhost=no",
		"StrictHostKeyChecking=yes", "HostKeyAlgorithms=" + algorithms,
	} {
		options = append(options, "-o", option)
	}
	return options
}

// sshWord writes a word of an option so that ssh takes it for one.
func sshWord(word string) string {
	if strings.ContainsAny(word, " \t'\"\\#") {
		word = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(word) + `"`
	}
	return word
}
