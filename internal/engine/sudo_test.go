package engine_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/relayctl/relayctl/internal/engine"
	"github.com/relayctl/relayctl/internal/remote"
	"github.com/relayctl/relayctl/internal/secret"
)

// sudoer is an account whose sudo wants a password.
type sudoer struct{ user, password string }

// sudoers is a network on whose machines sudo wants passwords, by address.
type sudoers struct {
	network
	accounts map[string]sudoer

	mu    sync.Mutex
	tried []string // "10.0.0.10 hunter2"
	open  int      // ways that are neither gone on with nor closed
}

// Dial implements engine.Dialer.
func (s *sudoers) Dial(ctx context.Context, target engine.Target) (*engine.Conversation, error) {
	account, ok := s.accounts[target.Address]
	if !ok {
		return s.network.Dial(ctx, target)
	}
	s.note(1, "")
	return nil, &engine.PasswordWanted{
		User:  account.user,
		Err:   &remote.Error{Kind: remote.SudoWantsPassword, What: "sudo wants a password", Next: "Give it."},
		Close: func() { s.note(-1, "") },
		Resume: func(ctx context.Context, password secret.Value) (*engine.Conversation, error) {
			s.note(-1, target.Address+" "+password.Reveal())
			if password.Reveal() != account.password {
				return nil, errors.New("wrong password")
			}
			return s.network.Dial(ctx, target)
		},
	}
}

func (s *sudoers) note(opened int, tried string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open += opened
	if tried != "" {
		s.tried = append(s.tried, tried)
	}
}

