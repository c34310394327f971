package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"

	"github.com/relayctl/relayctl/internal/secret"
)

// offer is a key that is offered on its own: with all in one method, x/crypto
// gives up at the first that can't sign, such as an agent's whose question was
// answered with no.
type offer struct {
	key    Key
	public ssh.PublicKey
	signer ssh.Signer // nil until it is opened
	late   func() (ssh.AlgorithmSigner, error)

	asked  bool  // the server knows the key and wants a signature
	failed error // why there is none
}

func newOffer(signer ssh.Signer, key Key) *offer {
	o := &offer{key: key}
	o.use(signer)
	return o
}

func (o *offer) use(signer ssh.Signer) {
	o.public, o.signer = signer.PublicKey(), signer
	if signer, ok := signer.(ssh.AlgorithmSigner); ok {
		o.signer = watchedSigner{signer, o}
	}
	o.key.Type = o.public.Type()
	o.key.Fingerprint = ssh.FingerprintSHA256(withoutCertificate(o.public)) // as ssh names a certificate, too
}

// open opens an encrypted key that does not tell its public half.
func (o *offer) open() {
	key, err := o.late()
	if err != nil {
		o.failed = err
		return
	}
	o.use(key)
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
	taken   bool     // it took something, and wants more
	banner  string   // all that it said
	said    string   // the last of it

	interactive []string // methods that were tried, each with the step it was for
	asked       bool     // the operator's answer was sent
	askedAt     int      // in which step
	late        bool     // the server hung up before there was an answer
	unanswered  error    // why there is no answer
	password    *answer  // that was sent
}

var errNothingLeft = errors.New("there is nothing left to log in with")

// next picks what to try next, in the order in which the methods are wanted.
func (a *attempt) next(ctx context.Context, c *ssh.ClientAuthContext) (ssh.AuthMethod, error) {
	l := &a.logIn
	l.methods, l.taken = c.AllowedMethods, len(c.PartialSuccessMethods) > 0
	for _, method := range a.way.methods {
		if !l.takes(method) {
			continue
		}
		if method == "publickey" {
			if key := a.nextKey(); key != nil {
				return ssh.PublicKeys(key), nil
			}
			continue
		}
		if next := a.interactive(ctx, method, len(c.PartialSuccessMethods)); next != nil {
			return next, nil
		}
	}
	return nil, errNothingLeft
}

// takes is false where the server has said that it does not take a method.
func (l *logIn) takes(method string) bool {
	if len(l.methods) == 0 {
		return method == "publickey"
	}
	return slices.Contains(l.methods, method)
}

// nextKey is the next key that can be offered; nil where there is none.
func (a *attempt) nextKey() ssh.Signer {
	for a.logIn.offered < len(a.keys.offers) {
		o := a.keys.offers[a.logIn.offered]
		a.logIn.offered++
		if o.signer == nil {
			o.open()
		}
		if o.failed == nil {
			return o.signer
		}
	}
	return nil
}

// interactive is a method by which the operator answers the server: each is
// tried once, and none after a wrong answer, since that counts against the
// account. What the server takes as one step of several is no wrong answer.
func (a *attempt) interactive(ctx context.Context, method string, steps int) ssh.AuthMethod {
	l := &a.logIn
	tried := fmt.Sprint(method, steps)
	switch {
	case !a.mayAsk(), l.unanswered != nil, slices.Contains(l.interactive, tried), l.asked && l.askedAt == steps:
		return nil
	}
	l.interactive = append(l.interactive, tried)
	ask := func(q Question) (string, error) {
		l.asked, l.askedAt = true, steps
		q.Hosts, q.User, q.Address = []string{a.way.target.Name}, a.way.user, a.way.address
		answer, err := a.answer(ctx, q)
		l.unanswered = err
		return answer.Reveal(), err
	}
	if method == "password" {
		return ssh.PasswordCallback(func() (string, error) { return ask(Question{For: Password}) })
	}
	return ssh.KeyboardInteractive(func(name, instruction string, questions []string, echos []bool) (answers []string, err error) {
		for i, question := range questions {
			q := Question{For: Challenge, Said: joinSaid(joinSaid(name, instruction), question), Echo: echos[i]}
			if len(questions) == 1 && !q.Echo && strings.Contains(strings.ToLower(question), "password") {
				q.For = Password
			}
			answer, err := ask(q)
			if err != nil {
				return nil, err
			}
			answers = append(answers, answer)
		}
		return answers, nil
	})
}

// mayAsk reports whether there is an operator who wants to be asked.
func (a *attempt) mayAsk() bool { return a.dialer.Ask != nil && !a.way.silent }

// forget keeps an answer that was wrong from being sent again.
func (l *logIn) forget() {
	if l.password != nil {
		l.password.mu.Lock()
		defer l.password.mu.Unlock()
		l.password.err = errors.New("the host did not take the password before")
	}
}

// whileAsked waits for the operator, for whom a server may not wait as long.
func (a *attempt) whileAsked(ask func()) {
	a.patience.whileAsked(ask)
	if _, broken := a.conn.seen(); broken != nil {
		a.logIn.late = true
	}
}

// answer is what the operator answers, or has answered for the same account:
// only a password is good twice.
func (a *attempt) answer(ctx context.Context, q Question) (text secret.Value, err error) {
	a.whileAsked(func() {
		if q.For != Password {
			text, err = a.dialer.Ask(ctx, q)
			return
		}
		answer := a.dialer.ring.about(fmt.Sprintf("password %s %s %s", q.User, q.Address, a.via.wayTo()))
		defer answer.mu.Unlock()
		if !answer.given {
			answer.text, answer.err = a.dialer.Ask(ctx, q)
			answer.given = ctx.Err() == nil
		}
		a.logIn.password = answer
		text, err = answer.text, answer.err
	})
	return text, err
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
