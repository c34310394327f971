package remote

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
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
	err = h.way.withFolders(func(store folders) (err error) {
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

// tryAll starts the program in the first folder where that works.
func (h *Host) tryAll(ctx context.Context, p Program, store folders, packed []byte) (*Session, error) {
	refused := &NoExecError{Size: int64(len(packed)) + unpackedSize(packed)}
	for _, base := range []string{"/tmp", home, "/var/tmp"} {
		session, err := h.try(ctx, p, store, base, packed)
		var elsewhere *FolderError
		switch {
		case err == nil:
			return session, nil
		case ctx.Err() != nil:
			return nil, fmt.Errorf("start %s: %w", p.Name, context.Cause(ctx))
		case !errors.As(err, &elsewhere):
			return nil, err
		}
		refused.Tried = append(refused.Tried, elsewhere)
	}
	return nil, refused
}

// home stands for the login user's home folder, which has to be asked for.
const home = "~"

// try starts a copy of the program in a new folder under base. Where the copy
// still stands afterwards it never ran, since it begins by removing itself:
// then the error is a *FolderError, and another folder may do.
func (h *Host) try(ctx context.Context, p Program, store folders, base string, packed []byte) (*Session, error) {
	if base == home {
		var err error
		if base, err = store.home(); err != nil {
			return nil, &FolderError{Folder: home, Err: err}
		}
	}
	if !plainPath.MatchString(base) {
		return nil, &FolderError{Folder: base, Err: errors.New("its name has unusual characters")}
	}
	var random [16]byte
	rand.Read(random[:])
	folder := path.Join(base, "relayctl-"+hex.EncodeToString(random[:]))
	if err := store.put(folder, p.Name, &upload{ctx: ctx, rest: bytes.NewReader(packed), tell: p.Uploading}); err != nil {
		return nil, elsewhere(base, err)
	}
	if err := h.unpack(ctx, path.Join(folder, p.Name+packedAs)); err != nil {
		store.remove(folder, p.Name) // as far as it got; the error to report is the first
		return nil, elsewhere(base, err)
	}
	session, err := h.greet(ctx, p, path.Join(folder, p.Name))
	stood, left := store.remove(folder, p.Name)
	var refused *StartError
	switch {
	case errors.As(err, &refused) && stood:
		return nil, elsewhere(base, refused.without(folder))
	case err != nil:
		return nil, err
	case left != nil:
		session.Close()
		return nil, fmt.Errorf("remove uploaded program from %s: %w", folder, left)
	}
	return session, nil
}

// unlessGone is an error of removing something, nil where it was not there.
func unlessGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// packedAs ends the name of a program as it travels: as gzip packs it, with
// less than half of its bytes. gzip is on every Debian and Ubuntu.
const packedAs = ".gz"

// unpack has the host unpack what was put, in its place.
func (h *Host) unpack(ctx context.Context, file string) error {
	_, complaint, err := h.run(ctx, "gzip", "-d", file)
	var ended *ExitError
	if errors.As(err, &ended) && complaint != "" {
		return errors.New(strings.ReplaceAll(lastLine(complaint), path.Dir(file)+"/", ""))
	}
	if err != nil {
		return fmt.Errorf("unpack program: %w", err)
	}
	return nil
}

// unpackedSize is the size that gzip notes in the last four bytes (RFC 1952).
func unpackedSize(packed []byte) int64 {
	if len(packed) < 4 {
		return 0
	}
	return int64(binary.LittleEndian.Uint32(packed[len(packed)-4:]))
}

// without is why the program did not start, in words without the name of a
// folder that nobody knows.
func (e *StartError) without(folder string) error {
	var lost *LostError
	if errors.As(e.Exit, &lost) || e.Stderr == "" {
		return e
	}
	return errors.New(strings.ReplaceAll(lastLine(e.Stderr), folder+"/", ""))
}

// elsewhere blames the folder, unless it was the connection.
func elsewhere(folder string, err error) error {
	var lost *LostError
	if errors.As(err, &lost) {
		return err
	}
	return &FolderError{Folder: folder, Err: err}
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
