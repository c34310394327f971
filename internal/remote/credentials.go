package remote

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// credentials are the keys to offer, in that order.
type credentials struct {
	user    string
	offers  []*offer
	skipped []string
	agent   net.Conn // nil where there is no agent; it signs until the log-in is over
}

// credentials collects keys as ssh does: those of the agent which an identity
// file names, then the agent's others unless only named ones are wanted, then
// the files themselves, and before each key the certificates for it. A server
// counts every offer, so the likely come first. What can't be used is skipped:
// only a file that the stack names has to be good.
func (way route) credentials(ctx context.Context) (*credentials, error) {
	c := &credentials{user: way.user}
	held := c.openAgent(ctx, way.agentSocket)
	files := c.readFiles(way)
	certs := c.readCertificates(way.certificates)
	for _, file := range files {
		if file.cert != nil {
			certs = append(certs, file.cert)
		}
	}
	for _, file := range files {
		for _, signer := range heldFor(held, file.public) {
			c.offer(signer, file.path+" (agent)", certs, held)
		}
	}
	for _, signer := range held {
		if !way.identitiesOnly {
			c.offer(signer, "agent", certs, held)
		}
	}
	for _, file := range files {
		switch {
		case file.signer != nil:
			c.offer(file.signer, file.path, certs, held)
		case len(heldFor(held, file.public)) > 0:
		case way.target.IdentityFile != "":
			c.close()
			return nil, fmt.Errorf("use identity_file %s: %w", file.path, file.err)
		default:
			c.skip("%s: %v", file.path, file.err)
		}
	}
	c.offerForAgent(certs, held)
	return c, nil
}

func (c *credentials) skip(format string, args ...any) {
	c.skipped = append(c.skipped, fmt.Sprintf(format, args...))
}

// readFiles reads the identity files and, where ssh's configuration names no
// certificates, those beside them.
func (c *credentials) readFiles(way route) []identity {
	var files []identity
	for _, path := range way.identities {
		file := readIdentity(path)
		if cert, ok := file.public.(*ssh.Certificate); ok {
			file.cert, file.public = &certificate{path: path, Certificate: cert}, cert.Key
		}
		if len(way.certificates) == 0 {
			cert, err := readBeside(path)
			switch {
			case err != nil:
				c.skip("%v", err)
			case cert != nil && file.public != nil && !sameKey(cert.Key, file.public):
				c.skip("%s: it is for another key", cert.path)
			case cert != nil:
				file.cert, file.public = cert, cert.Key
			}
		}
		missing := errors.Is(file.err, os.ErrNotExist) && file.public == nil
		if missing && way.target.IdentityFile == "" && slices.Contains(sshIdentities, filepath.Base(path)) {
			continue // a default that this user doesn't have
		}
		files = append(files, file)
	}
	return files
}

// readCertificates reads those that ssh's configuration names.
func (c *credentials) readCertificates(paths []string) []*certificate {
	var certs []*certificate
	for _, path := range paths {
		cert, err := readCertificate(path)
		if err != nil {
			c.skip("%v", err)
			continue
		}
		certs = append(certs, cert)
	}
	return certs
}

// offer adds the certificates for a key, of files and the agent's own, then the
// key itself.
func (c *credentials) offer(signer ssh.Signer, source string, certs []*certificate, held []ssh.Signer) {
	key := signer.PublicKey()
	for _, cert := range certs {
		if !sameKey(cert.Key, key) {
			continue
		}
		certified, err := ssh.NewCertSigner(cert.Certificate, signer)
		if err != nil {
			c.skip("%s: %v", cert.path, err)
			continue
		}
		c.add(certified, cert.path)
	}
	for _, other := range held {
		if cert, ok := other.PublicKey().(*ssh.Certificate); ok && sameKey(cert.Key, key) {
			c.add(other, source)
		}
	}
	c.add(signer, source)
}

