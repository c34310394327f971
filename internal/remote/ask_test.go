package remote_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/relayctl/relayctl/internal/remote"
	"github.com/relayctl/relayctl/internal/remote/remotetest"
	"github.com/relayctl/relayctl/internal/secret"
)

// operator answers what is asked, in turn, and keeps the questions.
type operator struct {
	mu      sync.Mutex
	answers []string
	asked   []remote.Question
	first   func() // called before the first answer
}

var errNoTerminal = errors.New("there is no terminal")

func (o *operator) ask(_ context.Context, q remote.Question) (secret.Value, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.asked = append(o.asked, q); len(o.asked) == 1 && o.first != nil {
		o.first()
	}
	if len(o.asked) > len(o.answers) {
		return secret.Value{}, errNoTerminal
	}
	return secret.New(o.answers[len(o.asked)-1]), nil
}

// asking is a Dialer whose operator has answers.
func asking(t *testing.T, answers ...string) (*remote.Dialer, *operator) {
	t.Helper()
	d, o := trusting(t), &operator{answers: answers}
	d.Ask = o.ask
	return d, o
}

// A key is opened once, however many hosts want it, and only for who knows it.
func TestPassphraseIsAskedOnce(t *testing.T) {
	key := remotetest.NewKey(t, "rsa").(*rsa.PrivateKey)
	//lint:ignore SA1019 people still have such keys
	old, err := x509.EncryptPEMBlock(rand.Reader, "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key), []byte("geheim"), x509.PEMCipherAES128)
	if err != nil {
		t.Fatal(err)
	}
	for name, file := range map[string]string{
		"OpenSSH's":             remotetest.WriteKey(t, key, "geheim"),
		"PEM, its public half?": write(t, filepath.Join(t.TempDir(), "id"), pem.EncodeToMemory(old)),
	} {
		t.Run(name, func(t *testing.T) {
			d, o := asking(t, "wrong", "geheim")
			var dialling sync.WaitGroup
			for range 8 {
				s := remotetest.Start(t, remotetest.Options{Authorized: []ssh.PublicKey{public(t, key)}})
				to := target(s)
				to.IdentityFile = file
				dialling.Go(func() {
					host, err := d.Dial(t.Context(), to)
					if err != nil {
						t.Error(err)
						return
					}
					host.Close()
				})
			}
			dialling.Wait()
			if len(o.asked) != 2 || o.asked[0].For != remote.Passphrase || o.asked[0].File != file || o.asked[0].Echo {
				t.Errorf("asked %+v", o.asked)
			}
		})
	}
	t.Run("nobody knows it", func(t *testing.T) {
		d, o := asking(t, "geheim")
		to := target(remotetest.Start(t, remotetest.Options{}))
		to.IdentityFile = remotetest.WriteKey(t, key, "geheim")
		if err := dialError[*remote.AuthError](t, d, to); err.Reason != remote.ReasonKeys || len(o.asked) != 0 {
			t.Errorf("error is %v; asked %+v", err, o.asked)
		}
	})
}

// What is wrong with an answer is told, and what nobody can be asked for.
func TestPassphraseInVain(t *testing.T) {
	for name, test := range map[string]struct {
		answers []string
		asked   int
		says    string
	}{
		"mistyped":    {[]string{"a", "b", "c"}, 3, "can't sign: the passphrase does not open it"},
		"no terminal": {nil, 1, "as ops: there is no terminal"},
	} {
		t.Run(name, func(t *testing.T) {
			key := remotetest.NewKey(t, "ed25519")
			s := remotetest.Start(t, remotetest.Options{Authorized: []ssh.PublicKey{public(t, key)}})
			d, o := asking(t, test.answers...)
			to := target(s)
			to.IdentityFile = remotetest.WriteKey(t, key, "geheim")
			for range 2 { // the second one is not asked again
				err := dialError[*remote.AuthError](t, d, to)
				if err.Reason != remote.ReasonUnanswered || !strings.Contains(err.Error()+err.Advice(), test.says) {
					t.Errorf("error is %v\n%s", err, err.Advice())
				}
			}
			if len(o.asked) != test.asked {
				t.Errorf("asked %d times, want %d", len(o.asked), test.asked)
			}
		})
	}
}

// Passwords are for who has nothing else.
func TestPassword(t *testing.T) {
	const right = "geheim"
	for name, test := range map[string]struct {
		options remotetest.Options
		lines   []string // of ssh's configuration
		answers []string
		asked   []remote.Purpose
		says    string // "": it logs in
	}{
		"of SSH":            {remotetest.Options{PasswordOnly: true}, nil, []string{right}, []remote.Purpose{remote.Password}, ""},
		"of PAM":            {remotetest.Options{PasswordOnly: true, Questions: []string{"Password: "}}, nil, []string{right}, []remote.Purpose{remote.Password}, ""},
		"beside a key":      {remotetest.Options{MoreThanKey: true}, nil, []string{right}, []remote.Purpose{remote.Password}, ""},
		"a code":            {remotetest.Options{MoreThanKey: true, Questions: []string{"Verification code: "}}, nil, []string{right, right}, []remote.Purpose{remote.Challenge, remote.Challenge}, ""},
		"two questions":     {remotetest.Options{PasswordOnly: true, Questions: []string{"Password: ", "Code: "}}, nil, []string{right, right, right, right}, []remote.Purpose{remote.Challenge, remote.Challenge, remote.Challenge, remote.Challenge}, ""},
		"the key is enough": {remotetest.Options{}, nil, nil, nil, ""},
		"wrong":             {remotetest.Options{PasswordOnly: true}, nil, []string{"wrong", right}, []remote.Purpose{remote.Password}, "did not take the "},
		"wrong for PAM":     {remotetest.Options{PasswordOnly: true, Questions: []string{"Password: "}}, nil, []string{"wrong", right}, []remote.Purpose{remote.Password}, "did not take the "},
		"nobody is there":   {remotetest.Options{PasswordOnly: true}, nil, nil, []remote.Purpose{remote.Password}, "there is no terminal"},
		"not to be asked":   {remotetest.Options{PasswordOnly: true}, []string{"batchmode yes"}, nil, nil, "the server takes no keys: password"},
		"not wanted":        {remotetest.Options{PasswordOnly: true}, []string{"passwordauthentication no"}, nil, nil, "the server takes no keys: password"},
		"another preferred": {remotetest.Options{PasswordOnly: true}, []string{"preferredauthentications publickey"}, nil, nil, "the server takes no keys: password"},
		"no keys wanted":    {remotetest.Options{}, []string{"preferredauthentications password"}, nil, nil, "there is no key to offer"},
	} {
		t.Run(name, func(t *testing.T) {
			test.options.Password = right
			s := remotetest.Start(t, test.options)
			d, o := asking(t, test.answers...)
			d.SSH = fakeSSH(t, append(test.lines, "hostname 127.0.0.1")...)
			for range 2 { // a password that was right, or wrong, is known by then
				host, err := d.Dial(t.Context(), target(s))
				switch {
				case err == nil:
					host.Close()
					if test.says != "" {
						t.Error("it logged in")
					}
				case test.says == "" || !strings.Contains(err.Error(), test.says):
					t.Errorf("error is %v, want in it %q", err, test.says)
				}
			}
			var asked []remote.Purpose
			for _, q := range o.asked {
				asked = append(asked, q.For)
				if q.User != "ops" || q.Address != fmt.Sprintf("127.0.0.1:%d", s.Port()) || len(q.Hosts) != 1 {
					t.Errorf("asked %+v", q)
				}
			}
			if fmt.Sprint(asked) != fmt.Sprint(test.asked) {
				t.Errorf("asked for %v, want %v", asked, test.asked)
			}
			if strings.HasPrefix(name, "wrong") && s.Guesses() != 1 {
				t.Errorf("%d passwords were tried, want one", s.Guesses())
			}
		})
	}
}

// The operator's time is no time of the host's, and one that hangs up meanwhile
// is dialled again with what was answered.
func TestOperatorTakesTime(t *testing.T) {
	key := remotetest.NewKey(t, "ed25519")
	file := remotetest.WriteKey(t, key, "geheim")
	for name, hangsUp := range map[string]bool{"the host waits": false, "the host hangs up": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				network := newPipes()
				s := remotetest.Start(t, remotetest.Options{Listener: network, Authorized: []ssh.PublicKey{public(t, key)}})
				d, o := asking(t, "geheim", "geheim")
				d.Connect = network.dial
				o.first = func() {
					time.Sleep(time.Hour)
					if hangsUp {
						s.Drop()
						time.Sleep(time.Second)
					}
				}
				to := target(s)
				to.IdentityFile = file
				dial(t, d, to).Close()
				if connections := s.Connections(); len(o.asked) != 1 || (connections == 2) != hangsUp {
					t.Errorf("asked %d times, %d connections", len(o.asked), connections)
				}
			})
		})
	}
}

