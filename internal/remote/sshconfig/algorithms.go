package sshconfig

import (
	"slices"
	"strings"
)

// hostKeyAlgorithms are those that ssh takes unasked, the best first, and
// olderAlgorithms those that it takes where told to.
var (
	hostKeyAlgorithms = strings.Fields(`ssh-ed25519-cert-v01@openssh.com
		ecdsa-sha2-nistp256-cert-v01@openssh.com ecdsa-sha2-nistp384-cert-v01@openssh.com ecdsa-sha2-nistp521-cert-v01@openssh.com
		sk-ssh-ed25519-cert-v01@openssh.com sk-ecdsa-sha2-nistp256-cert-v01@openssh.com
		rsa-sha2-512-cert-v01@openssh.com rsa-sha2-256-cert-v01@openssh.com
		ssh-ed25519 ecdsa-sha2-nistp256 ecdsa-sha2-nistp384 ecdsa-sha2-nistp521
		sk-ssh-ed25519@openssh.com sk-ecdsa-sha2-nistp256@openssh.com rsa-sha2-512 rsa-sha2-256`)
	olderAlgorithms = []string{"ssh-rsa", "ssh-rsa-cert-v01@openssh.com"}
)

// algorithms is a list in full: "+", "-" and "^" before it add to ssh's own,
// take away from it, or come first in it.
func algorithms(list string) string {
	if list == "" || !strings.Contains("+-^", list[:1]) {
		return list
	}
	var named []string
	for pattern := range strings.SplitSeq(list[1:], ",") {
		for _, name := range slices.Concat(hostKeyAlgorithms, olderAlgorithms) {
			if matchesPattern(pattern, name) && !slices.Contains(named, name) {
				named = append(named, name)
			}
		}
	}
	all := map[byte][]string{
		'+': slices.Concat(hostKeyAlgorithms, without(named, hostKeyAlgorithms)),
		'-': without(hostKeyAlgorithms, named),
		'^': slices.Concat(named, without(hostKeyAlgorithms, named)),
	}
	return strings.Join(all[list[0]], ",")
}

func without(list, others []string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(name string) bool { return slices.Contains(others, name) })
}