// offerForAgent adds what certificates of files are left for keys that the
// agent holds, and tells which are for no key at all.
func (c *credentials) offerForAgent(certs []*certificate, held []ssh.Signer) {
	for _, cert := range certs {
		if c.has(cert.Certificate) {
			continue
		}
		for _, signer := range heldFor(held, cert.Key) {
			c.offer(signer, cert.path+" (agent)", certs, nil)
		}
		if !c.has(cert.Certificate) {
			c.skip("%s: there is no private key for it", cert.path)
		}
	}
}

// validity is what may keep a server from taking a certificate. The server has
// the last word: it is offered all the same.
func validity(cert *ssh.Certificate, user string) string {
	now := uint64(time.Now().Unix())
	switch {
	case now < cert.ValidAfter:
		return "valid only from " + time.Unix(int64(cert.ValidAfter), 0).UTC().Format(time.RFC3339)
	case cert.ValidBefore != ssh.CertTimeInfinity && now >= cert.ValidBefore:
		return "expired " + time.Unix(int64(cert.ValidBefore), 0).UTC().Format(time.RFC3339)
	case len(cert.ValidPrincipals) > 0 && !slices.Contains(cert.ValidPrincipals, user):
		return "made out for " + strings.Join(cert.ValidPrincipals, ", ")
	}
	return ""
}

func (c *credentials) has(public ssh.PublicKey) bool {
	return slices.ContainsFunc(c.offers, func(o *offer) bool { return sameKey(o.public, public) })
}

func (c *credentials) add(signer ssh.Signer, source string) {
	public := signer.PublicKey()
	if c.has(public) {
		return
	}
	key := Key{Source: source, Type: public.Type(), Fingerprint: ssh.FingerprintSHA256(withoutCertificate(public))} // as ssh names a certificate, too
	if cert, ok := public.(*ssh.Certificate); ok {
		key.Note = validity(cert, c.user)
	}
	c.offers = append(c.offers, newOffer(signer, key))
}

// agentPatience is how long the agent may take to list its keys, and at most a
// third of the time that is left: nobody is asked for that, so one that takes
// longer hangs.
const agentPatience = 5 * time.Second

// openAgent returns the agent's keys. Without a working agent there are none,
// as with ssh itself.
func (c *credentials) openAgent(ctx context.Context, socket string) []ssh.Signer {
	if socket == "" {
		return nil
	}
	patience := agentPatience
	if deadline, bounded := ctx.Deadline(); bounded {
		patience = min(patience, time.Until(deadline)/3)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
	if err != nil {
		c.skip("agent: %v", err)
		return nil
	}
	c.agent = conn
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	signers, err := agent.NewClient(conn).Signers()
	if !stop() {
		err = fmt.Errorf("it does not tell its keys for %.0f s", patience.Seconds())
	}
	if err != nil {
		c.skip("agent: %v", err)
		return nil
	}
	return c.known(signers)
}

// known are the agent's keys of a type that is known here: a server that does
// not know one either may hang up.
func (c *credentials) known(signers []ssh.Signer) []ssh.Signer {
	var held []ssh.Signer
	for _, signer := range signers {
		public, err := ssh.ParsePublicKey(signer.PublicKey().Marshal())
		algorithms, ok := signer.(ssh.AlgorithmSigner)
		if err != nil || !ok {
			c.skip("agent: a key of type %s, which relayctl does not know", signer.PublicKey().Type())
			continue
		}
		held = append(held, agentKey{algorithms, public})
	}
	return held
}

// agentKey is a key of the agent whose public half says what it is, of a
// certificate, too.
type agentKey struct {
	ssh.AlgorithmSigner
	public ssh.PublicKey
}

// PublicKey implements ssh.Signer.
func (k agentKey) PublicKey() ssh.PublicKey { return k.public }

func (c *credentials) close() {
	if c.agent != nil {
		c.agent.Close()
	}
}

// heldFor are the agent's keys for a public one: itself, and certificates.
func heldFor(held []ssh.Signer, public ssh.PublicKey) []ssh.Signer {
	if public == nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(held), func(signer ssh.Signer) bool {
		return !sameKey(withoutCertificate(signer.PublicKey()), public)
	})
}
