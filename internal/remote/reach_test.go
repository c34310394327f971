package remote_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/relayctl/relayctl/internal/remote"
	"github.com/relayctl/relayctl/internal/remote/remotetest"
)

func TestUnreachable(t *testing.T) {
	noName := func(context.Context, string, string) (net.Conn, error) {
		return nil, &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "gpu-9.example.com", IsNotFound: true}}
	}
	key := remotetest.WriteKey(t, remotetest.NewKey(t, "ed25519"), "")
	tests := []struct {
		name    string
		connect func(context.Context, string, string) (net.Conn, error)
		port    int
		want    remote.Reason
	}{
		{"no such name", noName, 22, remote.ReasonName},
		{"silent server", nil, remotetest.Start(t, remotetest.Options{Silent: true}).Port(), remote.ReasonSilent},
		{"silent after its version", nil, greeter(t, "SSH-2.0-OpenSSH_9.2p1\r\n", false), remote.ReasonStuck},
		{"silent in the log-in", nil, silentAtLogIn(t), remote.ReasonStuck},
		{"hangs up", nil, greeter(t, "", true), remote.ReasonLost},
		{"hangs up after its version", nil, greeter(t, "SSH-2.0-OpenSSH_9.2p1\r\n", true), remote.ReasonLost},
		{"web server", nil, greeter(t, "HTTP/1.1 400 Bad Request\r\n\r\n", true), remote.ReasonNotSSH},
		{"mail server", nil, greeter(t, "220 mx.example.com ESMTP\r\n", false), remote.ReasonNotSSH},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			d := trusting(t)
			d.Timeout = impatience
			d.Connect = test.connect
			begin := time.Now()
			err := dialError[*remote.UnreachableError](t, d, remote.Target{Address: "127.0.0.1", Port: test.port, IdentityFile: key})
			if err.Reason != test.want {
				t.Errorf("reason is %q, want %q (%v)", err.Reason, test.want, err)
			}
			if strings.Contains(err.Error(), "dial") || err.Advice() == "" {
				t.Errorf("says %q, advises %q", err, err.Advice())
			}
			if took := time.Since(begin); took > 30*time.Second { // a kernel would give up after minutes
				t.Errorf("it took %v, the deadline was %v", took, d.Timeout)
			}
		})
	}
}

// greeter answers every connection with a text, and then hangs up or waits.
func greeter(t *testing.T, text string, hangUp bool) int {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			io.WriteString(conn, text)
			if hangUp {
				conn.(*net.TCPConn).CloseWrite()
			}
			go func() {
				io.Copy(io.Discard, conn) // ends with the client
				conn.Close()
			}()
		}
	}()
	return listener.Addr().(*net.TCPAddr).Port
}

func silentAtLogIn(t *testing.T) int {
	t.Helper()
	started := make(chan *remotetest.Server, 1)
	s := remotetest.Start(t, remotetest.Options{On: func(point string) {
		if point == "auth" {
			s := <-started
			started <- s
			s.Freeze()
		}
	}})
	started <- s
	return s.Port()
}

// At whatever point the operator gives up, Dial and Start return at once, and
// a host that still answers keeps nothing.
func TestCancelledAnywhere(t *testing.T) {
	for _, silent := range []bool{false, true} {
		for _, point := range []string{"accept", "auth", "session", "exec", "sftp"} {
			name := point
			if silent {
				name += " on a host that went silent"
			}
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				cancelAt(t, point, silent)
			})
		}
	}
}

func cancelAt(t *testing.T, point string, silent bool) {
	ctx, cancel := context.WithCancel(soon(t))
	started := make(chan *remotetest.Server, 1)
	s := remotetest.Start(t, remotetest.Options{On: func(at string) {
		if at == point {
			s := <-started
			started <- s
			if silent {
				s.Freeze()
			}
			cancel()
		}
	}})
	started <- s
	begin := time.Now()
	host, err := trusting(t).Dial(ctx, target(s))
	if err == nil {
		_, err = host.Start(ctx, program(script{digest: "v1"}))
		defer host.Close()
	}
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v, want that it was cancelled", err)
	}
	if took := time.Since(begin); took > 30*time.Second {
		t.Errorf("it took %v", took)
	}
	if left := leftBehind(t, s); !silent && len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestGreetingNeverComes(t *testing.T) {
	t.Parallel()
	s := remotetest.Start(t, remotetest.Options{})
	install(t, s, "#!/bin/sh\nexec cat\n")
	d := trusting(t)
	d.Timeout = impatience
	err := startError[*remote.StartError](t, dial(t, d, target(s)), program(script{digest: "v1"}))
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error is %v, want that time ran out", err)
	}
}

func TestConnectionLost(t *testing.T) {
	for name, lose := range map[string]func(*remotetest.Server){
		"broken": (*remotetest.Server).Drop,
		"silent": (*remotetest.Server).Freeze,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := remotetest.Start(t, remotetest.Options{})
			d := trusting(t)
			d.KeepAlive = 200 * time.Millisecond
			host := dial(t, d, target(s))
			session, err := host.Start(t.Context(), program(script{digest: "v1"}))
			if err != nil {
				t.Fatal(err)
			}
			lose(s)
			lost := as[*remote.LostError](t, session.Wait(soon(t)))
			if n, err := session.Read(make([]byte, 1)); n > 0 || err == nil {
				t.Errorf("read %d bytes, %v after the loss", n, err)
			}
			if lost.Address == "" || lost.Err == nil {
				t.Errorf("error is %v", lost)
			}
			startError[*remote.LostError](t, host, program(script{digest: "v1"}))
		})
	}
}
