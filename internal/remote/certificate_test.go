package remote_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/relayctl/relayctl/internal/remote"
	"github.com/relayctl/relayctl/internal/remote/remotetest"
)

// person has a key that a host takes by certificate only.
type person struct {
	key       any
	signer    ssh.Signer
	authority ssh.Signer
}

func newPerson(t *testing.T, kind string) person {
	t.Helper()
	key := remotetest.NewKey(t, kind)
	return person{key, signer(t, key), signer(t, remotetest.NewKey(t, "ed25519"))}
}

// cert is a certificate for the person's key.
func (p person) cert(t *testing.T, changes ...func(*ssh.Certificate)) *ssh.Certificate {
	t.Helper()
	cert := &ssh.Certificate{CertType: ssh.UserCert, ValidPrincipals: []string{"ops"}, ValidBefore: ssh.CertTimeInfinity}
	for _, change := range changes {
		change(cert)
	}
	return remotetest.Certify(t, cert, p.signer, p.authority).PublicKey().(*ssh.Certificate)
}

func expired(cert *ssh.Certificate) { cert.ValidBefore = uint64(time.Now().Add(-time.Hour).Unix()) }

func write(t *testing.T, file string, content []byte) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func publicText(key ssh.PublicKey) []byte { return ssh.MarshalAuthorizedKey(key) }

func agentOf(t *testing.T, keys ...agent.AddedKey) string {
	t.Helper()
	ring := agent.NewKeyring()
	for _, key := range keys {
		if err := ring.Add(key); err != nil {
			t.Fatal(err)
		}
	}
	return serveAgent(t, ring)
}

// A certificate that stands where ssh looks for it is offered.
func TestUserCertificate(t *testing.T) {
	for _, kind := range []string{"ed25519", "ecdsa", "rsa"} {
		p := newPerson(t, kind)
		s := remotetest.Start(t, remotetest.Options{Authority: p.authority.PublicKey()})
		locked := func(t *testing.T) string {
			return remotetest.WriteKey(t, p.key, "only the agent was told")
		}
		for name, prepare := range map[string]func(t *testing.T, d *remote.Dialer, to *remote.Target){
			"beside the key": func(t *testing.T, d *remote.Dialer, to *remote.Target) { // pulumi-command#824
				to.IdentityFile = remotetest.WriteKey(t, p.key, "")
				write(t, to.IdentityFile+"-cert.pub", publicText(p.cert(t)))
			},
			"beside a default key": func(t *testing.T, d *remote.Dialer, to *remote.Target) {
				content, err := os.ReadFile(remotetest.WriteKey(t, p.key, ""))
				if err != nil {
					t.Fatal(err)
				}
				write(t, filepath.Join(d.Home, ".ssh/id_ed25519"), content)
				write(t, filepath.Join(d.Home, ".ssh/id_ed25519-cert.pub"), publicText(p.cert(t)))
			},
			"beside a key with a passphrase": func(t *testing.T, d *remote.Dialer, to *remote.Target) {
				to.IdentityFile = locked(t)
				write(t, to.IdentityFile+"-cert.pub", publicText(p.cert(t)))
				d.AgentSocket = agentOf(t, agent.AddedKey{PrivateKey: p.key})
			},
			"beside a public key": func(t *testing.T, d *remote.Dialer, to *remote.Target) {
				file := filepath.Join(t.TempDir(), "id")
				to.IdentityFile = write(t, file+".pub", publicText(p.signer.PublicKey()))
				write(t, file+"-cert.pub", publicText(p.cert(t)))
				d.AgentSocket = agentOf(t, agent.AddedKey{PrivateKey: p.key})
			},
			"with nothing beside": func(t *testing.T, d *remote.Dialer, to *remote.Target) {
				to.IdentityFile = filepath.Join(t.TempDir(), "id")
				write(t, to.IdentityFile+"-cert.pub", publicText(p.cert(t)))
				d.AgentSocket = agentOf(t, agent.AddedKey{PrivateKey: p.key})
			},
			"named itself": func(t *testing.T, d *remote.Dialer, to *remote.Target) {
				to.IdentityFile = write(t, filepath.Join(t.TempDir(), "id-cert.pub"), publicText(p.cert(t)))
				d.AgentSocket = agentOf(t, agent.AddedKey{PrivateKey: p.key})
			},
			"in the agent": func(t *testing.T, d *remote.Dialer, to *remote.Target) {
				d.AgentSocket = agentOf(t, agent.AddedKey{PrivateKey: p.key}, agent.AddedKey{PrivateKey: p.key, Certificate: p.cert(t)})
			},
			"in the agent alone, its key is named": func(t *testing.T, d *remote.Dialer, to *remote.Target) {
				to.IdentityFile = locked(t)
				d.AgentSocket = agentOf(t, agent.AddedKey{PrivateKey: p.key, Certificate: p.cert(t)})
			},
			"by ssh's configuration": func(t *testing.T, d *remote.Dialer, to *remote.Target) {
				d.SSH = fakeSSH(t, "hostname 127.0.0.1", "identityfile "+remotetest.WriteKey(t, p.key, ""), "certificatefile none",
					"certificatefile /nowhere/id-cert.pub", "certificatefile "+write(t, filepath.Join(t.TempDir(), "%h"), publicText(p.cert(t))[:40]),
					"certificatefile "+filepath.Dir(write(t, filepath.Join(t.TempDir(), "for-ops"), publicText(p.cert(t))))+"/for-%r")
			},
			"by ssh's configuration, for the agent": func(t *testing.T, d *remote.Dialer, to *remote.Target) {
				d.AgentSocket = agentOf(t, agent.AddedKey{PrivateKey: p.key})
				d.SSH = fakeSSH(t, "hostname 127.0.0.1", "identitiesonly yes", "certificatefile "+write(t, filepath.Join(t.TempDir(), "c"), publicText(p.cert(t))))
			},
		} {
			t.Run(kind+" "+name, func(t *testing.T) {
				d, to := trusting(t), target(s)
				to.IdentityFile = ""
				prepare(t, d, &to)
				dial(t, d, to)
			})
		}
	}
}

