package host

import (
	"compress/gzip"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
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
func (h *Host) Put(params hostapi.Put, piece []byte) error {
	if h.session == nil {
		return errNotLocked()
	}
	if len(piece) != params.Size || params.Size > hostapi.MaxPiece {
		return badRequest("a piece of %d bytes is said to have %d", len(piece), params.Size)
	}
	if params.Offset+int64(params.Size) > maxBlob {
		return badRequest("blob is longer than %d bytes", maxBlob)
	}
	path, err := h.blobPath(params.Blob)
	if err != nil {
		return err
	}
	if params.Offset == 0 {
		err = h.requireRoom(params.Room)
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
	if err := h.completeBlob(path, params); err != nil {
		os.Remove(path)
		return err
	}
	return nil
}

// requireRoom refuses a blob that does not fit, before the time to bring it is
// spent.
func (h *Host) requireRoom(bytes int64) error {
	if system := machine.FileSystemOf(h.stored("blobs")); system.Whole > 0 && system.Free < bytes {
		return &fs.PathError{Op: "write", Path: h.stored("blobs"), Err: syscall.ENOSPC}
	}
	return nil
}

func errNotLocked() error {
	return &hostapi.Error{Code: hostapi.CodeNotLocked, Message: "the lock is not held", Step: noStep}
}

// blobPath is where the blob of a digest is staged.
func (h *Host) blobPath(digest string) (string, error) {
	kind, sum, ok := strings.Cut(digest, ":")
	decoded, err := hex.DecodeString(sum)
	if !ok || err != nil || len(decoded) != sha256.Size || kind+":" != plan.MACPrefix && kind != "sha256" {
		return "", badRequest("%q is not the digest of a blob", digest)
	}
	return h.stored("blobs", kind+"-"+sum), nil
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
		return badRequest("a piece at %d follows %d bytes", offset, info.Size())
	}
	if _, err := file.WriteAt(piece, offset); err != nil {
		return err
	}
	return file.Close()
}

// completeBlob unpacks what came and checks its digest.
func (h *Host) completeBlob(path string, params hostapi.Put) error {
	sum, err := h.hasher(params.Blob)
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
			return badRequest("unpack blob: %v", err)
		}
	default:
		return badRequest("unknown encoding %q", params.Encoding)
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
		return badRequest("blob is longer than %d bytes", maxBlob)
	case hex.EncodeToString(sum.Sum(nil)) != want:
		return badRequest("blob does not have the digest that it came under")
	}
	return nil
}

// hasher makes digests of the sort that a blob is named by.
func (h *Host) hasher(digest string) (hash.Hash, error) {
	if !strings.HasPrefix(digest, plan.MACPrefix) {
		return sha256.New(), nil
	}
	key, err := h.mac()
	if err != nil {
		return nil, err
	}
	return hmac.New(sha256.New, key), nil
}

// readBlob returns a blob that Put completed.
func (h *Host) readBlob(digest string) ([]byte, error) {
	path, err := h.blobPath(digest)
	if err != nil {
		return nil, err
	}
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, badRequest("no blob %s was put", digest)
	}
	return content, err
}

// digest is plan.Digest of content, or its MACPrefix form when it is sensitive.
func (h *Host) digest(content []byte, sensitive bool) (string, error) {
	if !sensitive {
		return plan.Digest(content), nil
	}
	key, err := h.mac()
	if err != nil {
		return "", err
	}
	sum := hmac.New(sha256.New, key)
	sum.Write(content)
	return plan.MACPrefix + hex.EncodeToString(sum.Sum(nil)), nil
}
