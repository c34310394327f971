package engine

import (
	"context"
	"errors"
)

// Session is a conversation with every host of a stack that could be reached.
// Its methods are called one at a time.
type Session struct {
	config Config
}

// Connect begins a conversation with every host of the stack side by side, and
// with those that left it but are still remembered by the proxy host. A host
// that can't be reached, or may not be worked on, does not stop the others: it
// stands in Failed. The error is for what concerns the stack as a whole, such
// as ErrSameMachine. ctx bounds only the connecting; Close ends the session.
func Connect(ctx context.Context, config Config) (*Session, error) {
	return nil, errors.New("not built yet")
}

// Failed lists the hosts that no conversation was begun with, in the order of
// the stack.
func (s *Session) Failed() HostErrors { return nil }

// Close ends all conversations: each host finishes the step it is in, and
// gives its lock back.
func (s *Session) Close() error { return nil }

// Plan looks at every connected host and says what an apply would do. It
// changes nothing.
func (s *Session) Plan(ctx context.Context) (*Planned, error) {
	return nil, errors.New("not built yet")
}

// Apply does what was planned, in three stages: what others wait for on all
// hosts, then the proxy, then the workers; in the end it asks every model for
// a token, also when there was nothing to do. Hosts that depend on nothing that
// failed are finished. When ctx ends, each host finishes the step it is in.
//
// show is called once, when all is done or given up, while the proxy host is
// still locked, unless the apply failed before it changed anything: it shows
// the outcome to the user, with the keys that were delivered, and when it
// returns nil the keys are taken down as shown. The outcome is never nil; the
// error is HostErrors, ErrNoToken or one of the reasons for which nothing was
// done.
func (s *Session) Apply(ctx context.Context, planned *Planned, show func(*Outcome) error) (*Outcome, error) {
	return nil, errors.New("not built yet")
}

// Status looks at everything and asks every model for a token.
func (s *Session) Status(ctx context.Context) (*Status, error) {
	return nil, errors.New("not built yet")
}

// RootCA is the certificate of the stack's own certificate authority, PEM. It
// is kept on the proxy host.
func (s *Session) RootCA(ctx context.Context) (string, error) {
	return "", errors.New("not built yet")
}
