package engine

import (
	"github.com/relayctl/relayctl/internal/desired"
	"github.com/relayctl/relayctl/internal/payload"
)

// builtIn is the programs that this build of relayctl carries.
type builtIn struct{ *payload.Carried }

// Describe implements Programs.
func (b builtIn) Describe(name, arch string) (desired.Program, error) {
	info, err := b.Carried.Describe(name, arch)
	return desired.Program{Version: info.Version, Digest: info.Digest, Size: info.Size}, err
}

// carried is one of the programs, as the way to a host wants it.
type carried struct {
	programs Programs
	name     string
}

// Digest implements remote.Source.
func (c carried) Digest(arch string) (string, error) {
	program, err := c.programs.Describe(c.name, arch)
	return program.Digest, err
}

// Packed implements remote.Source.
func (c carried) Packed(arch string) ([]byte, error) { return c.programs.Packed(c.name, arch) }
