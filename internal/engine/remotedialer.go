package engine

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/relayctl/relayctl/internal/desired"
	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/payload"
	"github.com/relayctl/relayctl/internal/plan"
	"github.com/relayctl/relayctl/internal/remote"
	"github.com/relayctl/relayctl/internal/secret"
)

// relayHost is the program that relayctl talks to on a host.
const relayHost = "relay-host"

// remoteDialer reaches hosts by SSH, and this machine without.
type remoteDialer struct {
	dialer   *remote.Dialer
	programs Programs
	teller   *teller
	patience time.Duration // with a start
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
	dialer.Ask = config.Ask
	dialer.OnNewHostKey = func(key remote.NewHostKey) {
		teller.tell(Event{Host: key.Host, Phase: NewHostKey, Text: key.String()})
	}
	dialer.OnNotFollowed = func(has string) { teller.tell(Event{Phase: NotFollowed, Text: has}) }
	dialer.OnWait = func(wait remote.Wait) { teller.tell(Event{Host: wait.Host, Phase: Waiting, Text: wait.For}) }
	return &remoteDialer{dialer: dialer, programs: config.Programs, teller: teller, patience: startTime}, nil
}

// startTime is how long relay-host may take to be brought and started, whatever
// signs of life come: 2 MiB at 20 kbit/s.
const startTime = 15 * time.Minute

// Dial implements Dialer.
func (d *remoteDialer) Dial(ctx context.Context, target Target) (*Conversation, error) {
	way, err := d.dialer.Dial(ctx, wayTo(target))
	if err != nil {
		return nil, err
	}
	conversation, err := d.start(ctx, way, target, secret.Value{})
	if errors.Is(err, remote.SudoWantsPassword) {
		return nil, &PasswordWanted{User: way.User(), Err: err, Close: func() { way.Close() },
			Resume: func(ctx context.Context, password secret.Value) (*Conversation, error) {
				conversation, err := d.start(ctx, way, target, password)
				if err != nil {
					way.Close()
				}
				return conversation, err
			}}
	}
	if err != nil {
		way.Close()
	}
	return conversation, err
}

// start starts relay-host on a host that was reached, with a password for sudo
// or none.
func (d *remoteDialer) start(ctx context.Context, way *remote.Host, target Target, sudo secret.Value) (*Conversation, error) {
	var hello hostapi.Hello
	starting, cancel := context.WithTimeoutCause(ctx, d.patience,
		fmt.Errorf("%s was not brought and started within %s: %w", relayHost, plan.Seconds(d.patience), hostapi.ErrEndless))
	defer cancel()
	session, err := way.Start(starting, remote.Program{
		Name:         relayHost,
		Source:       carried{d.programs, relayHost},
		SudoPassword: sudo,
		Greet: func(r *bufio.Reader) (string, error) {
			var err error
			hello, err = hostapi.ReadGreeting(r)
			return hello.Digest, err
		},
		Uploading: func(sent, total int64) {
			d.teller.tell(Event{
				Host: target.Name, Phase: Uploading, ID: plan.ID{Kind: plan.KindProgram, Name: relayHost}, Amount: sentOf(sent, total),
			})
		},
	})
	if err != nil {
		return nil, err
	}
	return &Conversation{Hello: hello, Stream: &remoteStream{Session: session, way: way}}, nil
}

// remoteStream is a session that takes its connection with it, and whose end
// says why it came.
type remoteStream struct {
	*remote.Session
	way    *remote.Host
	closed atomic.Bool // by us
}

// lastWords is how long the exit status may come after the last output.
const lastWords = 5 * time.Second

// Read reads what relay-host says.
func (s *remoteStream) Read(p []byte) (int, error) {
	n, err := s.Session.Read(p)
	if err != nil && !s.closed.Load() {
		err = s.ended(err)
	}
	return n, err
}

// ended is why there is nothing more to read: the connection is lost, or
// relay-host has ended, with words or without.
func (s *remoteStream) ended(err error) error {
	ctx, cancel := context.WithTimeout(context.Background(), lastWords)
	defer cancel()
	exit := s.Session.Wait(ctx)
	if lost := (*remote.LostError)(nil); errors.As(exit, &lost) {
		return lost
	}
	switch said := lastSaid(s.Stderr()); {
	case said != "":
		return errors.New(said)
	case exit != nil && ctx.Err() == nil:
		return fmt.Errorf("%s: %w", relayHost, exit)
	}
	return fmt.Errorf("%s ended: %w", relayHost, err)
}

// lastSaid is the line of a standard error that tells why relay-host ended:
// its own, or how Go begins to tell of a crash, whatever sudo says before.
func lastSaid(stderr string) string {
	said := ""
	for line := range strings.Lines(stderr) {
		line = strings.TrimSpace(line)
		for _, beginning := range []string{relayHost + ": ", "panic: ", "fatal error: "} {
			if strings.HasPrefix(line, beginning) {
				return line
			}
		}
		if line != "" {
			said = line
		}
	}
	return said
}

// closeTime is how long the end of a session may take. What takes nothing more
// can't be told of it, and blocks who tries.
const closeTime = 2 * time.Second

// Close ends the session, then the connection.
func (s *remoteStream) Close() error {
	s.closed.Store(true)
	ended := make(chan error, 1)
	go func() { ended <- s.Session.Close() }() // ends with the connection
	var err error
	select {
	case err = <-ended:
	case <-time.After(closeTime):
	}
	return errors.Join(err, s.way.Close())
}

// builtIn is the programs that this build of relayctl carries.
type builtIn struct{ *payload.Carried }

// Describe implements Programs.
func (b builtIn) Describe(name, arch string) (desired.Program, error) {
	info, err := b.Carried.Describe(name, arch)
	return desired.Program{Version: info.Version, Digest: info.Digest, Size: info.Size}, err
}

// carried is one of the programs, as the way to a host wants it.
type carried struct {
	programs Programs
	name     string
}

// Digest implements remote.Source.
func (c carried) Digest(arch string) (string, error) {
	program, err := c.programs.Describe(c.name, arch)
	return program.Digest, err
}

// Packed implements remote.Source.
func (c carried) Packed(arch string) ([]byte, error) { return c.programs.Packed(c.name, arch) }
