// Package payload carries the programs that run on hosts, for every
// architecture that hosts have. They are embedded by a build with the tag
// release, which make build makes; any other build carries none and says so.
package payload

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
)

// ErrNone means that this build carries no programs at all.
var ErrNone = errors.New("this relayctl carries no programs for hosts: it was built without them; make build makes a complete one")

// Info describes one program.
type Info struct {
	Name    string `json:"name"`
	Arch    string `json:"arch"`    // as Go names it
	Version string `json:"version"` // as the program calls itself
	Digest  string `json:"digest"`  // "sha256:" and the hex digest of its bytes
	Size    int64  `json:"size"`    // in bytes, as packed
}

// IndexFile and Folder are where a build finds what it embeds.
const (
	Folder    = "programs"
	IndexFile = "index.json"
)

// PackedFile is the name of a packed program in Folder.
func PackedFile(name, arch string) string { return name + "-" + arch + ".gz" }

// Carried is a set of programs.
type Carried struct {
	files fs.FS
	index []Info
}

// Load returns what this build carries, ordered by name and architecture. The
// error is ErrNone where that is nothing.
func Load() (*Carried, error) { return load(embedded()) }

func load(files fs.FS) (*Carried, error) {
	content, err := fs.ReadFile(files, Folder+"/"+IndexFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNone
	}
	if err != nil {
		return nil, fmt.Errorf("read index of programs: %w", err)
	}
	c := &Carried{files: files}
	if err := json.Unmarshal(content, &c.index); err != nil {
		return nil, fmt.Errorf("read index of programs: %w", err)
	}
	return c, nil
}

// All describes every program.
func (c *Carried) All() []Info { return c.index }

// Describe describes one program.
func (c *Carried) Describe(name, arch string) (Info, error) {
	for _, info := range c.index {
		if info.Name == name && info.Arch == arch {
			return info, nil
		}
	}
	return Info{}, fmt.Errorf("find program %s: none is carried for %s", name, arch)
}

// Packed returns a program as gzip packs it, once its bytes have been held
// against the digest of the index.
func (c *Carried) Packed(name, arch string) ([]byte, error) {
	info, err := c.Describe(name, arch)
	if err != nil {
		return nil, err
	}
	packed, err := fs.ReadFile(c.files, Folder+"/"+PackedFile(name, arch))
	if err != nil {
		return nil, fmt.Errorf("read program %s: %w", name, err)
	}
	digest, err := unpackedDigest(packed)
	if err != nil {
		return nil, fmt.Errorf("unpack program %s: %w", name, err)
	}
	if digest != info.Digest {
		return nil, fmt.Errorf("read program %s: its digest is %s, the index says %s", name, digest, info.Digest)
	}
	return packed, nil
}

func unpackedDigest(packed []byte) (string, error) {
	unpacking, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return "", err
	}
	digest := sha256.New()
	if _, err := io.Copy(digest, unpacking); err != nil {
		return "", err
	}
	return "sha256:" + hex.EncodeToString(digest.Sum(nil)), nil
}
