package host

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/relayctl/relayctl/internal/plan"
)

// files are regular files by absolute path. What stands in the place of one is
// never followed: a symbolic link is replaced, not written through.
type files struct{ *Host }

// maxFile is the largest file, in bytes, whose content is compared. What
// relayctl manages is some KiB long.
const maxFile = 64 << 20

func (f files) observe(ctx context.Context, view *look, resource plan.Resource, fact *plan.Fact) error {
	info, err := os.Lstat(f.path(resource.Name))
	if gone(err) {
		return nil
	}
	if err != nil {
		return err
	}
	fact.Exists = true
	if fact.Have, err = ownership(view, info); err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		fact.Detail = "is " + describeMode(info.Mode())
		fact.Have[plan.AttrContent] = "not a file"
		if target, err := os.Readlink(f.path(resource.Name)); err == nil {
			fact.Detail += " to " + target
			fact.Have[plan.AttrContent] = "link to " + target
			return nil // a rename replaces it
		}
		fact.InWay = describeMode(info.Mode()) + " stands in its place"
		return nil
	}
	content, err := readRegular(f.path(resource.Name))
	if err != nil {
		return err
	}
	if fact.Have[plan.AttrContent], err = f.digest(content, resource.Sensitive); err != nil {
		return err
	}
	if !resource.Sensitive && len(content) <= plan.MaxShown {
		fact.Content = content
		if resource.Check == plan.LifecycleCaddy && fact.Applied == nil {
			fact.Serves, fact.Imports = caddySites(string(content))
		}
	}
	changed := fact.Applied == nil || fact.Applied.Have[plan.AttrContent] != fact.Have[plan.AttrContent]
	if changed && strings.HasPrefix(resource.Name, "/etc/") {
		fact.Pristine, err = pristine(ctx, view, resource.Name, content)
	}
	return err
}

// pristine reports whether content is a package's default of path.
func pristine(ctx context.Context, view *look, path string, content []byte) (bool, error) {
	status, err := view.dpkg(ctx)
	if err != nil {
		return false, err
	}
	sum := md5.Sum(content) // dpkg's own choice: it tells an edit, not an attack
	want, known := status.conffiles[path]
	return known && hex.EncodeToString(sum[:]) == want, nil
}

// readRegular reads a file that is one: the name may have come to mean
// something else since it was looked at.
func readRegular(path string) ([]byte, error) { return readBounded(path, maxFile) }

// readBounded reads a regular file of at most limit bytes. It follows no link,
// and a pipe doesn't hold it up.
func readBounded(path string, limit int64) ([]byte, error) {
	file, err := openRegular(path, limit, syscall.O_NOFOLLOW)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, limit))
}

// readLinked is readBounded for what may be a link of root's, such as a site
// that is enabled: to where, others may decide.
func readLinked(path string, limit int64) ([]byte, error) {
	file, err := openRegular(path, limit, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, limit))
}

