// Pack writes the programs that a release of relayctl embeds.
//
//	pack VERSION FROM TO
//
// FROM holds a folder per architecture with the programs in it; TO gets each
// of them packed, and an index. The same programs give the same bytes.
package main

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/relayctl/relayctl/internal/payload"
)

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: pack VERSION FROM TO")
		os.Exit(1)
	}
	if err := pack(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, "pack:", err)
		os.Exit(1)
	}
}

func pack(version, from, to string) error {
	programs, err := filepath.Glob(filepath.Join(from, "*", "*")) // sorted
	if err != nil {
		return err
	}
	if len(programs) == 0 {
		return fmt.Errorf("no programs in %s", from)
	}
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	var index []payload.Info
	for _, path := range programs {
		info := payload.Info{Name: filepath.Base(path), Arch: filepath.Base(filepath.Dir(path)), Version: version}
		if err := packProgram(path, to, &info); err != nil {
			return fmt.Errorf("pack %s: %w", path, err)
		}
		index = append(index, info)
	}
	encoded, err := json.MarshalIndent(index, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(to, payload.IndexFile), append(encoded, '\n'), 0o644)
}

// packProgram packs one program and fills in what its bytes tell.
func packProgram(path, to string, info *payload.Info) error {
	program, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var packed bytes.Buffer
	packing, err := gzip.NewWriterLevel(&packed, gzip.BestCompression) // no name, no time: only the bytes count
	if err != nil {
		return err
	}
	if _, err := packing.Write(program); err != nil {
		return err
	}
	if err := packing.Close(); err != nil {
		return err
	}
	digest := sha256.Sum256(program)
	info.Digest = "sha256:" + hex.EncodeToString(digest[:])
	info.Size = int64(packed.Len())
	return os.WriteFile(filepath.Join(to, payload.PackedFile(info.Name, info.Arch)), packed.Bytes(), 0o644)
}
