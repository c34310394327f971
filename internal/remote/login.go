package remote

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"golang.org/x/crypto/ssh"
)

// offer is a key that is offered on its own: with all in one method, x/crypto
// gives up at the first that can't sign, such as an agent's whose question was
// answered with no.
type offer struct {
	key    Key
	public ssh.PublicKey
	signer ssh.Signer

	asked  bool  // the server knows the key and wants a signature
	failed error // why there is none
}

func newOffer(signer ssh.Signer, key Key) *offer {
	o := &offer{key: key, public: signer.PublicKey(), signer: signer}
	if signer, ok := signer.(ssh.AlgorithmSigner); ok {
		o.signer = watchedSigner{signer, o}
	}
	return o
}

// isKnown reports whether the server knew the key, and got its signature.
func (o *offer) isKnown() bool { return o.asked && o.failed == nil }

// watchedSigner tells its offer what becomes of it.
type watchedSigner struct {
	ssh.AlgorithmSigner
	offer *offer
}

// SignWithAlgorithm implements ssh.AlgorithmSigner.
func (s watchedSigner) SignWithAlgorithm(rand io.Reader, data []byte, algorithm string) (*ssh.Signature, error) {
	signature, err := s.AlgorithmSigner.SignWithAlgorithm(rand, data, algorithm)
	s.offer.asked, s.offer.failed = true, err
	return signature, err
}

// authTries is after how many refused keys OpenSSH's server hangs up
// (MaxAuthTries); its last words may not arrive.
const authTries = 6

// logIn is how far a log-in is, by what the server says.
type logIn struct {
	offered int      // how many keys were
	methods []string // that the server takes
	taken   bool     // it took a key, and wants more
	banner  string   // all that it said
	said    string   // the last of it
}

var errNoMoreKeys = errors.New("there is no key left to offer")

// next picks what to offer next. broken is why the connection has ended, nil
// while it stands.
func (l *logIn) next(c *ssh.ClientAuthContext, offers []*offer, broken error) (ssh.AuthMethod, error) {
	l.methods, l.taken = c.AllowedMethods, len(c.PartialSuccessMethods) > 0
	if broken != nil {
		return nil, broken
	}
	if l.offered == len(offers) || !l.takesKeys() {
		return nil, errNoMoreKeys
	}
	l.offered++
	return ssh.PublicKeys(offers[l.offered-1].signer), nil
}

// takesKeys is false where the server has said that it takes none.
func (l *logIn) takesKeys() bool {
	return len(l.methods) == 0 || slices.Contains(l.methods, "publickey")
}

// hear takes in what the server says.
func (l *logIn) hear(message string) {
	if said := joinSaid("", message); said != "" {
		l.said, l.banner = said, joinSaid(l.banner, message)
	}
}

// notReached notes a key that the server hung up before.
const notReached = "not reached"

// tried tells what came of each key.
func (l *logIn) tried(offers []*offer) []Key {
	var keys []Key
	for i, o := range offers {
		key := o.key
		switch {
		case i >= l.offered:
			key.Note = notReached
		case o.failed != nil:
			key.Note = fmt.Sprintf("can't sign: %v", o.failed)
		case o.asked:
			key.Note = "the server knows it"
		}
		keys = append(keys, key)
	}
	return keys
}
