package remote

import (
	"bytes"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/crypto/ssh"
)

// identity is a key file.
type identity struct {
	path   string
	public ssh.PublicKey // nil where it is not known
	signer ssh.Signer    // nil where the file is encrypted or could not be read
	cert   *certificate  // the one that stands beside it; nil where there is none
	err    error         // why there is no signer
}

// certificate is a user certificate of a file.
type certificate struct {
	path string
	*ssh.Certificate
}

// What is wrong with a file that was named as a private key.
var (
	errPublicKey = errors.New("it is a public key, and the ssh agent doesn't hold its private one")
	errPuTTY     = errors.New("it is in PuTTY's form (puttygen FILE -O private-openssh -o NEW makes one that ssh reads, too)")
)

// readIdentity reads a private key. Of an encrypted one, or one that only an
// agent has, at least the public half may be known: from the file itself, the
// .pub beside it, or its certificate.
func readIdentity(path string) identity {
	id := identity{path: path}
	content, err := readRegular(path)
	if err == nil {
		id.signer, id.public, err = parsePrivate(content)
	}
	id.err = err
	if id.public == nil {
		id.public = readPublic(path + ".pub")
	}
	return id
}

// parsePrivate reads a private key, or at least its public half.
func parsePrivate(content []byte) (ssh.Signer, ssh.PublicKey, error) {
	signer, err := ssh.ParsePrivateKey(content)
	if err == nil {
		return signer, signer.PublicKey(), nil
	}
	var locked *ssh.PassphraseMissingError
	if errors.As(err, &locked) {
		return nil, locked.PublicKey, ErrKeyEncrypted
	}
	if block, _ := pem.Decode(content); block != nil && block.Type == "ENCRYPTED PRIVATE KEY" { // PKCS #8
		return nil, nil, ErrKeyEncrypted
	}
	if public := parsePublic(content); public != nil {
		return nil, public, errPublicKey
	}
	if bytes.HasPrefix(content, []byte("PuTTY-User-Key-File-")) {
		return nil, nil, errPuTTY
	}
	return nil, nil, fmt.Errorf("read private key: %w", err)
}

func readPublic(path string) ssh.PublicKey {
	content, err := readRegular(path)
	if err != nil {
		return nil
	}
	return parsePublic(content)
}

func parsePublic(content []byte) ssh.PublicKey {
	public, _, _, _, err := ssh.ParseAuthorizedKey(content)
	if err != nil {
		return nil
	}
	return public
}

// readCertificate reads a user certificate.
func readCertificate(path string) (*certificate, error) {
	content, err := readRegular(path)
	if err != nil {
		return nil, err
	}
	cert, ok := parsePublic(content).(*ssh.Certificate)
	switch {
	case !ok:
		return nil, fmt.Errorf("%s: it holds no certificate", path)
	case cert.CertType != ssh.UserCert:
		return nil, fmt.Errorf("%s: it is no user's certificate, but a host's", path)
	}
	return &certificate{path: path, Certificate: cert}, nil
}

// readBeside reads the certificate of an identity file: FILE-cert.pub, of
// FILE.pub as well, or FILE-cert. None is no error.
func readBeside(path string) (*certificate, error) {
	for _, name := range []string{path + "-cert.pub", path + "-cert", strings.TrimSuffix(path, ".pub") + "-cert.pub"} {
		cert, err := readCertificate(name)
		if !errors.Is(err, os.ErrNotExist) {
			return cert, err
		}
	}
	return nil, nil
}
