package desired

import (
	"fmt"
	"slices"

	"github.com/relayctl/relayctl/internal/plan"
	"github.com/relayctl/relayctl/internal/secret"
)

// builder collects what one host should have.
type builder struct {
	host    Host
	seen    Seen
	looked  bool // seen holds facts
	program func(name, arch string) (Program, error)
}

func newBuilder(in Input, name, address string, role plan.Role) *builder {
	seen, looked := in.Hosts[name]
	return &builder{
		host:    Host{Name: name, Address: address, Role: role, Blobs: map[string]Blob{}},
		seen:    seen,
		looked:  looked,
		program: in.Program,
	}
}

// want adds a resource, unless the host's other role wants it already, and
// returns its ID.
func (b *builder) want(r plan.Resource) plan.ID {
	if !slices.ContainsFunc(b.host.Want, func(other plan.Resource) bool { return other.ID == r.ID }) {
		b.host.Want = append(b.host.Want, r)
	}
	return r.ID
}

// after says what a wanted resource comes after, where it does not tell itself.
func (b *builder) after(id plan.ID, needed ...plan.ID) {
	for i := range b.host.Want {
		if b.host.Want[i].ID == id {
			b.host.Want[i].After = append(b.host.Want[i].After, needed...)
		}
	}
}

// listens notes a TCP port that a unit listens on; no address means all.
func (b *builder) listens(addr string, port int, unit string, at plan.Origin) {
	b.host.Ports = append(b.host.Ports, plan.Port{Number: port, Addr: addr, Unit: unit, Origin: at})
}

// access is who may use a file or a directory.
type access struct{ mode, owner, group string }

func (a access) attributes() map[string]plan.Value {
	return map[string]plan.Value{
		plan.AttrMode:  plan.Known(a.mode),
		plan.AttrOwner: plan.Known(a.owner),
		plan.AttrGroup: plan.Known(a.group),
	}
}

func (b *builder) directory(path string, a access, at plan.Origin) plan.ID {
	return b.want(plan.Resource{ID: plan.ID{Kind: plan.KindDirectory, Name: path}, Want: a.attributes(), Origin: at})
}

// user adds a system user. Where its home is does not matter to us: none is
// made, and one that was found may have any.
func (b *builder) user(name string, at plan.Origin) {
	b.want(plan.Resource{ID: plan.ID{Kind: plan.KindUser, Name: name}, Origin: at})
}

// carriedProgram adds a program of relayctl in this machine's form.
func (b *builder) carriedProgram(name string, at plan.Origin) (plan.ID, error) {
	r := plan.Resource{ID: plan.ID{Kind: plan.KindProgram, Name: name}, Origin: at}
	version, digest := plan.MadeOn(b.host.Name), plan.MadeOn(b.host.Name)
	if b.looked {
		p, err := b.program(name, b.seen.Facts.Machine.Arch)
		if err != nil {
			return plan.ID{}, fmt.Errorf("find program %s for %s: %w", name, b.seen.Facts.Machine.Arch, err)
		}
		version, digest = plan.Known(p.Version), plan.Known(p.Digest)
		b.host.Blobs[p.Digest] = Blob{program: name}
		if name != hostProgram { // it came for the conversation, and installs itself
			r.Size = p.Size
		}
	}
	r.Want = map[string]plan.Value{plan.AttrVersion: version, plan.AttrDigest: digest}
	return b.want(r), nil
}

// text is the content of a file that is no secret: known, or to be rendered
// once a host has made what goes into it.
type text struct {
	known  string
	madeOn string
}

// file adds a file that is no secret.
func (b *builder) file(path string, a access, content text, at plan.Origin) plan.ID {
	return b.want(b.plainFile(path, a, content, at))
}

func (b *builder) plainFile(path string, a access, content text, at plan.Origin) plan.Resource {
	digest := plan.MadeOn(content.madeOn)
	if content.madeOn == "" {
		digest = plan.Known(plan.Digest([]byte(content.known)))
		b.host.Blobs[digest.Text] = Blob{content: secret.New(content.known)}
	}
	return resourceOfFile(path, a, digest, at)
}

// secretFile adds a file of one line, a secret of the stack file. Where that is
// not known, a file that is there is left as it is.
func (b *builder) secretFile(path string, a access, content secret.Value, at plan.Origin) plan.ID {
	digest := plan.MadeOn(b.host.Name)
	switch {
	case !content.IsKnown(): // what stands there counts as right: nobody can tell
		if have := b.seen.Facts.Find(plan.ID{Kind: plan.KindFile, Name: path}).Have[plan.AttrContent]; have != "" {
			digest = plan.Known(have)
		}
	case b.looked:
		line := secret.New(content.Reveal() + "\n")
		digest = plan.Known(plan.MACPrefix + line.MAC(b.seen.MACKey))
		b.host.Blobs[digest.Text] = Blob{content: line}
	}
	r := resourceOfFile(path, a, digest, at)
	r.Sensitive = true
	return b.want(r)
}

// fileFrom adds a file that the host fills with a secret of its own, whose
// digest is known once it is made.
func (b *builder) fileFrom(path string, a access, from plan.ID, digest plan.Value, at plan.Origin) plan.ID {
	r := resourceOfFile(path, a, digest, at)
	r.Sensitive = true
	r.From = &from
	return b.want(r)
}

func resourceOfFile(path string, a access, digest plan.Value, at plan.Origin) plan.Resource {
	want := a.attributes()
	want[plan.AttrContent] = digest
	return plan.Resource{ID: plan.ID{Kind: plan.KindFile, Name: path}, Want: want, Origin: at}
}

// unit adds a systemd unit that is enabled and runs.
func (b *builder) unit(name string, u plan.Unit, at plan.Origin) plan.ID {
	want := map[string]plan.Value{plan.AttrEnabled: plan.Known(plan.Yes), plan.AttrRunning: plan.Known(plan.Yes)}
	return b.want(plan.Resource{ID: plan.ID{Kind: plan.KindUnit, Name: name}, Want: want, Origin: at, Unit: &u})
}