func openRegular(path string, limit int64, how int) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|how, 0)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && (!info.Mode().IsRegular() || info.Size() > limit) {
		err = fmt.Errorf("read %s: not a regular file of at most %d bytes", path, limit)
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

func (f files) bring(ctx context.Context, b *batch, step step) (outcome, error) {
	path := step.resource.Name
	uid, gid, mode, err := f.wantedOwnership(step.resource)
	if err != nil {
		return outcome{}, err
	}
	if step.now.Exists && step.now.Have[plan.AttrContent] == step.resource.Want[plan.AttrContent].Text {
		return outcome{made: step.madeBefore()}, f.own(path, uid, gid, mode)
	}
	content, err := b.content(step.resource)
	if err != nil {
		return outcome{}, err
	}
	temporary := temporaryName(f.path(path))
	if err := writeNew(temporary, content, uid, gid, mode); err != nil {
		return outcome{}, fmt.Errorf("write: %w", needing(len(content), err))
	}
	defer os.Remove(temporary) // gone already when all went well
	if err := f.check(ctx, step.resource.Check, strings.TrimSuffix(path, filepath.Base(path))+filepath.Base(temporary)); err != nil {
		return outcome{}, err
	}
	kept, err := f.keepOriginal(b, step)
	if err != nil {
		return outcome{}, err
	}
	if err := os.Rename(temporary, f.path(path)); err != nil {
		return outcome{}, fmt.Errorf("swap in: %w", err)
	}
	return outcome{made: true, kept: kept}, syncDir(filepath.Dir(f.path(path)))
}

// keepOriginal keeps what is about to be replaced: as one of the originals when
// relayctl never wrote it, else in the generation of this apply.
func (f files) keepOriginal(b *batch, step step) (kept string, err error) {
	path := step.resource.Name
	before := former{applied: step.applied}
	if step.now.Exists {
		generation := f.session.number
		if step.applied == nil {
			generation = 0
		}
		if before.kept, err = f.keepFormer(path, generation); err != nil {
			return "", err
		}
		if step.applied == nil {
			kept = before.kept
			thing := step.making(kept)
			thing.Taken = f.session.takenOver(step)
			if err := f.markMaking(thing); err != nil {
				return "", err
			}
		}
	}
	f.session.replaced[step.change.ID] = before
	return kept, nil
}

// own sets owner and mode of a file whose content is right.
func (f files) own(path string, uid, gid int, mode fs.FileMode) error {
	if err := removeIfThere(temporaryName(f.path(path))); err != nil {
		return fmt.Errorf("remove leftover: %w", err)
	}
	file, err := os.OpenFile(f.path(path), os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	if err := finishFile(file, uid, gid, mode); err != nil {
		file.Close()
		return fmt.Errorf("set owner and mode: %w", err)
	}
	return nil
}

// remove puts the original of something adopted back.
func (f files) remove(_ context.Context, b *batch, step step) error {
	path := step.change.ID.Name
	before := former{applied: step.applied}
	if step.now.Exists {
		var err error
		if before.kept, err = f.keepFormer(path, f.session.number); err != nil {
			return err
		}
	}
	f.session.replaced[step.change.ID] = before
	if step.applied != nil && step.applied.Kept != "" {
		if _, err := os.Lstat(filepath.Dir(f.path(path))); gone(err) {
			b.ended = "its folder is gone: what stood there before is kept in " + step.applied.Kept
			return nil
		}
		b.ended = "put back what stood there before"
		f.session.restored = append(f.session.restored, path)
		return f.putBack(path, step.applied.Kept)
	}
	if err := removeIfThere(f.path(path)); err != nil {
		return fmt.Errorf("remove: %w", err)
	}
	return syncDir(filepath.Dir(f.path(path)))
}

// putBack copies a kept file to its place.
func (h *Host) putBack(path, kept string) error {
	err := h.inFolder(path, func(name string) error { return copyFile(h.path(kept), name) })
	if err != nil {
		return fmt.Errorf("put %s back: %w", path, err)
	}
	return nil
}

// inFolder does something about a path, by a name that leads into its folder
// whatever becomes of that. On the way through a service's home no link is
// followed: root would write and remove where its user likes.
func (h *Host) inFolder(path string, do func(name string) error) error {
	folder := filepath.Dir(path)
	rest, isBelow := strings.CutPrefix(folder, caddyHome+"/")
	if !isBelow {
		return do(h.path(path))
	}
	home, err := unix.Open(h.path(caddyHome), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &fs.PathError{Op: "open", Path: caddyHome, Err: err}
	}
	defer unix.Close(home)
	held, err := unix.Openat2(home, rest, &unix.OpenHow{
		Flags: unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_BENEATH,
	})
	if err != nil {
		return &fs.PathError{Op: "open", Path: folder, Err: err}
	}
	defer unix.Close(held)
	return do(filepath.Join("/proc/self/fd", strconv.Itoa(held), filepath.Base(path)))
}

// temporaryName is where the next form of a file is written: beside it, so
// that a rename swaps it in, hidden, with an ending that no service reads, and
// always the same, so that a leftover of a crash is found.
func temporaryName(path string) string {
	return filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".relayctl-new")
}

// writeNew writes a file that nobody can read before it has its owner and
// mode.
func writeNew(path string, content []byte, uid, gid int, mode fs.FileMode) error {
	if err := removeIfThere(path); err != nil {
		return fmt.Errorf("remove leftover: %w", err)
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(file, bytes.NewReader(content))
	if err == nil {
		err = finishFile(file, uid, gid, mode)
	}
	if err != nil {
		file.Close()
		os.Remove(path)
	}
	return err
}

// content is what a file should hold: what was put, or what this machine made.
func (b *batch) content(resource plan.Resource) ([]byte, error) {
	if resource.From != nil {
		return b.host.render(*resource.From)
	}
	return b.host.readBlob(resource.Want[plan.AttrContent].Text)
}

// render is the content of a file that this machine makes from its own store.
func (h *Host) render(from plan.ID) ([]byte, error) {
	name, part, _ := strings.Cut(from.Name, "/")
	if err := checkName(plan.ID{Kind: from.Kind, Name: name}); err != nil {
		return nil, err
	}
	var content []byte
	var err error
	switch {
	case from.Kind == plan.KindSecret && part == "":
		token, loadErr := h.loadSecret(name)
		content, err = secretFile(token), loadErr
	case from.Kind == plan.KindCA && (part == "" || part == "key"):
		ca, loadErr := h.loadAuthority(name)
		content, err = ca.root, loadErr
		if part == "key" {
			content = ca.key
		}
	default:
		return nil, badRequest("no file is made from %s", from)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s was not made on this host yet", from)
	}
	if err != nil {
		return nil, err
	}
	return content, nil
}
