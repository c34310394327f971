package lab

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// Frozen says how hosts come to be as tests want to find them.
type Frozen struct {
	// Origin names all that the hosts are made from, but for the base images.
	// Frozen hosts of another origin are removed.
	Origin string
	// Prepare brings hosts that have just booted to where they are frozen. It
	// may keep files beside them, in folder.
	Prepare func(hosts []*Host, folder string) error
}

const (
	// frozenAge is how old frozen hosts get: they hold certificates and
	// addresses of this machine's name servers.
	frozenAge = 6 * time.Hour
	// keptFolder, beside frozen hosts, is what Prepare is given.
	keptFolder = "kept"
)

// BootFrozen boots hosts that stand as Prepare left them and were switched off
// in order since. They are prepared and frozen once; later labs only thaw them.
// They know each other's addresses, so each slot has frozen hosts of its own,
// and a lab without other hosts is needed. The folder is what Prepare kept.
func (l *Lab) BootFrozen(ctx context.Context, f Frozen, specs ...Spec) (hosts []*Host, folder string, err error) {
	if hosts, err = l.enlistAll(specs); err != nil {
		return nil, "", err
	}
	l.mu.Lock()
	others := len(l.hosts) - len(hosts)
	l.mu.Unlock()
	if others > 0 {
		return nil, "", errors.New("boot frozen hosts: the lab has hosts, which took their addresses")
	}
	dir, err := l.frozenDir(ctx, f.Origin, hosts)
	if err != nil {
		return nil, "", err
	}
	if info, err := os.Stat(dir); err != nil || time.Since(info.ModTime()) > frozenAge {
		if err := l.freeze(ctx, f, dir, hosts); err != nil {
			return nil, "", fmt.Errorf("freeze hosts: %w", err)
		}
	}
	thaw := func(h *Host, ctx context.Context) error { return h.thaw(ctx, dir) }
	return hosts, filepath.Join(dir, keptFolder), l.startAll(ctx, hosts, thaw)
}

// frozenDir is where hosts of an origin lie frozen, or will.
func (l *Lab) frozenDir(ctx context.Context, origin string, hosts []*Host) (string, error) {
	all := sha256.New()
	for _, h := range hosts {
		base, err := l.cache.base(ctx, h.Suite)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(all, "%q %q %q\n", h.spec, h.Addr, base)
	}
	return filepath.Join(l.slot.frozen(), fmt.Sprintf("%s-%.6x", originName(origin), all.Sum(nil))), nil
}

func originName(origin string) string { return fmt.Sprintf("%.6x", sha256.Sum256([]byte(origin))) }

// frozen is where frozen hosts of the slot are kept. Whoever holds the slot may
// write there.
func (s *slot) frozen() string { return s.dir + ".frozen" }

// freeze boots the hosts as any, has them prepared, switches them off and moves
// their disks to dir.
func (l *Lab) freeze(ctx context.Context, f Frozen, dir string, hosts []*Host) error {
	if err := l.slot.dropFrozen(originName(f.Origin), dir); err != nil {
		return err
	}
	building := dir + buildingSuffix
	folder := filepath.Join(building, keptFolder)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	if err := l.startAll(ctx, hosts, (*Host).furnish); err != nil {
		return err
	}
	if err := f.Prepare(hosts, folder); err != nil {
		return err
	}
	for _, h := range hosts {
		if err := h.Stop(ctx); err != nil {
			return err
		}
	}
	if err := l.cache.harvest(filepath.Join(l.Dir, "hosts")); err != nil {
		return err
	}
	for _, h := range hosts {
		if err := h.giveUpDisk(ctx, filepath.Join(building, h.Name)); err != nil {
			return err
		}
	}
	return os.Rename(building, dir)
}

// dropFrozen removes the slot's frozen hosts of other origins, what was at dir,
// and halves.
func (s *slot) dropFrozen(origin, dir string) error {
	old, err := filepath.Glob(filepath.Join(s.frozen(), "*"))
	if err != nil {
		return err
	}
	for _, path := range old {
		if strings.HasPrefix(filepath.Base(path), origin) && path != dir && !strings.HasSuffix(path, buildingSuffix) {
			continue
		}
		if err := os.RemoveAll(path); err != nil {
			return err
		}
	}
	return nil
}

// giveUpDisk moves the layers of the disk of a host that is off to a folder.
func (h *Host) giveUpDisk(ctx context.Context, folder string) error {
	if err := unmountBelow(ctx, h.Root); err != nil {
		return err
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	for _, layer := range []string{"upper", "packages"} {
		if err := os.Rename(filepath.Join(h.dir, layer), filepath.Join(folder, layer)); err != nil {
			return err
		}
	}
	return os.RemoveAll(filepath.Join(h.dir, "work")) // it belongs to the former upper layer
}

// thaw makes the host's disk: a layer of its own above a frozen host's. All that
// is another is who may log in.
func (h *Host) thaw(ctx context.Context, dir string) error {
	frozen := filepath.Join(dir, h.Name)
	if err := h.makeDisk(ctx, filepath.Join(frozen, "upper"), filepath.Join(frozen, "packages")); err != nil {
		return err
	}
	if err := h.authorizeAll(); err != nil {
		return err
	}
	keys, err := readHostKeys(filepath.Join(h.Root, "etc/ssh"))
	if err != nil {
		return err
	}
	return h.isKnownBy(keys)
}

// removeFrozen removes what is frozen in slots that nobody holds, where the last
// was frozen that long ago.
func removeFrozen(m machine, age time.Duration) error {
	all, err := filepath.Glob(filepath.Join(stateDir, "*.frozen"))
	if err != nil {
		return err
	}
	var errs []error
	for _, path := range all {
		info, err := os.Stat(path)
		number, ok := strings.CutSuffix(filepath.Base(path), ".frozen")
		if err != nil || !ok || time.Since(info.ModTime()) < age {
			continue
		}
		n, err := strconv.Atoi(number)
		if err != nil {
			continue
		}
		s := newSlot(n, m)
		if err := s.tryLock(); errors.Is(err, errSlotTaken) {
			continue
		} else if err != nil {
			errs = append(errs, err)
			continue
		}
		errs = append(errs, os.RemoveAll(path))
		s.unlock()
	}
	return errors.Join(errs...)
}
