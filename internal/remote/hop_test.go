package remote_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/relayctl/relayctl/internal/remote"
	"github.com/relayctl/relayctl/internal/remote/remotetest"
)

// hopTo is a server as a hop.
func hopTo(s *remotetest.Server, name string) remote.Target {
	hop := target(s)
	hop.Name = name
	return hop
}

// behind is a server that is reached through others.
func behind(s *remotetest.Server, jump ...remote.Target) remote.Target {
	to := target(s)
	to.Jump = jump
	return to
}

func mustStart(t *testing.T, host *remote.Host) *remote.Session {
	t.Helper()
	session, err := host.Start(t.Context(), program(script{digest: "v1"}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { session.Close() })
	return session
}

// Each hop has its own user, port, key and host key.
func TestThroughTwoHops(t *testing.T) {
	outer, inner, s := remotetest.Start(t, remotetest.Options{Forward: true}), remotetest.Start(t, remotetest.Options{Forward: true}), remotetest.Start(t, remotetest.Options{})
	d := trusting(t)
	first, second := hopTo(outer, "outer"), hopTo(inner, "inner")
	first.User, second.User = "jumper", "other"
	first.HostKey = ssh.FingerprintSHA256(outer.HostKeys[0])
	host := dial(t, d, behind(s, first, second))
	mustStart(t, host)
	if outer.Forwarded() != 1 || inner.Forwarded() != 1 || s.Connections() != 1 {
		t.Errorf("outer forwarded %d, inner %d; %d connections", outer.Forwarded(), inner.Forwarded(), s.Connections())
	}
	known, err := os.ReadFile(d.KnownHosts[0])
	if err != nil || strings.Count(string(known), "\n") != 2 {
		t.Errorf("known_hosts is %q, %v; want the keys of the inner hop and of the host", known, err)
	}
}

// Hosts behind one bastion share the one connection to it, which ends with the
// last of them, and is made anew for whoever comes later.
func TestTwentyHostsBehindOneBastion(t *testing.T) {
	bastion := remotetest.Start(t, remotetest.Options{Forward: true})
	d := trusting(t)
	hosts := make([]*remote.Host, 20)
	var dialling sync.WaitGroup
	for i := range hosts {
		s := remotetest.Start(t, remotetest.Options{})
		dialling.Go(func() {
			host, err := d.Dial(t.Context(), behind(s, hopTo(bastion, "bastion")))
			if err != nil {
				t.Error(err)
			}
			hosts[i] = host
		})
	}
	dialling.Wait()
	if t.Failed() {
		return
	}
	if bastion.Connections() != 1 || bastion.Forwarded() != len(hosts) {
		t.Errorf("the bastion saw %d connections and forwarded %d", bastion.Connections(), bastion.Forwarded())
	}
	for _, host := range hosts {
		mustStart(t, host)
	}
	for _, host := range hosts {
		if err := host.Close(); err != nil {
			t.Error(err)
		}
	}
	dial(t, d, behind(remotetest.Start(t, remotetest.Options{}), hopTo(bastion, "bastion")))
	if bastion.Connections() != 2 {
		t.Errorf("the bastion saw %d connections, want another one", bastion.Connections())
	}
}

// An error says which hop it is about, and what to do there.
func TestHopErrors(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nowhere := remote.Target{Name: "edge", Address: "127.0.0.1", Port: closed.Addr().(*net.TCPAddr).Port}
	closed.Close()
	good := remotetest.Start(t, remotetest.Options{Forward: true})
	s := remotetest.Start(t, remotetest.Options{})
	deaf := remotetest.Start(t, remotetest.Options{Refuse: true})
	pinned := hopTo(good, "bastion")
	pinned.HostKey = "SHA256:" + strings.Repeat("a", 43)
	through := func(to remote.Target, jump ...remote.Target) remote.Target {
		to.IdentityFile, to.Jump = s.KeyFile, jump
		return to
	}
	for name, test := range map[string]struct {
		to     remote.Target
		says   []string
		advice string
	}{
		"the hop refuses the key": {behind(s, hopTo(deaf, "bastion")),
			[]string{fmt.Sprintf("reach 127.0.0.1:%d: go through bastion: log in to 127.0.0.1:%d as ops: the server did not take the key", s.Port(), deaf.Port())},
			"name another user or IdentityFile in ~/.ssh/config"},
		"the hop is another": {behind(s, pinned),
			[]string{"go through bastion: verify host key of", "pinned is"}, "change host_key"},
		"the hop does not let through": {behind(deaf, hopTo(s, "bastion")),
			[]string{fmt.Sprintf("reach 127.0.0.1:%d: 127.0.0.1:%d lets no connection through: open failed, through bastion", deaf.Port(), s.Port())}, "AllowTcpForwarding"},
		"nothing listens behind the hop": {through(nowhere, hopTo(good, "bastion")),
			[]string{"the host in between can't connect to it; it says: Connection refused, through bastion"}, "as the host in between sees it"},
		"the host behind refuses the key": {behind(deaf, hopTo(good, "bastion")),
			[]string{"the server did not take the key, through bastion"}, "identity_file in its ssh block"},
		"the second hop fails": {behind(s, hopTo(good, "one"), hopTo(deaf, "two")),
			[]string{"go through two: log in to"}, "IdentityFile"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := trusting(t).Dial(t.Context(), test.to)
			if err == nil {
				t.Fatal("Dial worked")
			}
			for _, says := range test.says {
				if !strings.Contains(err.Error(), says) {
					t.Errorf("error is %v\nwant in it %q", err, says)
				}
			}
			var adviser interface{ Advice() string }
			if !errors.As(err, &adviser) || !strings.Contains(adviser.Advice(), test.advice) {
				t.Errorf("no advice about %q", test.advice)
			}
		})
	}
}