// A certificate that is no good stands in the way of nothing; where the log-in
// fails, it is told.
func TestBadUserCertificate(t *testing.T) {
	p, other := newPerson(t, "ed25519"), newPerson(t, "ed25519")
	for name, test := range map[string]struct {
		content []byte
		says    string
	}{
		"expired":           {publicText(p.cert(t, expired)), "(expired 2"},
		"not valid yet":     {publicText(p.cert(t, func(c *ssh.Certificate) { c.ValidAfter = uint64(time.Now().Add(time.Hour).Unix()) })), "(valid only from 2"},
		"for another user":  {publicText(p.cert(t, func(c *ssh.Certificate) { c.ValidPrincipals = []string{"alice", "bob"} })), "(made out for alice, bob)"},
		"of a host":         {publicText(p.cert(t, func(c *ssh.Certificate) { c.CertType = ssh.HostCert })), "it is no user's certificate"},
		"for another key":   {publicText(other.cert(t)), "there is no private key for it"},
		"by nobody we know": {publicText(person{p.key, p.signer, other.signer}.cert(t)), "-cert.pub  ssh-ed25519-cert-v01@openssh.com SHA256:"},
		"cut":               {publicText(p.cert(t))[:100], "it holds no certificate"},
		"a plain key":       {publicText(p.signer.PublicKey()), "it holds no certificate"},
		"empty":             {nil, "it holds no certificate"},
		"binary":            {[]byte("\x00\xff\x1b[2J"), "it holds no certificate"},
	} {
		t.Run(name, func(t *testing.T) {
			to := remote.Target{Address: "127.0.0.1", IdentityFile: remotetest.WriteKey(t, p.key, "")}
			write(t, to.IdentityFile+"-cert.pub", test.content)
			to.Port = remotetest.Start(t, remotetest.Options{Authority: p.authority.PublicKey(), Authorized: []ssh.PublicKey{p.signer.PublicKey()}}).Port()
			dial(t, trusting(t), to)
			to.Port = remotetest.Start(t, remotetest.Options{Authority: p.authority.PublicKey()}).Port()
			err := dialError[*remote.AuthError](t, trusting(t), to)
			if !strings.Contains(err.Advice(), test.says) || !strings.Contains(err.Advice(), to.IdentityFile+"-cert.pub") {
				t.Errorf("advice lacks %q:\n%s", test.says, err.Advice())
			}
		})
	}
}

// The certificate goes first, and nothing twice.
func TestCertificateIsOfferedFirst(t *testing.T) {
	p := newPerson(t, "ed25519")
	s := remotetest.Start(t, remotetest.Options{Refuse: true})
	cert := p.cert(t)
	d, to := trusting(t), target(s)
	to.IdentityFile = remotetest.WriteKey(t, p.key, "")
	write(t, to.IdentityFile+"-cert.pub", publicText(cert))
	d.AgentSocket = agentOf(t, agent.AddedKey{PrivateKey: p.key}, agent.AddedKey{PrivateKey: p.key, Certificate: cert})
	var types []string
	for _, key := range dialError[*remote.AuthError](t, d, to).Tried {
		types = append(types, key.Type)
	}
	if want := []string{ssh.CertAlgoED25519v01, ssh.KeyAlgoED25519}; !slices.Equal(types, want) {
		t.Errorf("offered %v, want %v", types, want)
	}
}

// A certificate in ssh's configuration takes the place of those beside.
func TestConfiguredCertificatesStandAlone(t *testing.T) {
	p := newPerson(t, "ed25519")
	s := remotetest.Start(t, remotetest.Options{Refuse: true})
	d := trusting(t)
	file := remotetest.WriteKey(t, p.key, "")
	write(t, file+"-cert.pub", publicText(p.cert(t, expired)))
	d.SSH = fakeSSH(t, "hostname 127.0.0.1", "identityfile "+file, "certificatefile "+write(t, filepath.Join(t.TempDir(), "c"), publicText(newPerson(t, "ecdsa").cert(t))))
	to := target(s)
	to.IdentityFile = ""
	err := dialError[*remote.AuthError](t, d, to)
	if len(err.Tried) != 1 || len(err.Skipped) != 1 || !strings.Contains(err.Skipped[0], "there is no private key for it") {
		t.Errorf("tried %+v, skipped %q", err.Tried, err.Skipped)
	}
}
