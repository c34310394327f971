package remote

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// Dialer is what the operator's machine brings to every connection. The zero
// Dialer uses nothing of the environment; NewDialer fills it in.
type Dialer struct {
	User        string   // logs in where neither stack nor ssh's configuration names a user
	Home        string   // for "~/" and the default keys
	AgentSocket string   // path of the ssh agent's socket; "" for none
	SSH         string   // path of the ssh program, asked with -G what its configuration says; "" for none
	KnownHosts  []string // files in known_hosts form; nil means ssh's own; new keys go to the first

	AcceptNewHostKeys bool             // take the key of a host that known_hosts doesn't list, and list it
	OnNewHostKey      func(NewHostKey) // told of each key so taken; may be called from several goroutines
	OnWait            func(Wait)       // told each time a host is waited for; may be called from several goroutines
	OnNotFollowed     func(string)     // told, once each, what ssh's configuration sets that relayctl does not follow
	Ask               Ask              // for what only the operator knows; nil: nobody can be asked

	Timeout   time.Duration // for a whole connection attempt, log-in included, and for a program's greeting; 0 means 15 s
	KeepAlive time.Duration // between signs of life; the third missing in a row closes the connection; 0 means 10 s

	// Connect makes the connection under SSH; nil means TCP.
	Connect func(ctx context.Context, network, address string) (net.Conn, error)
}

// NewDialer is a Dialer as ssh itself would find things: the user's home, which
// is the account's whatever HOME says, agent and configuration.
func NewDialer() (*Dialer, error) {
	me, err := user.Current()
	if err != nil {
		return nil, fmt.Errorf("find out who runs relayctl: %w", err)
	}
	ssh, err := exec.LookPath("ssh")
	if err != nil {
		ssh = "" // its configuration is then not there to be asked for either
	}
	return &Dialer{User: me.Username, Home: me.HomeDir, AgentSocket: os.Getenv("SSH_AUTH_SOCK"), SSH: ssh}, nil
}

// Dial opens the way to one host. It fails with one of this package's error
// types, and by the end of ctx or Timeout at the latest. Only a host that says
// it boots or goes down is waited for, up to a minute more.
func (d *Dialer) Dial(ctx context.Context, t Target) (*Host, error) {
	if err := t.check(); err != nil {
		return nil, err
	}
	if t.Address == Local {
		return dialLocal(t, d.timeout()), nil
	}
	return d.dialPatiently(ctx, t)
}

// Wait tells of a host that is waited for.
type Wait struct {
	Host string // the target's name
	For  string // "it to let users log in: it is booting"
}

// While a host boots or goes down, systemd has pam_nologin let in nobody but
// root, which passes by itself. sshd counts each refusal against the caller for
// 5 s (PerSourcePenalties), so to ask again any sooner would end in a ban.
const (
	bootPatience = time.Minute
	bootPause    = 6 * time.Second
)

// passing are systemd's words in /run/nologin. Whatever else stands there was
// written by somebody, who knows how long it is to last.
var passing = regexp.MustCompile("System is booting up|System is going down")

// dialPatiently dials until a host has booted that says it boots or goes down.
// One that goes down is not there for a while.
func (d *Dialer) dialPatiently(ctx context.Context, t Target) (*Host, error) {
	began, why := time.Now(), ""
	for {
		host, err := d.dialOnce(ctx, t)
		var refused *AuthError
		var away *UnreachableError
		switch {
		case errors.As(err, &refused) && refused.Reason == ReasonAccount && passing.MatchString(refused.Banner):
			why = passing.FindString(refused.Banner)
		case why == "" || !errors.As(err, &away):
			return host, err
		}
		if waited := time.Since(began); waited+bootPause > bootPatience {
			return nil, fmt.Errorf("%w (waited %.0f s for it, since it said: %s; there, systemctl list-jobs tells what for)", err, waited.Seconds(), why)
		}
		if d.OnWait != nil {
			d.OnWait(Wait{Host: t.Name, For: "it to let users log in: " + why})
		}
		if err := pause(ctx, bootPause); err != nil {
			return nil, fmt.Errorf("wait for %s to let users log in: %w", t.Address, err)
		}
	}
}

// pause waits; the error is the cause of ctx, where that ends first.
func pause(ctx context.Context, long time.Duration) error {
	timer := time.NewTimer(long)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// dialOnce finds the way and opens it, or fails by Timeout.
func (d *Dialer) dialOnce(ctx context.Context, t Target) (*Host, error) {
	ctx, cancel := context.WithTimeout(ctx, d.timeout())
	defer cancel()
	way, err := d.route(ctx, t)
	if err != nil {
		return nil, err
	}
	return d.connect(ctx, way)
}

func (d *Dialer) timeout() time.Duration   { return cmp.Or(d.Timeout, 15*time.Second) }
func (d *Dialer) keepAlive() time.Duration { return cmp.Or(d.KeepAlive, 10*time.Second) }

// expand replaces a leading "~/".
func (d *Dialer) expand(path string) string {
	if rest, ok := strings.CutPrefix(path, "~/"); ok {
		return filepath.Join(d.Home, rest)
	}
	return path
}
