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
	session, err := h.tryAll(ctx, p, packed)
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
func (h *Host) tryAll(ctx context.Context, p Program, packed []byte) (*Session, error) {
	var tried []string
	var reasons strings.Builder
	for _, base := range []string{"/tmp", home, "/var/tmp"} {
		session, err := h.try(ctx, p, base, packed)
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

// try starts a copy of the program in a new folder under base. The copy begins
// by removing itself. Where it still stands afterwards it never ran: then the
// error is a *folderError, as for whatever comes before. SFTP is closed while
// anything runs: sshd may let one session be open at a time.
func (h *Host) try(ctx context.Context, p Program, base string, packed []byte) (*Session, error) {
	var at uploaded
	err := h.way.withFiles(func(store hostFiles) (err error) {
		at, err = upload(ctx, store, base, p, packed)
		return err
	})
	if err != nil {
		return nil, err
	}
	if _, complaint, err := h.run(ctx, "gzip", "-d", path.Join(at.folder, p.Name+packedAs)); err != nil {
		h.takeAway(at, p.Name) // as far as it got; the error to report is the first
		return nil, at.blame(fmt.Errorf("unpack program: %w", err), complaint)
	}
	session, err := h.greet(ctx, p, path.Join(at.folder, p.Name))
	if err == nil {
		return session, nil
	}
	stood := h.takeAway(at, p.Name)
	var refused *StartError
	if errors.As(err, &refused) && stood {
		return nil, at.blame(err, refused.Stderr)
	}
	return nil, err
}

// takeAway removes what was uploaded, and tells whether the unpacked program
// still stood there.
func (h *Host) takeAway(at uploaded, name string) (stood bool) {
	h.way.withFiles(func(store hostFiles) error {
		stood = remove(store, at.folder, name)
		return nil
	})
	return stood
}

// uploaded is where a program was put.
type uploaded struct{ base, folder string }

// blame says that the folder was not usable, unless it was the connection.
func (u uploaded) blame(err error, said string) error {
	if lost := (*LostError)(nil); errors.As(err, &lost) {
		return err
	}
	if said != "" { // which tells more, less the name of a folder that nobody knows
		err = errors.New(strings.ReplaceAll(lastLine(said), u.folder+"/", ""))
	}
	return &folderError{u.base, err}
}

// upload puts the packed program into a new folder under base.
func upload(ctx context.Context, store hostFiles, base string, p Program, packed []byte) (uploaded, error) {
	if base == home {
		var err error
		if base, err = store.home(); err != nil {
			return uploaded{}, &folderError{home, err}
		}
	}
	if !plainPath.MatchString(base) {
		return uploaded{}, &folderError{base, errors.New("its name has unusual characters")}
	}
	var random [16]byte
	rand.Read(random[:])
	at := uploaded{base, path.Join(base, "relayctl-"+hex.EncodeToString(random[:]))}
	if err := put(store, at.folder, p.Name, &content{ctx: ctx, rest: bytes.NewReader(packed), tell: p.Uploading}); err != nil {
		return uploaded{}, at.blame(err, "")
	}
	return at, nil
}

// unpackedSize is the size that gzip notes in the last four bytes (RFC 1952).
func unpackedSize(packed []byte) int64 {
	if len(packed) < 4 {
		return 0
	}
	return int64(binary.LittleEndian.Uint32(packed[len(packed)-4:]))
}

// content reads a program until it or ctx ends, and tells how far it is.
type content struct {
	ctx  context.Context
	rest *bytes.Reader
	tell func(sent, total int64)
}

func (c *content) Read(p []byte) (int, error) {
	if c.ctx.Err() != nil {
		return 0, context.Cause(c.ctx)
	}
	n, err := c.rest.Read(p)
	if c.tell != nil {
		c.tell(c.rest.Size()-int64(c.rest.Len()), c.rest.Size())
	}
	return n, err
}
