package store

import (
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/relayctl/relayctl/internal/host/machine"
	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
)

// maxBlob is the largest blob, in bytes unpacked: some times the largest
// program that relayctl carries.
const maxBlob = 256 << 20

// Put takes a piece of a blob in. The last piece completes it.
func (s *Store) Put(params hostapi.Put, piece []byte) error {
	if len(piece) != params.Size || params.Size > hostapi.MaxPiece {
		return hostapi.BadRequest("a piece of %d bytes is said to have %d", len(piece), params.Size)
	}
	if params.Offset+int64(params.Size) > maxBlob {
		return hostapi.BadRequest("blob is longer than %d bytes", maxBlob)
	}
	path, err := s.blobPath(params.Blob)
	if err != nil {
		return err
	}
	if params.Offset == 0 {
		err = s.requireRoom(params.Room)
	}
	if err == nil {
		err = appendPiece(path+".part", params.Offset, piece)
	}
	if err != nil {
		os.Remove(path + ".part")
		return fmt.Errorf("take blob in: %w", machine.Needing(int(params.Room), err))
	}
	if !params.Last {
		return nil
	}
	defer os.Remove(path + ".part")
	if err := s.completeBlob(path, params); err != nil {
		os.Remove(path)
		return err
	}
	return nil
}

// requireRoom refuses a blob that does not fit, before the time to bring it is
// spent.
func (s *Store) requireRoom(bytes int64) error {
	if system := machine.FileSystemOf(s.Folder("blobs")); system.Whole > 0 && system.Free < bytes {
		return &fs.PathError{Op: "write", Path: s.Folder("blobs"), Err: syscall.ENOSPC}
	}
	return nil
}

// blobPath is where the blob of a digest is staged.
func (s *Store) blobPath(digest string) (string, error) {
	kind, sum, ok := strings.Cut(digest, ":")
	decoded, err := hex.DecodeString(sum)
	if !ok || err != nil || len(decoded) != sha256.Size || kind+":" != plan.MACPrefix && kind != "sha256" {
		return "", hostapi.BadRequest("%q is not the digest of a blob", digest)
	}
	return s.Folder("blobs", kind+"-"+sum), nil
}

// appendPiece writes a piece to its place, which is the end of what came.
func appendPiece(path string, offset int64, piece []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	flags := os.O_WRONLY | os.O_CREATE
	if offset == 0 {
		flags |= os.O_TRUNC
	}
	file, err := os.OpenFile(path, flags, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if info.Size() != offset {
		return hostapi.BadRequest("a piece at %d follows %d bytes", offset, info.Size())
	}
	if _, err := file.WriteAt(piece, offset); err != nil {
		return err
	}
	return file.Close()
}

// completeBlob unpacks what came and checks its digest.
func (s *Store) completeBlob(path string, params hostapi.Put) error {
	sum, err := s.Hasher(params.Blob)
	if err != nil {
		return err
	}
	part, err := os.Open(path + ".part")
	if err != nil {
		return fmt.Errorf("open blob: %w", err)
	}
	defer part.Close()
	var plain io.Reader = part
	switch params.Encoding {
	case "":
	case hostapi.Gzip:
		if plain, err = gzip.NewReader(part); err != nil {
			return hostapi.BadRequest("unpack blob: %v", err)
		}
	default:
		return hostapi.BadRequest("unknown encoding %q", params.Encoding)
	}
	whole, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("create blob: %w", err)
	}
	size, err := io.Copy(io.MultiWriter(whole, sum), io.LimitReader(plain, maxBlob+1))
	if closed := whole.Close(); err == nil {
		err = closed
	}
	_, want, _ := strings.Cut(params.Blob, ":")
	switch {
	case err != nil:
		return fmt.Errorf("unpack blob: %w", err)
	case size > maxBlob:
		return hostapi.BadRequest("blob is longer than %d bytes", maxBlob)
	case hex.EncodeToString(sum.Sum(nil)) != want:
		return hostapi.BadRequest("blob does not have the digest that it came under")
	}
	return nil
}

// Blob returns a blob that Put completed.
func (s *Store) Blob(digest string) ([]byte, error) {
	path, err := s.blobPath(digest)
	if err != nil {
		return nil, err
	}
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, hostapi.BadRequest("no blob %s was put", digest)
	}
	return content, err
}

// SweepBlobs removes all blobs.
func (s *Store) SweepBlobs() error {
	if err := os.RemoveAll(s.Folder("blobs")); err != nil {
		return fmt.Errorf("sweep blobs: %w", err)
	}
	return nil
}
