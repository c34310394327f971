package engine

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	"github.com/relayctl/relayctl/internal/plan"
	"github.com/relayctl/relayctl/internal/stack"
)

// What the proxy host remembers of hosts that left the stack file tells whom to
// look for, and where. It may be written by whoever has that machine, so it
// decides nothing else: not with which key relayctl logs in, not which host key
// is right, and not that something runs on the operator's own machine.

// ErrNotFollowed means that relayctl does not go where the proxy host remembers
// a host that left the stack file.
var ErrNotFollowed = errors.New("not looked for")

var plainUser = regexp.MustCompile(`^[a-z_][a-z0-9_-]{0,31}$`)

// departed lists the hosts that left the stack and are not given up. Each is
// reached where the proxy host remembers it, and else as the file has it for all
// hosts.
func (s *Session) departed(remembered []plan.Member) []Target {
	left := s.left(remembered)
	var gone []Target
	for _, member := range left {
		if !slices.Contains(s.config.Forget, member.Name) {
			gone = append(gone, s.placeOf(member).through(s.hopsTo(member, left)))
		}
	}
	return gone
}

// placeOf is a host that left the stack without what leads to it.
func (s *Session) placeOf(member plan.Member) Target {
	ssh := s.config.Stack.SSH
	if member.Sudo != string(stack.SudoNone) {
		member.Sudo = string(ssh.Sudo)
	}
	return Target{Member: member, IdentityFile: ssh.IdentityFile, HostKey: ssh.HostKey, Role: plan.RoleDeparted}
}

// hopsTo lists what leads to a host that left the stack: hosts of the stack as
// the file has them, others that left it, and such that never were of it. direct
// is as through has it. Of what can't be read there is nothing: mayFollow says
// so.
func (s *Session) hopsTo(member plan.Member, left []plan.Member) (jump []Target, direct bool) {
	ssh, err := s.config.Stack.SSHFor(member.Address, member.Port, member.Jump)
	if err != nil {
		return nil, false
	}
	left = slices.DeleteFunc(slices.Clone(left), func(m plan.Member) bool { return m.Name == member.Name })
	hops, direct := ssh.Way()
	for i, hop := range hops {
		next := hopOf(hop)
		at := slices.IndexFunc(left, func(m plan.Member) bool { return m.Name == next.Name })
		if at >= 0 && hop.Host == nil && member.Jump != "" { // else it is the file's own word
			next = s.placeOf(left[at])
			if i == 0 {
				jump, direct = s.hopsTo(left[at], left)
			}
		}
		jump = append(jump, next)
	}
	return jump, direct
}

// mayFollow says why a host that left the stack file is not looked for where
// the proxy host remembers it; nil: it is.
func (s *Session) mayFollow(t Target) *HostError {
	why := s.notFollowed(t, "it")
	for _, hop := range t.Jump {
		ofStack := hop.Role == plan.RoleProxy || hop.Role == plan.RoleWorker
		if t.Member.Jump != "" && !ofStack && why == "" {
			why = s.notFollowed(hop, "a host that leads to it")
		}
	}
	if !rememberedName.MatchString(t.Name) {
		why = "something that is no host's name"
	}
	if why == "" {
		return nil
	}
	failure := t.fail(fmt.Sprintf("it is not looked for: %s remembers %s", s.config.Stack.Proxy.Name, why), ErrNotFollowed)
	failure.Hint = "To have it cleaned up, put its block back into the stack file, apply, and take it out again."
	return failure
}

// notFollowed says why relayctl does not go where it was told by another host;
// empty: it goes there.
func (s *Session) notFollowed(t Target, what string) string {
	proxy := s.config.Stack.Proxy
	switch address, ok := stack.Address(t.Address); {
	case !ok || address != t.Address:
		return fmt.Sprintf("%s at %q, which is no address", what, short(t.Address))
	case t.Address == stack.Local && !proxy.IsLocal(), isThisMachine(t.Address) && !isThisMachine(proxy.Address):
		return fmt.Sprintf("%s at %q, which is this machine: only the stack file can say that", what, t.Address)
	case t.Port < 0 || t.Port > 65535:
		return fmt.Sprintf("%s at port %d, which is none", what, t.Port)
	case t.User != "" && t.User != s.config.Stack.SSH.User && !plainUser.MatchString(t.User):
		return fmt.Sprintf("%s with the user %q, which only the stack file can name", what, short(t.User))
	}
	if _, err := s.config.Stack.SSHFor(t.Address, t.Port, t.Member.Jump); err != nil {
		return fmt.Sprintf("%s by a way that is none: %v", what, err)
	}
	return ""
}

// leads says through which hosts a target is reached; empty: through none.
func (t Target) leads() string {
	var names []string
	for _, hop := range t.Jump {
		names = append(names, hop.Name)
	}
	if len(names) == 0 {
		return ""
	}
	return ", through " + strings.Join(names, ", then ")
}

// isThisMachine reports whether an address leads to the machine that it is
// used on, or to a tunnel that begins there.
func isThisMachine(address string) bool {
	name := strings.ToLower(strings.TrimSuffix(address, "."))
	if name == stack.Local || name == "localhost" || strings.HasPrefix(name, "localhost.") || strings.HasSuffix(name, ".localhost") {
		return true
	}
	ip, err := netip.ParseAddr(name)
	return err == nil && (ip.Unmap().IsLoopback() || ip.Unmap().IsUnspecified())
}

// short is as much of a text as fits into a line.
func short(text string) string { return text[:min(len(text), 80)] }

// reachDeparted connects the hosts that left the stack, each named before it is
// dialled, and looks at them. One that is a host of the stack under a former
// name, or that another stack has taken since, is not ours to clean.
func (s *Session) reachDeparted(ctx context.Context, v *observed) []Target {
	seen := v.seen[s.config.Stack.Proxy.Name]
	if !s.isOurs(seen.Facts.Manifest) {
		return nil
	}
	departed := s.departed(rememberedHosts(seen.Facts.Manifest))
	var follow []Target
	for _, target := range departed {
		if failure := s.mayFollow(target); failure != nil {
			s.failed[target.Name] = failure
			continue
		}
		s.teller.tell(Event{
			Host: target.Name, Phase: Left, Text: fmt.Sprintf("%s remembers it at %s%s", s.config.Stack.Proxy.Name, target.Address, target.leads()),
		})
		follow = append(follow, target)
	}
	s.dial(ctx, follow)
	departed = slices.DeleteFunc(departed, func(gone Target) bool {
		renamed := slices.ContainsFunc(s.targets, func(t Target) bool { return s.areOneMachine(t, gone) })
		if renamed {
			s.hangUp(gone.Name)
		}
		return renamed
	})
	s.lookFirst(ctx, v, departed, nil)
	return slices.DeleteFunc(departed, func(t Target) bool {
		manifest := v.seen[t.Name].Facts.Manifest
		return manifest != nil && !s.isOurs(manifest)
	})
}

func (s *Session) isOurs(manifest *plan.Manifest) bool {
	return manifest != nil && manifest.Stack == s.config.Stack.Name
}
