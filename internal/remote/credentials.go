package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/relayctl/relayctl/internal/remote/sshconfig"
)

// credentials are the keys to offer, in that order.
type credentials struct {
	attempt *attempt
	named   []identity
	held    []ssh.Signer // the agent's keys and certificates
	offers  []*offer
	skipped []string
	agent   net.Conn // nil where there is no agent; it signs until the log-in is over
}

// credentials collects keys as ssh does: those of the agent which an identity
// file or a certificate names, then the agent's others unless only named ones
// are wanted, then the files themselves, and before each key the certificates
// for it. A server counts every offer, so the likely come first. What can't be
// used is skipped: only a file that the stack names has to be good.
func (a *attempt) credentials(ctx context.Context) (*credentials, error) {
	c, way := &credentials{attempt: a}, a.way
	if !slices.Contains(way.methods, "publickey") {
		return c, nil
	}
	c.openAgent(ctx, way.agentSocket)
	c.readFiles(way)
	for _, file := range c.named {
		for _, signer := range c.heldFor(file.public) {
			c.offer(signer, file.path+" (agent)")
		}
	}
	for _, signer := range c.held {
		if !way.identitiesOnly {
			c.offer(signer, "agent")
		}
	}
	for i, file := range c.named {
		switch {
		case file.signer != nil:
			c.offer(file.signer, file.path)
		case len(c.heldFor(file.public)) > 0, file.cert != nil && c.has(file.public):
		case file.err == ErrKeyEncrypted && a.mayAsk() && file.public != nil:
			c.offer(lockedKey{file.public, a.unlock(ctx, file)}, file.path)
		case file.err == ErrKeyEncrypted && a.mayAsk():
			c.offers = append(c.offers, &offer{key: Key{Source: file.path}, late: a.unlock(ctx, file)})
		case i == 0 && way.target.IdentityFile != "":
			c.close()
			return nil, fmt.Errorf("use identity_file %s: %w", file.path, file.err)
		default:
			c.skip("%s: %v", file.path, file.err)
		}
	}
	return c, nil
}

// unlock opens an encrypted key when it is needed.
func (a *attempt) unlock(ctx context.Context, file identity) func() (ssh.AlgorithmSigner, error) {
	return func() (key ssh.AlgorithmSigner, err error) {
		q := Question{For: Passphrase, File: file.path, Hosts: []string{a.way.target.Name}, User: a.way.user, Address: a.way.address}
		a.whileAsked(func() { key, err = a.dialer.unlock(ctx, file, q) })
		a.logIn.unanswered = err
		return key, err
	}
}

func (c *credentials) skip(format string, args ...any) {
	if told := fmt.Sprintf(format, args...); !slices.Contains(c.skipped, told) {
		c.skipped = append(c.skipped, told)
	}
}

// readFiles reads the identity files, then the certificates: those that ssh's
// configuration names, else those beside the identity files.
func (c *credentials) readFiles(way route) {
	certificates := slices.Clone(way.certificates)
	for _, path := range way.identities {
		file := readIdentity(path)
		missing := errors.Is(file.err, os.ErrNotExist) && file.public == nil
		if missing && way.target.IdentityFile == "" && slices.Contains(sshconfig.Identities, filepath.Base(path)) {
			continue // a default that this user doesn't have
		}
		c.named = append(c.named, file)
		switch {
		case file.err == errNoPrivate: // it is a certificate itself
			certificates = append(certificates, path)
		case len(way.certificates) == 0:
			certificates = append(certificates, besides(path)...)
		}
	}
	for _, path := range certificates {
		cert, err := readCertificate(path)
		switch {
		case err == nil:
			c.named = append(c.named, cert)
		case len(way.certificates) > 0, !errors.Is(err, os.ErrNotExist):
			c.skip("%v", err)
		}
	}
}

