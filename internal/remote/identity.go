package remote

import (
	"bytes"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/crypto/ssh"
)

// identity is a file that names a key: a private or public one, or a
// certificate for it.
type identity struct {
	path   string
	public ssh.PublicKey    // never a certificate; nil where it is not known
	cert   *ssh.Certificate // nil where it is none
	signer ssh.Signer       // nil where the file is encrypted, not private or could not be read
	err    error            // why there is no signer
}

// What is wrong with a file that was named as a private key.
var (
	errPublicKey = errors.New("it is a public key, and the ssh agent doesn't hold its private one")
	errNoPrivate = errors.New("there is no private key for it")
	errPKCS8     = errors.New("it has a passphrase in the form of PKCS #8, which relayctl does not read: ssh-add takes it, and ssh-keygen -p gives it another form")
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
	if open := openToOthers(path); open != nil && (id.signer != nil || err == ErrKeyEncrypted) {
		id.signer, err = nil, open
	}
	id.err = err
	for _, beside := range []string{".pub", "-cert.pub"} {
		if content, err := readRegular(path + beside); err == nil && id.public == nil {
			id.public = parsePublic(content)
		}
	}
	if id.public != nil {
		id.public = withoutCertificate(id.public)
	}
	return id
}

// openToOthers is why ssh does not take a private key that others may read: as
// with ssh, it is a matter of the user's own files only.
func openToOthers(path string) error {
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm()&0o077 == 0 {
		return nil
	}
	if owner, ok := info.Sys().(*syscall.Stat_t); ok && int(owner.Uid) != os.Getuid() {
		return nil
	}
	return fmt.Errorf("others may read it (mode %04o), and ssh takes no such key: chmod 600 %s", info.Mode().Perm(), path)
}

// parsePrivate reads a private key, or at least its public half.
func parsePrivate(content []byte) (ssh.Signer, ssh.PublicKey, error) {
	signer, err := ssh.ParsePrivateKey(content)
	if err == nil {
		return signer, signer.PublicKey(), nil
	}
	var locked *ssh.PassphraseMissingError
	block, _ := pem.Decode(content)
	public := parsePublic(content)
	_, isCertificate := public.(*ssh.Certificate)
	switch {
	case errors.As(err, &locked):
		return nil, locked.PublicKey, ErrKeyEncrypted
	case block != nil && block.Type == "ENCRYPTED PRIVATE KEY":
		return nil, nil, errPKCS8
	case isCertificate:
		return nil, public, errNoPrivate
	case public != nil:
		return nil, public, errPublicKey
	}
	return nil, nil, fmt.Errorf("read private key: %w", err)
}

// parsePublic reads a public key or a certificate; nil where there is none.
func parsePublic(content []byte) ssh.PublicKey {
	public, _, _, _, err := ssh.ParseAuthorizedKey(content)
	if err != nil {
		return nil
	}
	return public
}

// readCertificate reads a user certificate.
func readCertificate(path string) (identity, error) {
	content, err := readRegular(path)
	cert, ok := parsePublic(content).(*ssh.Certificate)
	switch {
	case err != nil:
		return identity{}, err
	case !ok:
		return identity{}, fmt.Errorf("%s: it holds no certificate", path)
	case cert.CertType != ssh.UserCert:
		return identity{}, fmt.Errorf("%s: it is no user's certificate, but a host's", path)
	}
	return identity{path: path, public: cert.Key, cert: cert, err: errNoPrivate}, nil
}

// besides are the files in which ssh looks for a certificate of an identity
// file.
func besides(path string) []string {
	return []string{path + "-cert.pub", path + "-cert", strings.TrimSuffix(path, ".pub") + "-cert.pub"}
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

// withoutCertificate is the key itself.
func withoutCertificate(key ssh.PublicKey) ssh.PublicKey {
	if cert, ok := key.(*ssh.Certificate); ok {
		return cert.Key
	}
	return key
}

func sameKey(a, b ssh.PublicKey) bool { return bytes.Equal(a.Marshal(), b.Marshal()) }

// readRegular reads a file, but nothing that could make it wait, such as a pipe.
func readRegular(path string) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case info.IsDir():
		return nil, &os.PathError{Op: "read", Path: path, Err: errors.New("is a directory")}
	case !info.Mode().IsRegular() && path != os.DevNull:
		return nil, &os.PathError{Op: "read", Path: path, Err: errors.New("is not a regular file")}
	}
	return os.ReadFile(path)
}