// A bastion that breaks off, or falls silent, is what is told, to all behind it.
func TestBastionIsLost(t *testing.T) {
	for name, lose := range map[string]func(*remotetest.Server){
		"broken": (*remotetest.Server).Drop,
		"silent": (*remotetest.Server).Freeze,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bastion := remotetest.Start(t, remotetest.Options{Forward: true})
			d := trusting(t)
			d.KeepAlive = 200 * time.Millisecond
			var sessions []*remote.Session
			for range 2 {
				sessions = append(sessions, mustStart(t, dial(t, d, behind(remotetest.Start(t, remotetest.Options{}), hopTo(bastion, "bastion")))))
			}
			lose(bastion)
			for _, session := range sessions {
				lost := as[*remote.LostError](t, session.Wait(soon(t)))
				if want := fmt.Sprintf(" lost: connection to 127.0.0.1:%d lost", bastion.Port()); !strings.Contains(lost.Error(), want) {
					t.Errorf("error is %v, want in it %q", lost, want)
				}
			}
			if name == "broken" {
				mustStart(t, dial(t, d, behind(remotetest.Start(t, remotetest.Options{}), hopTo(bastion, "bastion"))))
			}
		})
	}
}

// Whoever gives up while a bastion is silent is not kept.
func TestCancelledBehindSilentBastion(t *testing.T) {
	ctx, cancel := context.WithCancel(soon(t))
	bastion := remotetest.Start(t, remotetest.Options{Forward: true})
	s := remotetest.Start(t, remotetest.Options{On: func(point string) {
		if point == "auth" {
			bastion.Freeze()
			cancel()
		}
	}})
	begin := time.Now()
	if _, err := trusting(t).Dial(ctx, behind(s, hopTo(bastion, "bastion"))); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v, want that it was cancelled", err)
	}
	if took := time.Since(begin); took > 15*time.Second { // its silence would be noticed after 21 s
		t.Errorf("it took %v", took)
	}
}

