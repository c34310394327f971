package engine

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
)

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

// Open implements remote.Source.
func (c carried) Open(arch string) ([]byte, error) {
	packed, err := c.programs.Packed(c.name, arch)
	if err != nil {
		return nil, err
	}
	unpacking, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, fmt.Errorf("unpack %s: %w", c.name, err)
	}
	program, err := io.ReadAll(unpacking)
	if err != nil {
		return nil, fmt.Errorf("unpack %s: %w", c.name, err)
	}
	return program, nil
}