// As ssh, relayctl takes no private key that others may read.
func TestKeyThatOthersMayRead(t *testing.T) {
	for mode, taken := range map[os.FileMode]bool{0o600: true, 0o400: true, 0o640: false, 0o604: false, 0o660: false} {
		s := remotetest.Start(t, remotetest.Options{})
		if err := os.Chmod(s.KeyFile, mode); err != nil {
			t.Fatal(err)
		}
		host, err := trusting(t).Dial(t.Context(), target(s))
		if err == nil {
			host.Close()
		}
		want := fmt.Sprintf("use identity_file %s: others may read it (mode %04o), and ssh takes no such key: chmod 600 %s", s.KeyFile, mode, s.KeyFile)
		if taken != (err == nil) || !taken && err.Error() != want {
			t.Errorf("mode %o: error is %v, want %s", mode, err, want)
		}
	}
}

// touchAgent holds a security key, which waits to be touched.
type touchAgent struct {
	agent.Agent
	key    ed25519.PrivateKey
	public ssh.PublicKey
	touch  func()
}

func newTouchAgent(t *testing.T, touch func()) touchAgent {
	t.Helper()
	key := remotetest.NewKey(t, "ed25519").(ed25519.PrivateKey)
	public, err := ssh.ParsePublicKey(ssh.Marshal(struct {
		Type        string
		Key         []byte
		Application string
	}{ssh.KeyAlgoSKED25519, key.Public().(ed25519.PublicKey), "ssh:"}))
	if err != nil {
		t.Fatal(err)
	}
	return touchAgent{agent.NewKeyring(), key, public, touch}
}

