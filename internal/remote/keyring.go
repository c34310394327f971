package remote

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"sync"

	"golang.org/x/crypto/ssh"

	"github.com/relayctl/relayctl/internal/secret"
)

// keyring keeps what the operator has answered, for as long as the Dialer
// lives: nobody is asked twice for the same, however many hosts want it.
type keyring struct {
	mu      sync.Mutex
	answers map[string]*answer
}

// answer is what came of one question.
type answer struct {
	mu    sync.Mutex // held while it is asked
	given bool
	text  secret.Value
	key   ssh.AlgorithmSigner // that it has opened
	err   error
}

// about is the answer to a question, there or not, locked until it is unlocked.
func (k *keyring) about(question string) *answer {
	k.mu.Lock()
	if k.answers == nil {
		k.answers = map[string]*answer{}
	}
	a := k.answers[question]
	if a == nil {
		a = &answer{}
		k.answers[question] = a
	}
	k.mu.Unlock()
	a.mu.Lock()
	return a
}

// passphraseTries is how often a passphrase may be mistyped, as with ssh.
const passphraseTries = 3

var errWrongPassphrase = errors.New("the passphrase does not open it")

// unlock opens an encrypted key, by what the operator, who can be asked, says or
// has said.
func (d *Dialer) unlock(ctx context.Context, file identity, q Question) (ssh.AlgorithmSigner, error) {
	answer := d.ring.about("key " + file.path)
	defer answer.mu.Unlock()
	for try := 1; !answer.given && try <= passphraseTries; try++ {
		text, err := d.Ask(ctx, q)
		if err != nil {
			if ctx.Err() == nil {
				answer.given, answer.err = true, err
			}
			return nil, err
		}
		answer.key, answer.err = file.open(text)
		answer.given = answer.err == nil || try == passphraseTries || !errors.Is(answer.err, errWrongPassphrase)
	}
	return answer.key, answer.err
}

// open decrypts a private key.
func (id identity) open(passphrase secret.Value) (ssh.AlgorithmSigner, error) {
	content, err := readRegular(id.path)
	if err != nil {
		return nil, err
	}
	signer, err := ssh.ParsePrivateKeyWithPassphrase(content, []byte(passphrase.Reveal()))
	algorithms, ok := signer.(ssh.AlgorithmSigner)
	switch {
	case errors.Is(err, x509.IncorrectPasswordError):
		return nil, errWrongPassphrase
	case err != nil:
		return nil, fmt.Errorf("open private key: %w", err)
	case !ok:
		return nil, fmt.Errorf("open private key: a key of type %s, which relayctl does not know", signer.PublicKey().Type())
	}
	return algorithms, nil
}

// lockedKey is an encrypted key whose public half is known. It is opened when a
// server wants a signature by it.
type lockedKey struct {
	public ssh.PublicKey
	unlock func() (ssh.AlgorithmSigner, error)
}

// PublicKey implements ssh.Signer.
func (k lockedKey) PublicKey() ssh.PublicKey { return k.public }

// Sign implements ssh.Signer.
func (k lockedKey) Sign(rand io.Reader, data []byte) (*ssh.Signature, error) {
	return k.SignWithAlgorithm(rand, data, "")
}

// SignWithAlgorithm implements ssh.AlgorithmSigner.
func (k lockedKey) SignWithAlgorithm(rand io.Reader, data []byte, algorithm string) (*ssh.Signature, error) {
	key, err := k.unlock()
	if err != nil {
		return nil, err
	}
	return key.SignWithAlgorithm(rand, data, algorithm)
}
