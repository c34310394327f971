package remote

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Dialer is what the operator's machine brings to every connection. The zero
// Dialer uses nothing of the environment; NewDialer fills it in.
type Dialer struct {
	User        string   // logs in where neither stack nor ssh's configuration names a user
	Home        string   // for "~/" and the default keys
	AgentSocket string   // path of the ssh agent's socket; "" for none
	SSH         string   // path of the ssh program, asked with -G what its configuration says; "" has it be read from the files
	SSHConfig   string   // path of the machine's file of ssh's configuration, where there is no ssh to ask; "" for none
	KnownHosts  []string // files in known_hosts form; nil means ssh's own; new keys go to the first

	AcceptNewHostKeys bool             // take the key of a host that known_hosts doesn't list, and list it
	OnNewHostKey      func(NewHostKey) // told of each key so taken; may be called from several goroutines
	OnWait            func(Wait)       // told each time a host is waited for; may be called from several goroutines
	OnNotFollowed     func(string)     // told, once each, what ssh's configuration sets that relayctl does not follow
	Ask               Ask              // for what only the operator knows; nil: nobody can be asked

	Timeout   time.Duration // for a whole connection attempt, log-in included, and for a program's greeting; 0 means 15 s, or ssh's ConnectTimeout
	KeepAlive time.Duration // between signs of life; the third missing in a row closes the connection; 0 means 7 s: so whoever falls silent is found out here, before relay-host is missed

	// Connect makes the connection under SSH; nil means TCP.
	Connect func(ctx context.Context, network, address string) (net.Conn, error)

	hops hops
	ring keyring
	told sync.Map // what OnNotFollowed was told
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
		ssh = ""
	}
	return &Dialer{User: me.Username, Home: me.HomeDir, AgentSocket: os.Getenv("SSH_AUTH_SOCK"), SSH: ssh, SSHConfig: "/etc/ssh/ssh_config"}, nil
}

// Dial opens the way to one host. It fails with one of this package's error
// types, and by the end of ctx or Timeout at the latest, for each host that the
// way leads through; the operator's time to answer does not count. A host that
// says it boots or goes down is waited for, up to a minute more, and one that
// refuses connections for some seconds.
func (d *Dialer) Dial(ctx context.Context, t Target) (*Host, error) {
	if err := t.check(); err != nil {
		return nil, err
	}
	if t.Address == Local {
		return dialLocal(t, d.timeout()), nil
	}
	ways, err := d.waysTo(ctx, t, nil)
	if err != nil {
		return nil, err
	}
	way, before := ways[len(ways)-1], ways[:len(ways)-1]
	via, err := d.through(ctx, t, before)
	if err != nil {
		return nil, fmt.Errorf("reach %s: %w", way.address, err)
	}
	machine, err := d.openPatiently(ctx, t, way, via)
	if err != nil {
		via.release()
		if via != nil {
			err = fmt.Errorf("%w, through %s", err, names(before))
		}
		return nil, err
	}
	return &Host{target: t, user: way.user, root: way.user == "root", greetIn: d.timeout(), way: machine}, nil
}

func (d *Dialer) timeout() time.Duration   { return cmp.Or(d.Timeout, 15*time.Second) }
func (d *Dialer) keepAlive() time.Duration { return cmp.Or(d.KeepAlive, 7*time.Second) }

// expand replaces a leading "~/".
func (d *Dialer) expand(path string) string {
	if rest, ok := strings.CutPrefix(path, "~/"); ok {
		return filepath.Join(d.Home, rest)
	}
	return path
}
