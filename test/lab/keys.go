package lab

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/ssh"
)

// sshKey is a key pair as OpenSSH writes it.
type sshKey struct {
	private []byte // PEM
	public  string // one line, without a newline
	name    string // the algorithm as it stands in file names
	print   string // SHA256:...
}

// newSSHKey makes an ed25519 key.
func newSSHKey() (sshKey, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return sshKey{}, fmt.Errorf("make key: %w", err)
	}
	return encodeKey("ed25519", key)
}

// newHostKeys makes the keys that identify a host, of both kinds that a Debian
// makes by default and that are quick to make.
func newHostKeys() ([]sshKey, error) {
	first, err := newSSHKey()
	if err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	second, err := encodeKey("ecdsa", key)
	if err != nil {
		return nil, err
	}
	return []sshKey{first, second}, nil
}

// readHostKeys reads the public halves of the keys in a host's /etc/ssh, in the
// order in which newHostKeys makes them.
func readHostKeys(folder string) ([]sshKey, error) {
	var keys []sshKey
	for _, name := range []string{"ed25519", "ecdsa"} {
		line, err := os.ReadFile(filepath.Join(folder, "ssh_host_"+name+"_key.pub"))
		if err != nil {
			return nil, fmt.Errorf("read host key: %w", err)
		}
		public, _, _, _, err := ssh.ParseAuthorizedKey(line)
		if err != nil {
			return nil, fmt.Errorf("read host key %s: %w", name, err)
		}
		keys = append(keys, sshKey{public: strings.TrimSpace(string(line)), name: name, print: ssh.FingerprintSHA256(public)})
	}
	return keys, nil
}

func encodeKey(name string, key crypto.Signer) (sshKey, error) {
	block, err := ssh.MarshalPrivateKey(key, "relayctl lab")
	if err != nil {
		return sshKey{}, fmt.Errorf("encode key: %w", err)
	}
	public, err := ssh.NewPublicKey(key.Public())
	if err != nil {
		return sshKey{}, fmt.Errorf("encode key: %w", err)
	}
	line := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(public)))
	return sshKey{pem.EncodeToMemory(block), line, name, ssh.FingerprintSHA256(public)}, nil
}
