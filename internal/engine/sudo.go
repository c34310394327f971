package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/relayctl/relayctl/internal/plan"
	"github.com/relayctl/relayctl/internal/remote"
	"github.com/relayctl/relayctl/internal/secret"
)

// PasswordWanted is the error of a Dial that came as far as sudo, which wants a
// password. The way to the host stays open until Resume or Close.
type PasswordWanted struct {
	User string // whose password it is
	Err  error  // says so
	// Resume goes on with a password, and fails for good where that is not right.
	Resume func(ctx context.Context, password secret.Value) (*Conversation, error)
	Close  func()
}

func (e *PasswordWanted) Error() string { return e.Err.Error() }

func (e *PasswordWanted) Unwrap() error { return e.Err }

// sudoPasswords are those that are known, by their user: hosts are dialled at
// several times in a run, and nobody is asked twice.
type sudoPasswords struct {
	mu    sync.Mutex
	given map[string]secret.Value
}

func (p *sudoPasswords) of(user string) secret.Value {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.given[user]
}

func (p *sudoPasswords) keep(user string, password secret.Value) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.given == nil {
		p.given = map[string]secret.Value{}
	}
	p.given[user] = password
}

// reach dials a host, and goes on where its sudo wants a password that is known.
func (s *Session) reach(ctx context.Context, target Target) (*Conversation, error) {
	conversation, err := s.dialer.Dial(ctx, target)
	var wanted *PasswordWanted
	if !errors.As(err, &wanted) {
		return conversation, err
	}
	if target.Role == plan.RoleDeparted { // somebody else may have named it
		wanted.Err = fmt.Errorf("%w; it left the stack file, so it gets one only when asked for by its name, on a terminal", wanted.Err)
		return nil, err
	}
	password := cmp.Or(s.config.SudoPassword, s.sudo.of(wanted.User))
	if password.IsZero() {
		return nil, err
	}
	return wanted.Resume(ctx, password)
}

// waiting is a host whose sudo waits for a password.
type waiting struct {
	target Target
	*PasswordWanted
}

// askForAll asks for the passwords that hosts wait for, and returns how to go on
// with each.
func (s *Session) askForAll(ctx context.Context, hosts []waiting) []attempt {
	var attempts []attempt
	for len(hosts) > 0 {
		user := hosts[0].User
		if hosts[0].target.Role == plan.RoleDeparted { // each by its own name, and for nobody else
			password, err := s.askFor(ctx, hosts[:1])
			attempts, hosts = append(attempts, hosts[0].goOn(ctx, password, err)), hosts[1:]
			continue
		}
		alike := slices.DeleteFunc(slices.Clone(hosts), func(one waiting) bool { return one.User != user })
		hosts = slices.DeleteFunc(hosts, func(one waiting) bool { return one.User == user })
		attempts = append(attempts, s.askForUser(ctx, alike)...)
	}
	return attempts
}

// askForUser asks for the password of one user of some hosts, which mostly is
// the same everywhere; no answer for several hosts means that it is not.
func (s *Session) askForUser(ctx context.Context, hosts []waiting) []attempt {
	password, err := s.askFor(ctx, hosts)
	each := err == nil && password.IsZero() && len(hosts) > 1
	if !each {
		s.sudo.keep(hosts[0].User, password)
	}
	var attempts []attempt
	for i, one := range hosts {
		if each {
			password, err = s.askFor(ctx, hosts[i:i+1])
		}
		attempts = append(attempts, one.goOn(ctx, password, err))
	}
	return attempts
}

// errNobody means that there is nobody to ask, which needs no saying: what is
// wanted, and how else it may be given, is said already.
var errNobody = errors.New("nobody to ask")

func (s *Session) askFor(ctx context.Context, hosts []waiting) (secret.Value, error) {
	if s.config.Ask == nil {
		return secret.Value{}, errNobody
	}
	question := Question{For: remote.SudoAnswers, User: hosts[0].User}
	for _, one := range hosts {
		question.Hosts = append(question.Hosts, one.target.Name)
	}
	return s.config.Ask(ctx, question)
}

// goOn is the attempt with an answer, or with why there is none.
func (w waiting) goOn(ctx context.Context, password secret.Value, err error) attempt {
	if err == nil && !password.IsZero() {
		return attempt{w.target, func() (*Conversation, error) { return w.Resume(ctx, password) }}
	}
	return attempt{w.target, func() (*Conversation, error) {
		w.Close()
		switch {
		case errors.Is(err, errNobody):
			return nil, w.Err
		case err == nil:
			return nil, fmt.Errorf("%w, and none was given", w.Err)
		}
		return nil, fmt.Errorf("%w: %w", w.Err, err)
	}}
}
