package engine

import (
	"regexp"
	"slices"

	"github.com/relayctl/relayctl/internal/plan"
)

// maxRemembered is how many hosts a stack may have left behind.
const maxRemembered = 1000

// rememberedName is a host's label, or what plan.Member.Aside makes of it.
var rememberedName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}( at [0-9A-Za-z._:%-]{1,253})?$`)

// rememberedHosts lists what a manifest remembers. What is no host's name gets
// one that can be shown, and typed behind --forget.
func rememberedHosts(manifest *plan.Manifest) []plan.Member {
	if manifest == nil {
		return nil
	}
	hosts := slices.Clone(manifest.Hosts)
	for i, h := range hosts {
		if !rememberedName.MatchString(h.Name) {
			hosts[i].Name = "(" + short(plan.Printable(h.Name, true)) + ")"
		}
	}
	return hosts
}

// left lists the hosts that the proxy host remembers and that the stack file
// does not name any more: by their names, or since another machine has the
// name now.
func (s *Session) left(remembered []plan.Member) []plan.Member {
	return slices.DeleteFunc(plan.Remember(remembered, s.reached()), func(member plan.Member) bool {
		return slices.ContainsFunc(s.targets, func(t Target) bool { return t.Name == member.Name })
	})
}

// forgotten tells the hosts that are given up as asked from names that no host
// has which left the stack. Without a look at the proxy host it tells nothing.
func (s *Session) forgotten(manifest *plan.Manifest) (givenUp, unknown []string) {
	if !s.isOurs(manifest) {
		return nil, nil
	}
	left := s.left(rememberedHosts(manifest))
	for _, name := range s.config.Forget {
		if slices.ContainsFunc(left, func(member plan.Member) bool { return member.Name == name }) {
			givenUp = append(givenUp, name)
		} else {
			unknown = append(unknown, name)
		}
	}
	return givenUp, unknown
}

// members lists the hosts that the proxy host is to remember: the workers of
// the stack that were ever reached, and those that left it, as far as they still
// have things of ours.
func (j *job) members() []plan.Member {
	remembered := map[string]plan.Member{}
	for _, member := range j.remembered() {
		remembered[member.Name] = member
	}
	members := []plan.Member{} // none at all is something to remember, too
	for _, target := range slices.Concat(j.targets, j.planned.departed) {
		before, known := remembered[target.Name]
		switch {
		case target.Role == plan.RoleProxy, j.cleaned(target.Name), slices.Contains(j.planned.GivenUp, target.Name):
		case target.Role == plan.RoleDeparted:
			members = append(members, target.Member)
		case j.hosts[target.Name] != nil:
			members = append(members, j.member(target))
		case known:
			members = append(members, before) // the way that led there once
		}
	}
	return members
}

// remembered lists the hosts that the proxy host remembers, also where it has
// failed since it was planned.
func (j *job) remembered() []plan.Member {
	if manifest := j.manifest(); manifest != nil {
		return rememberedHosts(manifest)
	}
	return j.planned.remembered
}

// cleaned reports whether a host had to go, and nothing of ours is left on it.
func (j *job) cleaned(name string) bool {
	if j.left.plan(name).Role != plan.RoleDeparted {
		return false
	}
	for _, a := range j.parts {
		if a.outcome.Name == name {
			return a.outcome.OK
		}
	}
	return j.planned.observed.seen[name].Facts.Manifest == nil
}

// remembersOtherwise reports whether the proxy host remembers other hosts, or
// other ways to them, than it should.
func (j *job) remembersOtherwise() bool {
	manifest := j.manifest()
	return manifest != nil && !slices.Equal(manifest.Hosts, j.members())
}

func (j *job) manifest() *plan.Manifest {
	return j.planned.observed.seen[j.config.Stack.Proxy.Name].Facts.Manifest
}

// member is a host that was reached, with what tells its machine from another
// one that gets its name.
func (s *Session) member(target Target) plan.Member {
	member := target.Member
	member.MachineID = s.hosts[target.Name].hello.Machine.MachineID
	return member
}

// reached lists the workers' hosts that there are conversations with.
func (s *Session) reached() []plan.Member {
	var members []plan.Member
	for _, target := range s.targets {
		if target.Role == plan.RoleWorker && s.hosts[target.Name] != nil {
			members = append(members, s.member(target))
		}
	}
	return members
}
