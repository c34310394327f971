package sshconfig

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// random makes lines of a configuration, of few enough words that they meet.
type random struct{ *rand.Rand }

func (r random) of(words ...string) string { return words[r.IntN(len(words))] }

func (r random) name() string {
	return r.of("edge", "edge.x", "a", "*", "e*", "*.x", "?dge", "!edge", "!*.x", "EDGE", "\"edge\"")
}

func (r random) criterion() string {
	not := r.of("", "", "", "!")
	switch r.IntN(6) {
	case 0:
		return not + r.of("final", "canonical", "Final")
	case 1:
		return not + r.of("user", "localuser") + " " + r.of("ops", "root", "o*", "*", "!ops,*", "ops,root")
	default:
		return not + r.of("host", "originalhost", "HOST") + r.of(" ", "=") + strings.Trim(r.name(), `!"`) + r.of("", ",a", ",!a", ",!edge.x")
	}
}

func (r random) line(includes int) string {
	switch n := r.IntN(12); {
	case n == 0:
		return "Host " + r.name() + " " + r.name() + r.of("", " # edge")
	case n == 1 && r.IntN(3) == 0:
		return "Match " + r.of("", "!") + "all"
	case n == 1 || n == 2:
		return "Match " + r.criterion() + r.of("", " "+r.criterion())
	case n == 3 && includes > 0:
		return fmt.Sprintf("Include DIR/include%d DIR/none", r.IntN(includes))
	}
	return r.of("HostName "+r.of("edge.x", "%h.x", "A", "a.%h"),
		"User"+r.of(" ", "=", " = ")+r.of("ops", "root", "\"o p s\"", "'x'y"),
		fmt.Sprintf("Port %d", 1+r.IntN(4)),
		r.of("IdentityFile ", "CertificateFile ")+r.of("~/a", "b", "\"c d\"", "none", "%d/e"),
		"ProxyJump "+r.of("none", "hop", "ops@b:2"), "ProxyCommand "+r.of("none", "nc %h \"%p\" # x"),
		"ConnectTimeout "+r.of("none", "1m", "7"), "HostKeyAlgorithms "+r.of("+ssh-rsa", "-rsa*", "ssh-ed25519"),
		"UserKnownHostsFile "+r.of("~/a", "/b /c", "none"), "IdentityAgent "+r.of("none", "SSH_AUTH_SOCK", "~/s"),
		r.of("BatchMode", "HashKnownHosts", "PubkeyAuthentication", "StrictHostKeyChecking", "VerifyHostKeyDNS")+" "+r.of("yes", "no", "true", "False"),
		r.of("KnownHostsCommand", "RevokedHostKeys", "PKCS11Provider", "HostKeyAlias", "BindAddress", "BindInterface")+" "+r.of("none", "/x"))
}

func (r random) text() string {
	var text strings.Builder
	files := r.IntN(3)
	for i := files; i >= 0; i-- {
		for range 2 + r.IntN(12) {
			text.WriteString(r.of("", " ", "\t") + r.line(i) + r.of("\n", "\r\n", " \n"))
		}
		if i > 0 {
			fmt.Fprintf(&text, "-- include%d --\n", i-1)
		}
	}
	return text.String()
}

// What is made by chance is read as ssh reads it, too.
func TestReadsAsSSHDoesByChance(t *testing.T) {
	for seed := range uint64(200) {
		r := random{rand.New(rand.NewPCG(seed, 11))}
		text := r.text()
		q := Query{Address: r.of("edge", "edge.x", "Edge", "a"), User: r.of("", "", "ops"), Port: r.IntN(2) * 9}
		compare(t, layOut(t, text), q)
		if t.Failed() {
			t.Fatalf("seed %d, %+v:\n%s", seed, q, text)
		}
	}
}
