package remote

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"sync/atomic"

	"golang.org/x/crypto/ssh"
)

// offer is a key that is offered on its own: with all in one method, x/crypto
// gives up at the first that can't sign, such as an agent's whose question was
// answered with no.
type offer struct {
	key    Key
	public ssh.PublicKey
	signer ssh.Signer

	state  atomic.Int32 // one of the states below
	failed error        // why there is no signature
}

// The states of an offer.
const (
	unasked int32 = iota
	signing       // the server knows the key, and its signature is being made
	signed
	unsigned
)

func newOffer(signer ssh.Signer, key Key) *offer {
	o := &offer{key: key, public: signer.PublicKey(), signer: signer}
	if signer, ok := signer.(ssh.AlgorithmSigner); ok {
		o.signer = watchedSigner{signer, o}
	}
	return o
}

// isSigning reports whether a signature is being made.
func (o *offer) isSigning() bool { return o.state.Load() == signing }

// isKnown reports whether the server knew the key, and got its signature.
func (o *offer) isKnown() bool { return o.state.Load() == signed }

// watchedSigner tells its offer what becomes of it.
type watchedSigner struct {
	ssh.AlgorithmSigner
	offer *offer
}

// SignWithAlgorithm implements ssh.AlgorithmSigner.
func (s watchedSigner) SignWithAlgorithm(rand io.Reader, data []byte, algorithm string) (*ssh.Signature, error) {
	s.offer.state.Store(signing)
	signature, err := s.AlgorithmSigner.SignWithAlgorithm(rand, data, algorithm)
	if s.offer.failed = err; err != nil {
		s.offer.state.Store(unsigned)
	} else {
		s.offer.state.Store(signed)
	}
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
		switch state := o.state.Load(); {
		case i >= l.offered:
			key.Note = notReached
		case state == signing:
			key.Note = "no signature came"
		case state == unsigned:
			key.Note = fmt.Sprintf("can't sign: %v", o.failed)
		case state == signed:
			key.Note = "the server knows it"
		}
		keys = append(keys, key)
	}
	return keys
}
