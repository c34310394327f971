package remote

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"path"
	"regexp"
	"strings"
)

// plainPath is a path that no login shell takes for anything else.
var plainPath = regexp.MustCompile(`^/[A-Za-z0-9/._@+-]*$`)

// firstContact brings the program along and starts it, in the first folder
// that lets programs run. Nothing of it stays on the host.
func (h *Host) firstContact(ctx context.Context, p Program, arch string) (*Session, error) {
	packed, err := p.Source.Packed(arch)
	if err != nil {
		return nil, err
	}
	digest, err := p.Source.Digest(arch)
	if err != nil {
		return nil, err
	}
	var session *Session
	err = h.way.withFiles(func(store hostFiles) (err error) {
		session, err = h.tryAll(ctx, p, store, packed)
		return err
	})
	if err != nil {
		return nil, err
	}
	if session.digest != digest {
		session.Close()
		return nil, fmt.Errorf("start %s: it is not the program that was uploaded: digest %s, not %s", session.path, session.digest, digest)
	}
	return session, nil
}

// home stands for the login user's home folder, which has to be asked for.
const home = "~"

// tryAll starts the program in the first folder where that works.
func (h *Host) tryAll(ctx context.Context, p Program, store hostFiles, packed []byte) (*Session, error) {
	var tried []string
	var reasons strings.Builder
	for _, base := range []string{"/tmp", home, "/var/tmp"} {
		session, err := h.try(ctx, p, store, base, packed)
		var elsewhere *folderError
		switch {
		case err == nil:
			return session, nil
		case ctx.Err() != nil:
			return nil, fmt.Errorf("start %s: %w", p.Name, context.Cause(ctx))
		case !errors.As(err, &elsewhere):
			return nil, err
		}
		tried = append(tried, elsewhere.folder)
		fmt.Fprintf(&reasons, "  %s: %v\n", elsewhere.folder, elsewhere.error)
	}
	size := int64(len(packed)) + unpackedSize(packed)
	return nil, &Error{
		Kind: NoFolder, What: fmt.Sprintf("bring relay-host: none of %s takes a program and lets it run", strings.Join(tried, ", ")),
		Next: fmt.Sprintf("%sOne of them has to have %d MiB free, and must not be mounted noexec.", &reasons, size>>20+1),
	}
}

// folderError is why a folder could not be used, and another one may do.
type folderError struct {
	folder string
	error
}

// try starts a copy of the program in a new folder under base. Where the copy
// still stands afterwards it never ran, since it begins by removing itself:
// then the error is a *folderError, as for whatever comes before.
func (h *Host) try(ctx context.Context, p Program, store hostFiles, base string, packed []byte) (*Session, error) {
	if base == home {
		var err error
		if base, err = store.home(); err != nil {
			return nil, &folderError{home, err}
		}
	}
	if !plainPath.MatchString(base) {
		return nil, &folderError{base, errors.New("its name has unusual characters")}
	}
	var random [16]byte
	rand.Read(random[:])
	folder := path.Join(base, "relayctl-"+hex.EncodeToString(random[:]))
	elsewhere := func(err error, said string) error { // blames the folder, unless it was the connection
		if lost := (*LostError)(nil); errors.As(err, &lost) {
			return err
		}
		if said != "" { // which tells more, less the name of a folder that nobody knows
			err = errors.New(strings.ReplaceAll(lastLine(said), folder+"/", ""))
		}
		return &folderError{base, err}
	}
	if err := put(store, folder, p.Name, &upload{ctx: ctx, rest: bytes.NewReader(packed), tell: p.Uploading}); err != nil {
		return nil, elsewhere(err, "")
	}
	if _, complaint, err := h.run(ctx, "gzip", "-d", path.Join(folder, p.Name+packedAs)); err != nil {
		remove(store, folder, p.Name) // as far as it got; the error to report is the first
		return nil, elsewhere(fmt.Errorf("unpack program: %w", err), complaint)
	}
	session, err := h.greet(ctx, p, path.Join(folder, p.Name))
	stood, left := remove(store, folder, p.Name)
	var refused *StartError
	switch {
	case errors.As(err, &refused) && stood:
		return nil, elsewhere(err, refused.Stderr)
	case err != nil:
		return nil, err
	case left != nil:
		session.Close()
		return nil, fmt.Errorf("remove uploaded program from %s: %w", folder, left)
	}
	return session, nil
}

// unpackedSize is the size that gzip notes in the last four bytes (RFC 1952).
func unpackedSize(packed []byte) int64 {
	if len(packed) < 4 {
		return 0
	}
	return int64(binary.LittleEndian.Uint32(packed[len(packed)-4:]))
}

// upload reads a program until it or ctx ends, and tells how far it is.
type upload struct {
	ctx  context.Context
	rest *bytes.Reader
	tell func(sent, total int64)
}

func (u *upload) Read(p []byte) (int, error) {
	if u.ctx.Err() != nil {
		return 0, context.Cause(u.ctx)
	}
	n, err := u.rest.Read(p)
	if u.tell != nil {
		u.tell(u.rest.Size()-int64(u.rest.Len()), u.rest.Size())
	}
	return n, err
}
