package remote

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"
)

// architectures are those that relayctl carries programs for, by what uname -m
// calls them.
var architectures = map[string]string{"x86_64": "amd64", "aarch64": "arm64"}

// giveUp is how long Start goes on after its context has ended, to take away
// what it put on the host.
const giveUp = 3 * time.Second

// Start starts the program as root: the installed one where it is the carried
// one, which costs one exchange, else a copy of the carried one that is taken
// away again as soon as it runs.
func (h *Host) Start(ctx context.Context, p Program) (*Session, error) {
	type outcome struct {
		session *Session
		err     error
	}
	done := make(chan outcome, 1)
	h.background.Go(func() {
		session, err := h.start(ctx, p)
		if session != nil && ctx.Err() != nil {
			session.Close()
			session, err = nil, context.Cause(ctx)
		}
		done <- outcome{session, err}
	})
	select {
	case o := <-done:
		return o.session, o.err
	case <-ctx.Done():
	}
	select {
	case o := <-done:
		return o.session, o.err
	case <-time.After(giveUp): // the host is silent: Close ends the rest
		return nil, fmt.Errorf("start %s: %w", p.Name, context.Cause(ctx))
	}
}

func (h *Host) start(ctx context.Context, p Program) (*Session, error) {
	carried, err := p.digests()
	if err != nil {
		return nil, err
	}
	if !h.who.root && h.target.Sudo == SudoNone {
		return nil, &SudoError{User: h.who.user}
	}
	installed := path.Join(InstallRoot, p.Name, "current", p.Name)
	session, err := h.greet(ctx, p, installed)
	if err == nil && slices.Contains(carried, session.digest) {
		return session, nil
	}
	var never *StartError
	switch {
	case err == nil: // another version: it sees its input end
		session.Close()
	case !errors.As(err, &never), never.hopeless():
		return nil, err
	}
	arch, err := h.askArchitecture(ctx)
	if err != nil {
		return nil, err
	}
	return h.firstContact(ctx, p, arch)
}

// digests are those that a carried program may greet with.
func (p Program) digests() ([]string, error) {
	var digests []string
	for _, arch := range architectures {
		digest, err := p.Source.Digest(arch)
		if err != nil {
			return nil, err
		}
		digests = append(digests, digest)
	}
	return digests, nil
}

// hopeless reports whether starting another copy can't go better: the
// connection is gone, or the host did not answer in time.
func (e *StartError) hopeless() bool {
	var lost *LostError
	return errors.As(e.Exit, &lost) || errors.Is(e.Err, context.Canceled) || errors.Is(e.Err, context.DeadlineExceeded)
}

// asRoot puts sudo before a command where the login is not root.
func (h *Host) asRoot(command ...string) []string {
	if h.who.root {
		return command
	}
	return append([]string{"sudo", "-n"}, command...)
}

// greet starts the program at file and waits for its greeting.
func (h *Host) greet(ctx context.Context, p Program, file string) (*Session, error) {
	process, err := h.way.start(h.asRoot(file))
	if err != nil {
		return nil, &StartError{Program: file, Err: err, Exit: err}
	}
	ctx, cancel := context.WithTimeout(ctx, h.greetIn)
	defer cancel()
	stop := context.AfterFunc(ctx, process.end)
	s := &Session{process: process, path: file, reader: bufio.NewReaderSize(process.stdout, 64<<10)}
	s.digest, err = p.Greet(s.reader)
	if !stop() { // ctx ended, which ended the process
		err = context.Cause(ctx)
	}
	if err == nil {
		return s, nil
	}
	failure := &StartError{Program: file, Err: err}
	if ctx.Err() == nil {
		process.stdin.Close()
		failure.Exit = process.wait(ctx) // sees it end by itself, with what it has to say
	}
	process.end()
	failure.Stderr = process.stderr.String()
	return nil, failure
}

// askArchitecture asks for the machine's kind, as root: so the answer also
// tells whether the login may become root.
func (h *Host) askArchitecture(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, h.greetIn)
	defer cancel()
	process, err := h.way.start(h.asRoot("uname", "-sm"))
	if err != nil {
		return "", err
	}
	stop := context.AfterFunc(ctx, process.end)
	defer stop()
	process.stdin.Close()
	said, err := io.ReadAll(io.LimitReader(process.stdout, 64<<10))
	exit := process.wait(ctx)
	process.end()
	var refused *ExitError
	switch {
	case errors.As(exit, &refused) && !h.who.root:
		return "", &SudoError{User: h.who.user, Stderr: process.stderr.String()}
	case exit != nil:
		return "", fmt.Errorf("ask what machine this is: %w", exit)
	case err != nil:
		return "", fmt.Errorf("ask what machine this is: %w", err)
	}
	words := strings.Fields(lastLine(string(said))) // what comes before is a login shell's
	if len(words) != 2 {
		return "", fmt.Errorf("ask what machine this is: uname says %q", lastLine(string(said)))
	}
	arch := architectures[words[1]]
	if words[0] != "Linux" || arch == "" {
		return "", &UnsupportedError{System: words[0], Machine: words[1]}
	}
	return arch, nil
}

// plainPath is a path that no login shell takes for anything else.
var plainPath = regexp.MustCompile(`^/[A-Za-z0-9/._@+-]*$`)

// firstContact brings the program along and starts it, in the first folder
// that lets programs run. Nothing of it stays on the host.
func (h *Host) firstContact(ctx context.Context, p Program, arch string) (*Session, error) {
	program, err := p.Source.Open(arch)
	if err != nil {
		return nil, err
	}
	digest, err := p.Source.Digest(arch)
	if err != nil {
		return nil, err
	}
	var session *Session
	err = h.way.withFolders(func(store folders) (err error) {
		session, err = h.tryAll(ctx, p, store, program)
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
func (h *Host) tryAll(ctx context.Context, p Program, store folders, program []byte) (*Session, error) {
	refused := &NoExecError{}
	for _, base := range []string{"/tmp", home, "/var/tmp"} {
		session, err := h.try(ctx, p, store, base, program)
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
func (h *Host) try(ctx context.Context, p Program, store folders, base string, program []byte) (*Session, error) {
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
	err := store.put(folder, p.Name, &upload{ctx: ctx, rest: bytes.NewReader(program), tell: p.Uploading})
	if err != nil {
		store.remove(folder, p.Name) // as far as it got; the error to report is the first
		return nil, elsewhere(base, err)
	}
	session, err := h.greet(ctx, p, path.Join(folder, p.Name))
	stood, left := store.remove(folder, p.Name)
	switch {
	case err != nil && stood:
		return nil, elsewhere(base, err)
	case err != nil:
		return nil, err
	case left != nil:
		session.Close()
		return nil, fmt.Errorf("remove uploaded program from %s: %w", folder, left)
	}
	return session, nil
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