// ssh's configuration may have the hops, and a command that connects.
func TestWaysOfSSHConfiguration(t *testing.T) {
	bastion, s := remotetest.Start(t, remotetest.Options{Forward: true}), remotetest.Start(t, remotetest.Options{})
	connect, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(connectVariable, "1")
	t.Setenv("RELAYCTL_SUDO_PASSWORD", "hunter22")
	environment := filepath.Join(t.TempDir(), "environment")
	for name, test := range map[string]struct {
		lines     string // for the host; the hop has none
		forwarded int
		says      string // "": it connects
	}{
		"a jump":              {fmt.Sprintf("proxyjump ops@127.0.0.1:%d", bastion.Port()), 1, ""},
		"a jump as URI":       {fmt.Sprintf("proxyjump ssh://ops@127.0.0.1:%d", bastion.Port()), 1, ""},
		"a command":           {"proxycommand sh -c 'env > " + environment + "; exec " + connect + " %h %p'", 0, ""},
		"a command that ends": {"proxycommand echo no such bastion >&2", 0, "its ProxyCommand ended; it says: no such bastion"},
		"a circle":            {"proxyjump edge", 0, "the way there goes round in circles: edge, then edge"},
	} {
		t.Run(name, func(t *testing.T) {
			d, before := trusting(t), bastion.Forwarded()
			d.SSH = sshByHost(t, map[string][]string{
				"edge":      {"hostname 127.0.0.1", "port " + strconv.Itoa(s.Port()), "identityfile " + s.KeyFile, test.lines},
				"127.0.0.1": {"hostname 127.0.0.1", "identityfile " + bastion.KeyFile},
			})
			host, err := d.Dial(t.Context(), remote.Target{Name: "edge", Address: "edge"})
			if test.says != "" {
				if err == nil || !strings.Contains(err.Error(), test.says) {
					t.Fatalf("error is %v, want in it %q", err, test.says)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer host.Close()
			mustStart(t, host)
			if got := bastion.Forwarded() - before; got != test.forwarded {
				t.Errorf("the bastion forwarded %d connections, want %d", got, test.forwarded)
			}
		})
	}
	if told, err := os.ReadFile(environment); err != nil || len(told) == 0 || strings.Contains(string(told), "hunter22") {
		t.Errorf("the command's environment, %v, has relayctl's secrets", err)
	}
}

// Directly means directly, and the stack's hops overrule those of ssh.
func TestStackOverrulesJumps(t *testing.T) {
	bastion, s := remotetest.Start(t, remotetest.Options{Forward: true}), remotetest.Start(t, remotetest.Options{})
	d := trusting(t)
	d.SSH = sshByHost(t, map[string][]string{"127.0.0.1": {"hostname 127.0.0.1", "proxyjump nowhere.invalid"}})
	to, hop := target(s), hopTo(bastion, "bastion")
	to.Direct, hop.Direct = true, true
	dial(t, d, to)
	to.Direct, to.Jump = false, []remote.Target{hop}
	dial(t, d, to)
	if bastion.Forwarded() != 1 {
		t.Errorf("the bastion forwarded %d connections, want 1", bastion.Forwarded())
	}
}

// The key that the stack names is offered to a hop as well, beside the hop's own.
func TestKeyForHop(t *testing.T) {
	key := remotetest.NewKey(t, "ed25519")
	bastion := remotetest.Start(t, remotetest.Options{Forward: true, Authorized: []ssh.PublicKey{public(t, key)}})
	s := remotetest.Start(t, remotetest.Options{})
	d := trusting(t)
	d.SSH = fakeSSH(t, "hostname 127.0.0.1", "identityfile "+remotetest.WriteKey(t, key, ""))
	hop := remote.Target{Name: "bastion", Address: "127.0.0.1", Port: bastion.Port(), IdentityFile: s.KeyFile, BesidesOthers: true}
	dial(t, d, behind(s, hop))
}

// sshByHost is an ssh program that answers -G with lines for each host.
func sshByHost(t *testing.T, hosts map[string][]string) string {
	t.Helper()
	text := "#!/bin/sh\nfor host; do :; done\ncase $host in\n"
	for host, lines := range hosts {
		text += host + ") cat <<'EOF'\n" + strings.Join(slices.DeleteFunc(lines, func(line string) bool { return line == "" }), "\n") + "\nEOF\n;;\n"
	}
	file := filepath.Join(t.TempDir(), "ssh")
	if err := os.WriteFile(file, []byte(text+"esac\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return file
}

// A hop that lets nobody in is asked once in a run, however many hosts are
// behind it and whenever they come.
func TestHopThatFailsIsAskedOnce(t *testing.T) {
	deaf, s := remotetest.Start(t, remotetest.Options{Refuse: true}), remotetest.Start(t, remotetest.Options{})
	d := trusting(t)
	for range 5 {
		if err := dialError[*remote.AuthError](t, d, behind(s, hopTo(deaf, "bastion"))); !err.Hop {
			t.Errorf("error is %v", err)
		}
	}
	if deaf.Connections() != 1 {
		t.Errorf("the hop saw %d connections, want one", deaf.Connections())
	}
}

// A hop that refuses connections is waited for once, for all that are behind it.
func TestHopThatRefusesIsWaitedForOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		bastion, behindIt, attempts := newPipes(), newPipes(), atomic.Int64{}
		gate := remotetest.Start(t, remotetest.Options{Listener: bastion, Forward: true,
			Connect: func(address string) (net.Conn, error) { return behindIt.dial(t.Context(), "", address) }})
		s := remotetest.Start(t, remotetest.Options{Listener: behindIt})
		d := trusting(t)
		hop, to := hopTo(gate, "bastion"), target(s)
		hop.HostKey, to.HostKey = ssh.FingerprintSHA256(gate.HostKeys[0]), ssh.FingerprintSHA256(s.HostKeys[0])
		to.Jump = []remote.Target{hop}
		var told atomic.Value
		d.OnWait = func(wait remote.Wait) { told.Store(wait) }
		d.Connect = func(ctx context.Context, network, address string) (net.Conn, error) {
			if attempts.Add(1) < 3 {
				return nil, syscall.ECONNREFUSED
			}
			return bastion.dial(ctx, network, address)
		}
		var dialling sync.WaitGroup
		for i := range 4 {
			dialling.Go(func() {
				time.Sleep(time.Duration(i) * time.Second) // they come one after another
				host, err := d.Dial(t.Context(), to)
				if err != nil {
					t.Error(err)
					return
				}
				time.Sleep(time.Minute)
				host.Close()
			})
		}
		dialling.Wait()
		if attempts.Load() != 3 {
			t.Errorf("the hop saw %d connections, want 3", attempts.Load())
		}
		if wait, _ := told.Load().(remote.Wait); wait.For != "the sshd of bastion to take connections: the connection was refused" {
			t.Errorf("told %+v", wait)
		}
	})
}
