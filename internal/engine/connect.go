package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/relayctl/relayctl/internal/payload"
)

// DefaultParallelism is how many hosts are dialled side by side where nobody
// says otherwise: sshd's MaxStartups and bastions drop what comes faster.
const DefaultParallelism = 20

// Session is a conversation with every host of a stack that could be reached.
// Its methods are called one at a time.
type Session struct {
	config  Config
	dialer  Dialer
	teller  *teller
	began   time.Time
	targets []Target // of the stack: the proxy, then the workers on other machines in its order

	hosts  map[string]*host      // with whom the conversation was begun, by name
	failed map[string]*HostError // with whom it was not
	sudo   sudoPasswords
}

// Connect begins a conversation with every host of the stack side by side. A
// host that can't be reached, or may not be worked on, does not stop the
// others: it stands in Failed. The error is for what concerns the stack as a
// whole, such as ErrSameMachine: a worker may be on the proxy's machine, but
// two workers may not be on one. ctx bounds only the connecting; Close ends
// the session.
func Connect(ctx context.Context, config Config) (*Session, error) {
	if config.Programs == nil {
		programs, err := payload.Load()
		if err != nil {
			return nil, err
		}
		config.Programs = builtIn{programs}
	}
	s := &Session{
		config: config,
		dialer: config.Dialer,
		teller: &teller{events: config.Events},
		began:  time.Now(),
		hosts:  map[string]*host{},
		failed: map[string]*HostError{},
	}
	if s.dialer == nil {
		dialer, err := newRemoteDialer(config, s.teller)
		if err != nil {
			return nil, err
		}
		s.dialer = dialer
	}
	s.targets = targetsOf(config.Stack)
	s.dial(ctx, s.targets)
	if ctx.Err() != nil {
		s.Close()
		return nil, fmt.Errorf("connect: %w", context.Cause(ctx))
	}
	if err := s.mergeMachines(); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// dial begins conversations side by side and notes how each went. Passwords for
// sudo are asked for once all other hosts have been reached, or not.
func (s *Session) dial(ctx context.Context, targets []Target) {
	attempts := make([]attempt, len(targets))
	for i, target := range targets {
		attempts[i] = attempt{target, func() (*Conversation, error) { return s.reach(ctx, target) }}
	}
	s.try(ctx, s.askForAll(ctx, s.try(ctx, attempts)))
}

// attempt is how a conversation with a host may come about.
type attempt struct {
	target Target
	begin  func() (*Conversation, error)
}

// try makes attempts side by side, and notes how each went but for those that
// wait for a password, which are returned in their order.
func (s *Session) try(ctx context.Context, attempts []attempt) []waiting {
	var mu sync.Mutex
	wanted := map[string]*PasswordWanted{}
	sideBySide(attempts, cmp.Or(s.config.Parallelism, DefaultParallelism), func(one attempt) {
		name := one.target.Name
		stop := s.teller.during(Event{Host: name, Phase: Connecting, Text: one.target.Address})
		h, failure := dialHost(ctx, one)
		stop()
		mu.Lock()
		defer mu.Unlock()
		var password *PasswordWanted
		switch {
		case failure == nil:
			s.hosts[name] = h
			s.teller.tell(Event{Host: name, Phase: Connected, Text: h.hello.Machine.Pretty + ", " + h.hello.Machine.Arch})
		case errors.As(failure, &password):
			wanted[name] = password
		default:
			s.failed[name] = failure
			s.teller.tell(Event{Host: name, Phase: Failed, Text: failure.Summary})
		}
	})
	var wait []waiting
	for _, one := range attempts {
		if password := wanted[one.target.Name]; password != nil {
			wait = append(wait, waiting{one.target, password})
		}
	}
	return wait
}

// Failed lists the hosts of the stack that no conversation was begun with, in
// its order.
func (s *Session) Failed() HostErrors { return inOrder(s.targets, s.failed) }

// inOrder lists the failures of some hosts.
func inOrder(targets []Target, failed map[string]*HostError) HostErrors {
	var list HostErrors
	for _, target := range targets {
		if failure := failed[target.Name]; failure != nil {
			list = append(list, failure)
		}
	}
	return list
}

// Close ends all conversations: each host finishes the step it is in, and
// gives its lock back.
func (s *Session) Close() error {
	sideBySide(slices.Collect(maps.Values(s.hosts)), 0, (*host).close)
	return nil
}

// proxy is the proxy host; nil where there is no conversation with it.
func (s *Session) proxy() *host { return s.hosts[s.config.Stack.Proxy.Name] }

// place is where a host stands in the stack; one that left it is behind.
func (s *Session) place(name string) int {
	at := slices.IndexFunc(s.targets, func(t Target) bool { return t.Name == name })
	if at < 0 {
		return len(s.targets)
	}
	return at
}
