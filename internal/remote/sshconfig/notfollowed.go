package sshconfig

import "slices"

// notFollowed are the keywords that may change which host is reached, or
// whether, and that relayctl does not go by.
var notFollowed = []struct {
	keyword, name string
	harmless      []string // values that change nothing for relayctl
	bare          bool     // the value is a command, which may hold a secret
}{
	{"stricthostkeychecking", "StrictHostKeyChecking", []string{"ask", "yes"}, false}, // relayctl is strict whatever it says
	{"nohostauthenticationforlocalhost", "NoHostAuthenticationForLocalhost", []string{"no"}, false},
	{"verifyhostkeydns", "VerifyHostKeyDNS", []string{"no"}, false},
	{"knownhostscommand", "KnownHostsCommand", nil, true},
	{"revokedhostkeys", "RevokedHostKeys", nil, false},
	{"hostbasedauthentication", "HostbasedAuthentication", []string{"no"}, false},
	{"pkcs11provider", "PKCS11Provider", nil, false},
	{"proxyusefdpass", "ProxyUseFdpass", []string{"no"}, false},
	{"bindinterface", "BindInterface", []string{"none"}, false},
	{"refuseconnection", "RefuseConnection", nil, false},
}

// NotFollowed names what is set there for the host, may change which host is
// reached, or whether, and relayctl does not go by. Each is a phrase for
// people, such as "StrictHostKeyChecking no" or "Match exec in FILE".
func (c Config) NotFollowed() []string {
	phrases := slices.Clone(c.unread)
	for _, k := range notFollowed {
		switch value := c.First(k.keyword, ""); {
		case value == "" || slices.Contains(k.harmless, value):
		case k.bare:
			phrases = append(phrases, k.name)
		default:
			phrases = append(phrases, k.name+" "+value)
		}
	}
	return phrases
}
