package engine

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
	"github.com/relayctl/relayctl/internal/remote"
)

// relayHost is the program that relayctl talks to on a host.
const relayHost = "relay-host"

// remoteDialer reaches hosts by SSH, and this machine without.
type remoteDialer struct {
	dialer   *remote.Dialer
	programs Programs
	teller   *teller
}

func newRemoteDialer(config Config, teller *teller) (*remoteDialer, error) {
	dialer, err := remote.NewDialer()
	if err != nil {
		return nil, err
	}
	if config.KnownHosts != "" {
		dialer.KnownHosts = []string{config.KnownHosts}
	}
	dialer.AcceptNewHostKeys = config.AcceptNewHostKeys
	dialer.Connect = config.ConnectSSH
	dialer.OnNewHostKey = func(key remote.NewHostKey) {
		teller.tell(Event{Host: key.Host, Phase: NewHostKey, Text: fmt.Sprintf("%s %s, added to %s", key.KeyType, key.Fingerprint, key.File)})
	}
	return &remoteDialer{dialer: dialer, programs: config.Programs, teller: teller}, nil
}

// Dial implements Dialer.
func (d *remoteDialer) Dial(ctx context.Context, target Target) (*Conversation, error) {
	way, err := d.dialer.Dial(ctx, remote.Target{
		Name: target.Name, Address: target.Address, User: target.User, Port: target.Port,
		IdentityFile: target.IdentityFile, HostKey: target.HostKey, Sudo: remote.Sudo(target.Sudo),
	})
	if err != nil {
		return nil, err
	}
	var hello hostapi.Hello
	session, err := way.Start(ctx, remote.Program{
		Name:   relayHost,
		Source: carried{d.programs, relayHost},
		Greet: func(r *bufio.Reader) (string, error) {
			var err error
			hello, err = hostapi.ReadGreeting(r)
			return hello.Digest, err
		},
		Uploading: func(sent, total int64) {
			d.teller.tell(Event{
				Host: target.Name, Phase: Uploading, ID: plan.ID{Kind: plan.KindProgram, Name: relayHost}, Sent: sent, Size: total,
			})
		},
	})
	if err != nil {
		way.Close()
		return nil, err
	}
	return &Conversation{Hello: hello, Stream: &remoteStream{Session: session, way: way}}, nil
}

// remoteStream is a session that takes its connection with it, and that ends
// with the last words of relay-host.
type remoteStream struct {
	*remote.Session
	way *remote.Host
}

// Read reads what relay-host says.
func (s *remoteStream) Read(p []byte) (int, error) {
	n, err := s.Session.Read(p)
	if said := strings.TrimSpace(s.Stderr()); errors.Is(err, io.EOF) && said != "" {
		err = fmt.Errorf("%w: relay-host said: %s", err, said)
	}
	return n, err
}

// Close ends the session, then the connection.
func (s *remoteStream) Close() error { return errors.Join(s.Session.Close(), s.way.Close()) }
