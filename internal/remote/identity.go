package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// credentials are the keys to offer, in that order.
type credentials struct {
	signers []ssh.Signer
	tried   []Key
	skipped []string
	agent   net.Conn // nil where there is no agent; it signs until the log-in is over
}

// identity is a key file.
type identity struct {
	path   string
	public ssh.PublicKey // nil where the file could not be read
	signer ssh.Signer    // nil where the file is encrypted or could not be read
	err    error
}

// credentials collects keys as ssh does: those of the agent which an identity
// file names, then the agent's others unless only named ones are wanted, then
// the files themselves. A server counts every offer, so the likely come first.
func (way route) credentials(ctx context.Context) (*credentials, error) {
	c := &credentials{}
	held := c.openAgent(ctx, way.agentSocket)
	var files []identity
	for _, path := range way.identities {
		file := readIdentity(path)
		if errors.Is(file.err, os.ErrNotExist) && file.public == nil && way.target.IdentityFile == "" {
			continue // a default that this user doesn't have
		}
		files = append(files, file)
	}
	named := map[string]bool{}
	for _, file := range files {
		if signer := find(held, file.public); signer != nil {
			named[string(file.public.Marshal())] = true
			c.add(signer, file.path+" (agent)")
		}
	}
	for _, signer := range held {
		if !way.identitiesOnly && !named[string(signer.PublicKey().Marshal())] {
			c.add(signer, "agent")
		}
	}
	for _, file := range files {
		switch {
		case file.public != nil && named[string(file.public.Marshal())]:
		case file.signer != nil:
			c.add(file.signer, file.path)
		case way.target.IdentityFile != "":
			c.close()
			return nil, fmt.Errorf("use identity_file %s: %w", file.path, file.err)
		default:
			c.skipped = append(c.skipped, fmt.Sprintf("%s: %v", file.path, file.err))
		}
	}
	return c, nil
}

func (c *credentials) add(signer ssh.Signer, source string) {
	c.signers = append(c.signers, signer)
	public := signer.PublicKey()
	c.tried = append(c.tried, Key{Source: source, Type: public.Type(), Fingerprint: ssh.FingerprintSHA256(public)})
}

// openAgent returns the agent's keys. Without a working agent there are none,
// as with ssh itself.
func (c *credentials) openAgent(ctx context.Context, socket string) []ssh.Signer {
	if socket == "" {
		return nil
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", socket)
	if err != nil {
		c.skipped = append(c.skipped, fmt.Sprintf("agent: %v", err))
		return nil
	}
	if deadline, ok := ctx.Deadline(); ok {
		conn.SetDeadline(deadline)
	}
	c.agent = conn
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	signers, err := agent.NewClient(conn).Signers()
	if err != nil {
		c.skipped = append(c.skipped, fmt.Sprintf("agent: %v", err))
	}
	return signers
}

func (c *credentials) close() {
	if c.agent != nil {
		c.agent.Close()
	}
}

// readIdentity reads a private key. Of an encrypted one, or one that only an
// agent has, at least the public half may be known: from the file itself, or
// the .pub beside it.
func readIdentity(path string) identity {
	id := identity{path: path}
	content, err := os.ReadFile(path)
	if err != nil {
		id.public, id.err = readPublic(path+".pub"), err
		return id
	}
	var locked *ssh.PassphraseMissingError
	id.signer, err = ssh.ParsePrivateKey(content)
	switch {
	case err == nil:
		id.public = id.signer.PublicKey()
	case errors.As(err, &locked):
		id.err = ErrKeyEncrypted
		if id.public = locked.PublicKey; id.public == nil {
			id.public = readPublic(path + ".pub")
		}
	default:
		id.public, id.err = readPublic(path), fmt.Errorf("read private key: %w", err)
	}
	return id
}

func readPublic(path string) ssh.PublicKey {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	public, _, _, _, err := ssh.ParseAuthorizedKey(content)
	if err != nil {
		return nil
	}
	return public
}

func find(signers []ssh.Signer, public ssh.PublicKey) ssh.Signer {
	if public == nil {
		return nil
	}
	for _, signer := range signers {
		if bytes.Equal(signer.PublicKey().Marshal(), public.Marshal()) {
			return signer
		}
	}
	return nil
}