// offer adds the certificates for a key, of files and the agent's own, then the
// key itself.
func (c *credentials) offer(signer ssh.Signer, source string) {
	key := signer.PublicKey()
	for _, file := range c.named {
		if file.cert == nil || !sameKey(file.public, key) {
			continue
		}
		if certified, err := ssh.NewCertSigner(file.cert, signer); err != nil {
			c.skip("%s: %v", file.path, err)
		} else {
			c.add(certified, file.path)
		}
	}
	for _, other := range c.heldFor(key) {
		if _, ok := other.PublicKey().(*ssh.Certificate); ok {
			c.add(other, source)
		}
	}
	c.add(signer, source)
}

func (c *credentials) has(public ssh.PublicKey) bool {
	return slices.ContainsFunc(c.offers, func(o *offer) bool { return sameKey(o.public, public) })
}

func (c *credentials) add(signer ssh.Signer, source string) {
	public := signer.PublicKey()
	if c.has(public) {
		return
	}
	key := Key{Source: source}
	if cert, ok := public.(*ssh.Certificate); ok {
		key.Note = validity(cert, c.attempt.way.user)
	}
	c.offers = append(c.offers, newOffer(signer, key))
}

// agentPatience is how long the agent may take to list its keys, and at most a
// third of the time that there is: nobody is asked for that, so one that takes
// longer hangs.
const agentPatience = 5 * time.Second

// openAgent reads which keys the agent holds. Without a working agent there are
// none, as with ssh itself.
func (c *credentials) openAgent(ctx context.Context, socket string) {
	if socket == "" {
		return
	}
	patience := min(agentPatience, c.attempt.way.timeout/3)
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
	if err != nil {
		c.skip("agent: %v", err)
		return
	}
	c.agent = conn
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	signers, err := agent.NewClient(conn).Signers()
	if !stop() {
		err = fmt.Errorf("it does not tell its keys for %.0f s", patience.Seconds())
	}
	if err != nil {
		c.skip("agent: %v", err)
		return
	}
	for _, signer := range signers {
		public, err := ssh.ParsePublicKey(signer.PublicKey().Marshal())
		algorithms, ok := signer.(ssh.AlgorithmSigner)
		if err != nil || !ok { // a server that does not know it either may hang up
			c.skip("agent: a key of type %s, which relayctl does not know", signer.PublicKey().Type())
			continue
		}
		c.held = append(c.held, agentKey{algorithms, public, c.attempt})
	}
}

// agentKey is a key of the agent whose public half says what it is, of a
// certificate, too.
type agentKey struct {
	ssh.AlgorithmSigner
	public  ssh.PublicKey
	attempt *attempt
}

// PublicKey implements ssh.Signer.
func (k agentKey) PublicKey() ssh.PublicKey { return k.public }

// SignWithAlgorithm implements ssh.AlgorithmSigner. A security key may wait to
// be touched, which is up to the operator.
func (k agentKey) SignWithAlgorithm(rand io.Reader, data []byte, algorithm string) (signature *ssh.Signature, err error) {
	if !strings.HasPrefix(k.public.Type(), "sk-") {
		return k.AlgorithmSigner.SignWithAlgorithm(rand, data, algorithm)
	}
	k.attempt.dialer.waits(k.attempt.way.target, "the security key "+ssh.FingerprintSHA256(k.public)+" to be touched")
	k.attempt.patience.whileAsked(func() { signature, err = k.AlgorithmSigner.SignWithAlgorithm(rand, data, algorithm) })
	return signature, err
}

func (c *credentials) close() {
	if c.agent != nil {
		c.agent.Close()
	}
}

// heldFor are the agent's keys for a public one: itself, and certificates.
func (c *credentials) heldFor(public ssh.PublicKey) []ssh.Signer {
	return slices.DeleteFunc(slices.Clone(c.held), func(signer ssh.Signer) bool {
		return public == nil || !sameKey(withoutCertificate(signer.PublicKey()), public)
	})
}
