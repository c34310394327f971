package engine

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
