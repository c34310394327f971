package engine

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
)

// Planned is a plan together with what it was made from.
type Planned struct {
	plan.Plan
	Failed HostErrors    // hosts that could not be looked at, in the order of the stack
	Took   time.Duration // from the first connection to the last look
	Keys   []string      // API keys that apply will make
	Stays  HostErrors    // hosts that left the stack, and why they can't be cleaned: they stay remembered
	Locks  []Lock        // hosts that somebody works on just now
	CutOff []Lock        // hosts where somebody's work ended in the middle: apply goes on from there

	Clocks []Clock // that are off

	GivenUp []string // hosts of Config.Forget that left the stack: they are remembered no more
	Unknown []string // names of Config.Forget that no such host has

	observed  *observed
	proposal  *proposal
	departed  []Target
	keepTrust bool // of a destroy: what clients trust and are known by stays
	// propose works out anew, from what was observed by now, what is left to do;
	// prepared: the hosts should have made what others wait for.
	propose func(prepared bool) (*proposal, error)

	remembered []plan.Member // by the proxy host
}

// Lock says who holds a host's lock.
type Lock struct {
	Host    string
	Holder  string // user@machine
	Command string
	Since   time.Time
	At      plan.ID // of work that was cut off: the step that it was in; zero: in none
}

// Plan looks at every connected host, and at those that left the stack but are
// still remembered by the proxy host, and says what an apply would do. It
// changes nothing.
func (s *Session) Plan(ctx context.Context) (*Planned, error) {
	planned, err := s.observe(ctx)
	if err != nil {
		return nil, err
	}
	proposer := s.proposer()
	proposer.departed = planned.departed
	err = planned.take(func(prepared bool) (*proposal, error) {
		again := proposer
		again.prepared = prepared
		return again.propose(planned.observed)
	})
	if err != nil {
		return nil, err
	}
	return planned, s.withDrops(ctx, proposer, planned)
}

// observe looks at all hosts, and says which can't be worked on.
func (s *Session) observe(ctx context.Context) (*Planned, error) {
	proposer := s.proposer()
	want, err := proposer.wanted()
	if err != nil {
		return nil, err
	}
	v := &observed{seen: map[string]hostapi.Observation{}, failed: map[string]*HostError{}}
	s.lookFirst(ctx, v, s.targets, want)
	departed := s.reachDeparted(ctx, v)
	maps.Copy(v.failed, s.failed)
	if ctx.Err() != nil {
		return nil, fmt.Errorf("look at hosts: %w", context.Cause(ctx))
	}
	for _, target := range s.targets {
		if failure := target.refuseManifest(v.seen[target.Name].Facts.Manifest, s.config.Stack.Name, s.config.Version); failure != nil {
			v.drop(failure)
		}
	}
	v.refuseFalse(proposer)
	s.refuseRelayHost(v)
	s.keepWorker(v)
	planned := &Planned{Took: time.Since(s.began), observed: v, departed: departed}
	planned.remembered = rememberedHosts(v.seen[s.config.Stack.Proxy.Name].Facts.Manifest)
	planned.describe(s)
	return planned, nil
}

// take makes a plan of what propose says.
func (p *Planned) take(propose func(prepared bool) (*proposal, error)) error {
	made, err := propose(false)
	if err == nil {
		p.Plan, p.Keys, p.proposal, p.propose = made.Plan, made.keys, made, propose
	}
	return err
}

// lookFirst looks at hosts for the first time, and tells which it has seen, so
// that nobody thinks that they are waited for.
func (s *Session) lookFirst(ctx context.Context, v *observed, targets []Target, want map[string][]plan.Resource) {
	var names []string
	for _, target := range targets {
		names = append(names, target.Name)
	}
	s.lookAll(ctx, v, names, want)
	for _, name := range names {
		if _, ok := v.seen[name]; ok {
			s.teller.tell(Event{Host: name, Phase: Looked})
		}
	}
}

func (s *Session) proposer() proposer {
	return proposer{
		stack: s.config.Stack, onProxy: s.targets[0].Worker, programs: s.config.Programs, adopt: s.config.Adopt,
	}
}

// withDrops makes the plan anew where it closes the connections of workers, with
// their number: the relay is asked only then. A relay that does not run has none.
func (s *Session) withDrops(ctx context.Context, p proposer, planned *Planned) error {
	name := s.config.Stack.Proxy.Name
	facts := planned.observed.seen[name].Facts
	closing := planned.proposal.closing(name)
	if len(closing) == 0 || facts.Find(relayUnit).Have[plan.AttrRunning] != plan.Yes {
		return nil
	}
	status, err := s.proxy().relayStatus(ctx)
	if err != nil {
		for _, change := range closing {
			change.Notes = append(change.Notes, fmt.Sprintf("drops worker connections; how many is not known: %v", err))
		}
		return nil
	}
	p.open = status.connections()
	made, err := p.propose(planned.observed)
	if err == nil {
		planned.Plan, planned.proposal = made.Plan, made
	}
	return err
}

// relayUnit is the service of the relay.
var relayUnit = plan.ID{Kind: plan.KindUnit, Name: "relay-server.service"}

// describe fills in what is told beside the changes.
func (p *Planned) describe(s *Session) {
	p.Failed, p.Stays = inOrder(s.targets, p.observed.failed), inOrder(p.departed, p.observed.failed)
	p.GivenUp, p.Unknown = s.forgotten(p.observed.seen[s.config.Stack.Proxy.Name].Facts.Manifest)
	for _, target := range slices.Concat(s.targets, p.departed) {
		seen := p.observed.seen[target.Name]
		p.Locks = append(p.Locks, lockOf(target, seen.Holder, nil)...)
		p.CutOff = append(p.CutOff, lockOf(target, seen.CutOff, seen.CutOffAt)...)
	}
	p.Clocks = s.clocksOff()
}

// lockOf tells of a lock that somebody signed; one who just came did not yet.
func lockOf(target Target, holder *hostapi.LockHolder, at *plan.StepTaken) []Lock {
	if holder == nil || holder.Operator == "" {
		return nil
	}
	lock := Lock{Host: target.Name, Holder: holder.Operator, Command: holder.Command, Since: holder.Since}
	if at != nil {
		lock.At = at.ID
	}
	return []Lock{lock}
}

// Texts returns a file's text as it is on the host and as it will be, for a
// diff. It reports false where it may not be shown (secrets), is too long or
// is not known before the apply; but what somebody else wrote and would lose
// is always shown.
func (p *Planned) Texts(host string, change plan.Change) (before, after string, ok bool) {
	if change.Action == plan.Remove {
		return string(change.Fact.Content), "", change.Fact.Content != nil
	}
	if !change.ID.Kind.Describe().Text || change.Resource == nil || change.Resource.Sensitive || change.Resource.From != nil {
		return "", "", false
	}
	content, wanted := change.Resource.Want[plan.AttrContent]
	if !wanted { // it has to go
		return string(change.Fact.Content), "", change.Fact.Content != nil
	}
	if !content.IsKnown() && (change.Block != "" || change.Adopt) {
		return string(change.Fact.Content), fmt.Sprintf("(made by apply on %s)\n", content.MadeOn), change.Fact.Content != nil
	}
	blob, found := p.proposal.desired[host].Blobs[content.Text]
	if !content.IsKnown() || !found || len(blob.Reveal()) > plan.MaxShown || change.Fact.Exists && change.Fact.Content == nil {
		return "", "", false
	}
	return string(change.Fact.Content), string(blob.Reveal()), true
}
