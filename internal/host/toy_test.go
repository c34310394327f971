package host_test

import (
	"context"
	"io"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/relayctl/relayctl/internal/host"
	"github.com/relayctl/relayctl/internal/host/kind"
	"github.com/relayctl/relayctl/internal/host/machine"
	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
)

// toys are things of a kind that only this test knows: a colour, as a file holds it.
type toys struct {
	*machine.Machine
	slow bool // it takes for ever, until it is interrupted
}

const kindToy plan.Kind = "toy"

func toy(name, colour string) plan.Resource { return resource(kindToy, name, "colour", colour) }

func (t toys) path(name string) string { return t.Path("/srv/" + name) }

func (t toys) Observe(_ context.Context, _ *kind.Look, resource plan.Resource, fact *plan.Fact) error {
	colour, err := os.ReadFile(t.path(resource.Name))
	if machine.Gone(err) {
		return nil
	}
	fact.Exists, fact.Have = true, map[string]string{"colour": string(colour)}
	return err
}

func (t toys) Bring(ctx context.Context, step *kind.Step) (kind.Outcome, error) {
	if t.slow {
		<-ctx.Done()
		return kind.Outcome{}, context.Cause(ctx)
	}
	return kind.Outcome{Made: true}, os.WriteFile(t.path(step.Resource.Name), []byte(step.Resource.Want["colour"].Text), 0o644)
}

func (t toys) Remove(_ context.Context, step *kind.Step) (kind.Outcome, error) {
	return kind.Outcome{}, os.Remove(t.path(step.Change.ID.Name))
}

// withToys is a locked relay-host that knows toys.
func (m *debian) withToys(slow bool) *session {
	m.T.Helper()
	m.Mkdir("/srv")
	return m.lockOf(host.New(host.Config{
		Machine: machine.New(m.Config()), Version: "1.0.0",
		Kinds: func(env kind.Env) kind.Kinds {
			all := kind.All(env)
			all[kindToy] = toys{env.Machine, slow}
			return all
		},
	}))
}

// A kind takes a handler and nothing else: it is brought, changed, removed, and
// goes back.
func TestKindThatIsNew(t *testing.T) {
	m := newMachine(t)
	apply := func(want ...plan.Resource) *session {
		t.Helper()
		s := m.withToys(false)
		s.bring(want...)
		if left := s.plan(want...); len(left) > 0 {
			t.Errorf("left to do: %+v", left)
		}
		if err := s.host.Finish(hostapi.Finish{Stack: "home", OK: true}); err != nil {
			t.Fatal(err)
		}
		if err := s.host.Unlock(); err != nil {
			t.Fatal(err)
		}
		return s
	}
	apply(toy("ball", "red"))
	apply(toy("ball", "blue"), toy("kite", "green"))
	s := apply()
	if m.Read("/srv/ball") != "absent" || m.Read("/srv/kite") != "absent" {
		t.Error("they stayed")
	}
	for to, want := range []string{"absent", "red", "blue"} {
		if err := s.host.Restore(t.Context(), to, io.Discard); err != nil || m.Read("/srv/ball") != want {
			t.Errorf("after apply %d: %s, want %s; %v", to, m.Read("/srv/ball"), want, err)
		}
	}
	past, err := s.host.History(hostapi.History{Stack: "home", Last: 10, Steps: 2})
	if err != nil || len(past.Applies) != 5 || !slices.ContainsFunc(past.Steps, func(step plan.StepTaken) bool { return step.ID == toy("kite", "").ID }) {
		t.Errorf("the history is %+v; %v", past, err)
	}
}

// A step that may be interrupted ends with its request, any other one by itself,
// or when it takes longer than it may.
func TestInterruption(t *testing.T) {
	for _, interruptible := range []bool{true, false} {
		before := *host.Describe
		*host.Describe = func(kind plan.Kind) plan.Descriptor {
			of := kind.Describe()
			of.Interruptible = interruptible && kind == kindToy
			return of
		}
		bubble(t, func(t *testing.T) {
			m := newMachine(t)
			s := m.withToys(true)
			steps := s.plan(toy("ball", "red"))
			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(7*time.Second, cancel)
			began := time.Now()
			_, err := s.host.Apply(ctx, hostapi.Apply{Steps: steps}, func(hostapi.Progress) {})
			took, most, why := time.Since(began), 2*time.Minute, hostapi.CodeStep
			if interruptible {
				most, why = 7*time.Second, hostapi.CodeCancelled
			}
			if code(err) != why || took != most {
				t.Errorf("interruptible %t: after %v: %v", interruptible, took, err)
			}
			if fact := m.observe(); len(fact.Resources) > 0 {
				t.Errorf("there is %+v", fact.Resources)
			}
		})
		*host.Describe = before
	}
}
