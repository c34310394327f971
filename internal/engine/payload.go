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

// programsOr returns given, or what this build carries where that is nil.
func programsOr(given Programs) (Programs, error) {
	if given != nil {
		return given, nil
	}
	carried, err := payload.Load()
	if err != nil {
		return nil, err
	}
	return builtIn{carried}, nil
}
