package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
)

// ErrNoSuchApply means that no host remembers an apply of this number, or that
// the host asked about had no part in it.
var ErrNoSuchApply = errors.New("not in the history")

// HistoryRequest says what to tell of the past.
type HistoryRequest struct {
	Last  int    // how many applies, the newest; at most MaxPast
	Apply int    // only the one of this number, with its steps; 0: all
	Host  string // with Apply: only what it did on this host; empty: on all
}

// MaxPast is how many applies can be told at once.
const MaxPast = hostapi.MaxPast

// History is what the hosts of a stack remember of it.
type History struct {
	Stack     string
	Applies   []PastApply    // newest first
	More      bool           // there are older ones
	Originals []HostOriginal // in the order of the stack
	Failed    HostErrors     // hosts that could not be asked: their part is missing
}

// PastApply is one apply on all hosts that had a part in it. Times are of the
// proxy host's clock, where it can be asked.
type PastApply struct {
	Number            int
	Version           string // of relayctl
	Operator, Command string
	Began             time.Time
	Ended             time.Time // zero: it runs
	State             plan.PastState
	Hosts             []PastHost // in the order of the stack
}

// PastHost is what an apply did on one host.
type PastHost struct {
	Host string
	plan.Past
	Told bool // by the host itself; else the proxy host tells what relayctl saw of it
	// Taken are its steps, where they were asked for; nil: none are kept.
	Taken []plan.StepTaken
}

// HostOriginal is something that was taken over on a host.
type HostOriginal struct {
	Host string
	plan.Original
}

// History asks all hosts what they remember. It changes nothing, and waits for
// nobody's lock.
func (s *Session) History(ctx context.Context, request HistoryRequest) (*History, error) {
	if request.Host != "" && !slices.ContainsFunc(s.targets, func(t Target) bool { return t.Name == request.Host }) {
		return nil, fmt.Errorf("%s: no host of the stack has this name", request.Host)
	}
	last := request.Last
	if request.Apply > 0 {
		last = MaxPast
	}
	which := map[string]hostapi.History{}
	for _, target := range s.targets {
		which[target.Name] = hostapi.History{Stack: s.config.Stack.Name, Last: last}
	}
	told, failed := s.askHistories(ctx, which)
	if ctx.Err() != nil {
		return nil, fmt.Errorf("ask for the history: %w", context.Cause(ctx))
	}
	history := &History{Stack: s.config.Stack.Name, Failed: inOrder(s.targets, failed)}
	for _, target := range s.targets {
		history.More = history.More || told[target.Name].More
		for _, original := range told[target.Name].Originals {
			history.Originals = append(history.Originals, HostOriginal{target.Name, original})
		}
	}
	history.Applies = s.merged(told)
	if request.Apply > 0 {
		return history, s.withSteps(ctx, history, request)
	}
	if len(history.Applies) > last {
		history.Applies, history.More = history.Applies[:last], true
	}
	return history, nil
}

// askHistories asks hosts, each what which has for it.
func (s *Session) askHistories(ctx context.Context, which map[string]hostapi.History) (map[string]hostapi.HistoryTold, map[string]*HostError) {
	told, failed := askAll(s, slices.Collect(maps.Keys(which)), func(h *host) (told hostapi.HistoryTold, _ *HostError) {
		told, err := h.client.History(ctx, which[h.Name])
		if err != nil {
			return told, h.requestError(ctx, "ask for its history", err)
		}
		return told, nil
	})
	maps.Copy(failed, s.failed)
	return told, failed
}

// merged puts together what hosts tell of the same applies, newest first.
func (s *Session) merged(told map[string]hostapi.HistoryTold) []PastApply {
	byRun := map[string]*PastApply{}
	for _, target := range s.targets { // the proxy host comes first
		for _, past := range told[target.Name].Applies {
			run := cmp.Or(past.Run, fmt.Sprintf("%s %d", target.Name, past.Number))
			apply := byRun[run]
			if apply == nil {
				apply = &PastApply{
					Number: past.Number, Version: past.Version, Operator: past.Operator, Command: past.Command,
					Began: past.Began, Ended: past.Ended, State: past.State,
				}
				byRun[run] = apply
			}
			apply.Hosts = append(apply.Hosts, PastHost{Host: target.Name, Past: past, Told: true})
			if past.State == plan.PastCutOff && past.Ended.After(apply.Ended) {
				apply.Ended = past.Ended // others finished their steps for longer
			}
		}
	}
	var list []PastApply
	for _, apply := range byRun {
		apply.complete(s.place)
		if apply.State == plan.PastRunning {
			apply.Ended = time.Time{}
		}
		list = append(list, *apply)
	}
	slices.SortFunc(list, func(a, b PastApply) int {
		return cmp.Or(b.Began.Compare(a.Began), cmp.Compare(b.Number, a.Number), cmp.Compare(a.Hosts[0].Host, b.Hosts[0].Host))
	})
	return list
}

// complete adds the hosts that don't tell themselves: they are away, or have
// left the stack.
func (a *PastApply) complete(place func(string) int) {
	for _, host := range slices.Clone(a.Hosts) {
		for _, part := range host.Others {
			if !slices.ContainsFunc(a.Hosts, func(h PastHost) bool { return h.Host == part.Host }) {
				a.Hosts = append(a.Hosts, PastHost{Host: part.Host, Past: plan.Past{
					Number: host.Number, State: part.State, Steps: part.Steps, Summary: part.Summary, Why: part.Why,
				}})
			}
		}
	}
	slices.SortStableFunc(a.Hosts, func(x, y PastHost) int { return place(x.Host) - place(y.Host) })
	for _, host := range a.Hosts {
		a.State = worse(a.State, host.State)
	}
}

// worse is the state of an apply that ended in two ways on two hosts.
func worse(a, b plan.PastState) plan.PastState {
	for _, state := range []plan.PastState{plan.PastRunning, plan.PastCutOff, plan.PastFailed} {
		if a == state || b == state {
			return state
		}
	}
	return plan.PastDone
}

// withSteps leaves one apply in the history, with its steps.
func (s *Session) withSteps(ctx context.Context, history *History, request HistoryRequest) error {
	at := slices.IndexFunc(history.Applies, func(a PastApply) bool { return a.Number == request.Apply })
	if at < 0 {
		return fmt.Errorf("apply %d: %w", request.Apply, ErrNoSuchApply)
	}
	apply := history.Applies[at]
	if request.Host != "" {
		apply.Hosts = slices.DeleteFunc(apply.Hosts, func(h PastHost) bool { return h.Host != request.Host })
		if len(apply.Hosts) == 0 {
			return fmt.Errorf("apply %d on %s: %w", request.Apply, request.Host, ErrNoSuchApply)
		}
	}
	which := map[string]hostapi.History{}
	for _, h := range apply.Hosts {
		if h.Told {
			which[h.Host] = hostapi.History{Stack: s.config.Stack.Name, Steps: h.Number}
		}
	}
	told, failed := s.askHistories(ctx, which)
	if ctx.Err() != nil {
		return fmt.Errorf("ask for the steps: %w", context.Cause(ctx))
	}
	for i, h := range apply.Hosts {
		if failure := failed[h.Host]; failure != nil && !slices.Contains(history.Failed, failure) {
			history.Failed = append(history.Failed, failure)
		}
		apply.Hosts[i].Taken = told[h.Host].Steps
	}
	history.Applies, history.More = []PastApply{apply}, false
	return nil
}