// TestSudoPasswords has sudo want passwords on some hosts: each is asked for
// once, before anything is done, and tried once.
func TestSudoPasswords(t *testing.T) {
	const edge, gpu1, gpu2 = "10.0.0.10", "10.0.0.21", "10.0.0.22"
	one := map[string]sudoer{edge: {"ops", "sesame"}, gpu2: {"ops", "sesame"}}
	gone := errors.New("no terminal")
	for name, test := range map[string]struct {
		accounts map[string]sudoer
		given    string                         // Config.SudoPassword
		answers  map[string]string              // by the question: "ops: edge gpu-2"; "error" is one
		asked    []string                       // these, in this order
		tried    []string                       // in any order
		failed   map[string]string              // summaries by host
		config   func(*engine.Config, *sudoers) // nil: as it is
	}{
		"one for all": {accounts: one, answers: map[string]string{"ops: edge gpu-2": "sesame"},
			asked: []string{"ops: edge gpu-2"}, tried: []string{edge + " sesame", gpu2 + " sesame"}},
		"it was given": {accounts: one, given: "sesame",
			tried: []string{edge + " sesame", gpu2 + " sesame"}},
		"what was given is wrong": {accounts: one, given: "hunter2",
			tried: []string{edge + " hunter2", gpu2 + " hunter2"}, failed: map[string]string{"edge": "wrong password", "gpu-2": "wrong password"}},
		"wrong": {accounts: one, answers: map[string]string{"ops: edge gpu-2": "hunter2"},
			asked: []string{"ops: edge gpu-2"}, tried: []string{edge + " hunter2", gpu2 + " hunter2"},
			failed: map[string]string{"edge": "wrong password", "gpu-2": "wrong password"}},
		"one for each user": {
			accounts: map[string]sudoer{edge: {"ops", "sesame"}, gpu1: {"ann", "open"}, gpu2: {"ops", "sesame"}},
			answers:  map[string]string{"ops: edge gpu-2": "sesame", "ann: gpu-1": "open"},
			asked:    []string{"ops: edge gpu-2", "ann: gpu-1"}, tried: []string{edge + " sesame", gpu1 + " open", gpu2 + " sesame"}},
		"one for each host": {
			accounts: map[string]sudoer{edge: {"ops", "sesame"}, gpu1: {"ops", "open"}},
			answers:  map[string]string{"ops: edge gpu-1": "", "ops: edge": "sesame", "ops: gpu-1": "open"},
			asked:    []string{"ops: edge gpu-1", "ops: edge", "ops: gpu-1"}, tried: []string{edge + " sesame", gpu1 + " open"}},
		"for one host only": {
			accounts: map[string]sudoer{edge: {"ops", "sesame"}, gpu1: {"ops", "open"}},
			answers:  map[string]string{"ops: edge gpu-1": "", "ops: edge": "sesame", "ops: gpu-1": ""},
			asked:    []string{"ops: edge gpu-1", "ops: edge", "ops: gpu-1"}, tried: []string{edge + " sesame"},
			failed: map[string]string{"gpu-1": "sudo wants a password, and none was given"}},
		"none": {accounts: map[string]sudoer{gpu1: {"ops", "open"}}, answers: map[string]string{"ops: gpu-1": ""},
			asked: []string{"ops: gpu-1"}, failed: map[string]string{"gpu-1": "sudo wants a password, and none was given"}},
		"no answer": {accounts: one, answers: map[string]string{"ops: edge gpu-2": "error"},
			asked: []string{"ops: edge gpu-2"}, failed: map[string]string{"edge": "sudo wants a password: no terminal", "gpu-2": "sudo wants a password: no terminal"}},
		"nobody to ask": {accounts: one, config: func(c *engine.Config, _ *sudoers) { c.Ask = nil },
			failed: map[string]string{"edge": "sudo wants a password", "gpu-2": "sudo wants a password"}},
		"others are unreachable": {accounts: one, answers: map[string]string{"ops: edge gpu-2": "sesame"},
			config: func(_ *engine.Config, s *sudoers) { s.network[gpu1].refuse = errors.New("no route") },
			asked:  []string{"ops: edge gpu-2"}, tried: []string{edge + " sesame", gpu2 + " sesame"}, failed: map[string]string{"gpu-1": "no route"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := newHome(t)
				s := &sudoers{network: h.network, accounts: test.accounts}
				var asked []string
				h.config.Dialer, h.config.SudoPassword = s, secret.New(test.given)
				h.config.Ask = func(_ context.Context, q engine.Question) (secret.Value, error) {
					question := q.User + ": " + strings.Join(q.Hosts, " ")
					answer, ok := test.answers[question]
					if asked = append(asked, question); !ok || q.For != remote.SudoAnswers {
						t.Errorf("asked %+v", q)
					}
					if answer == "error" {
						return secret.Value{}, gone
					}
					return secret.New(answer), nil
				}
				if test.config != nil {
					test.config(&h.config, s)
				}
				session := h.connect()
				defer session.Close()
				failed := map[string]string{}
				for _, failure := range session.Failed() {
					failed[failure.Host] = failure.Summary
					if strings.HasPrefix(failure.Summary, "sudo wants") && failure.Hint != "Give it." {
						t.Errorf("%s: the hint is %q", failure.Host, failure.Hint)
					}
				}
				slices.Sort(s.tried)
				for what, diff := range map[string]string{
					"asked":  cmp.Diff(test.asked, asked),
					"tried":  cmp.Diff(test.tried, s.tried),
					"failed": cmp.Diff(fmt.Sprint(test.failed), fmt.Sprint(failed)),
				} {
					if diff != "" {
						t.Errorf("%s (-want +got):\n%s", what, diff)
					}
				}
				if s.open != 0 {
					t.Errorf("%d ways are left open", s.open)
				}
			})
		})
	}
}

// A host that left the stack file may have been named by somebody else: the
// password of the others is not for it, unless the user says so by its name.
func TestDepartedHostGetsNoPasswordUnasked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHome(t)
		h.mustApply()
		s := &sudoers{network: h.network, accounts: map[string]sudoer{}}
		for address := range maps.Keys(h.network) {
			s.accounts[address] = sudoer{"ops", "sesame"}
		}
		var asked []string
		h.config.Dialer, h.config.Stack = s, load(t, homeWithout)
		h.config.Ask = func(_ context.Context, q engine.Question) (secret.Value, error) {
			asked = append(asked, strings.Join(q.Hosts, " "))
			return secret.New("sesame"), nil
		}
		if planned := h.plan(); len(planned.Hosts) != 3 || len(planned.Failed)+len(planned.Stays) > 0 {
			t.Errorf("planned %+v", planned)
		}
		if want := []string{"edge gpu-1", "gpu-2"}; !slices.Equal(asked, want) || len(s.tried) != 3 {
			t.Errorf("asked %q, want %q; tried %q", asked, want, s.tried)
		}
		h.config.SudoPassword, h.config.Ask, s.tried = secret.New("sesame"), nil, nil
		planned := h.plan()
		if len(planned.Stays) != 1 || !strings.Contains(planned.Stays[0].Summary, "only when asked for by its name") || len(s.tried) != 2 {
			t.Errorf("stays %v; tried %q", planned.Stays, s.tried)
		}
	})
}