func (a touchAgent) List() ([]*agent.Key, error) {
	return []*agent.Key{{Format: a.public.Type(), Blob: a.public.Marshal()}}, nil
}

// Sign signs as the PROTOCOL.u2f of OpenSSH has it.
func (a touchAgent) Sign(_ ssh.PublicKey, data []byte) (*ssh.Signature, error) {
	a.touch()
	application, message := sha256.Sum256([]byte("ssh:")), sha256.Sum256(data)
	rest := []byte{1, 0, 0, 0, 7} // touched, and a counter
	signed := append(append(application[:], rest...), message[:]...)
	return &ssh.Signature{Format: a.public.Type(), Blob: ed25519.Sign(a.key, signed), Rest: rest}, nil
}

// A security key in the agent is waited for, and that is told.
func TestSecurityKey(t *testing.T) {
	told := make(chan remote.Wait, 1)
	held := newTouchAgent(t, func() {
		wait := <-told
		if !strings.HasPrefix(wait.For, "the security key SHA256:") || !strings.HasSuffix(wait.For, " to be touched") {
			t.Errorf("told %+v", wait)
		}
	})
	s := remotetest.Start(t, remotetest.Options{Authorized: []ssh.PublicKey{held.public}})
	d := trusting(t)
	d.AgentSocket = serveSocket(t, func(conn net.Conn) { agent.ServeAgent(held, conn) })
	d.OnWait = func(wait remote.Wait) { told <- wait }
	to := target(s)
	to.IdentityFile = ""
	dial(t, d, to)
}

// The same address behind another hop is another host.
func TestPasswordIsForOneHost(t *testing.T) {
	s := remotetest.Start(t, remotetest.Options{PasswordOnly: true, Password: "geheim"})
	d, o := asking(t, "geheim", "geheim")
	for range 2 {
		hop := hopTo(remotetest.Start(t, remotetest.Options{Forward: true}), "bastion")
		for range 2 {
			dial(t, d, behind(s, hop))
		}
	}
	if len(o.asked) != 2 {
		t.Errorf("asked %d times, want once for each way", len(o.asked))
	}
}
