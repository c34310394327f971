package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Labs of one machine are told apart by a number, their slot: it names their
// folder, bridge, packet filter table, control group and subnet. Whoever holds
// the lock on the slot's lock file owns all of these, and the kernel lets go
// of the lock when its holder dies, so a folder without a holder is a leftover.
const (
	stateDir = "/var/lib/relayctl-lab"
	maxSlots = 200
	maxHosts = 200
	// keptFile marks a lab that outlives the process that opened it, though
	// not this machine's restart: it holds the boot's id.
	keptFile = "kept"
)

type slot struct {
	number  int
	dir     string
	machine machine
	lock    *os.File
}

func newSlot(number int, m machine) *slot {
	return &slot{number: number, dir: filepath.Join(stateDir, strconv.Itoa(number)), machine: m}
}

// acquireSlot sweeps what dead labs left and takes a free slot.
func acquireSlot(ctx context.Context, m machine, keep bool) (*slot, error) {
	if err := os.MkdirAll(stateDir, 0o755); err != nil {
		return nil, fmt.Errorf("make lab folder: %w", err)
	}
	if err := sweep(m); err != nil {
		return nil, err
	}
	for n := 1; n <= maxSlots; n++ {
		if taken, err := subnetTaken(n); err != nil || taken {
			if err != nil {
				return nil, err
			}
			continue
		}
		s := newSlot(n, m)
		if err := s.take(keep); errors.Is(err, errSlotTaken) {
			continue
		} else if err != nil {
			return nil, err
		}
		return s, nil
	}
	return nil, fmt.Errorf("open lab: all %d slots are taken; `lab down` removes labs that were left up", maxSlots)
}

var errSlotTaken = errors.New("slot is taken")

// take locks the slot and makes its folder.
func (s *slot) take(keep bool) error {
	if err := s.tryLock(); err != nil {
		return err
	}
	if _, err := os.Stat(s.dir); err == nil {
		s.unlock() // kept, or left while we looked: not ours
		return errSlotTaken
	}
	if err := os.Mkdir(s.dir, 0o755); err != nil {
		s.unlock()
		return fmt.Errorf("make lab folder: %w", err)
	}
	if !keep {
		return nil
	}
	if err := os.WriteFile(filepath.Join(s.dir, keptFile), []byte(bootID()), 0o644); err != nil {
		return errors.Join(fmt.Errorf("mark lab as kept: %w", err), s.release(cache{}))
	}
	return nil
}

func (s *slot) tryLock() error {
	f, err := os.OpenFile(s.dir+".lock", os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return fmt.Errorf("open slot lock: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return errSlotTaken
		}
		return fmt.Errorf("lock slot: %w", err)
	}
	s.lock = f
	return nil
}

func (s *slot) unlock() {
	s.lock.Close()
	s.lock = nil
}

func (s *slot) kept() bool {
	boot, err := os.ReadFile(filepath.Join(s.dir, keptFile))
	return err == nil && string(boot) == bootID()
}

// slotsInUse lists the slots that have a folder, held or not.
func slotsInUse(m machine) ([]*slot, error) {
	entries, err := os.ReadDir(stateDir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list labs: %w", err)
	}
	var slots []*slot
	for _, e := range entries {
		if n, err := strconv.Atoi(e.Name()); err == nil && e.IsDir() {
			slots = append(slots, newSlot(n, m))
		}
	}
	return slots, nil
}

// sweep removes labs whose owner died without removing them, and frozen hosts
// that are too old.
func sweep(m machine) error {
	err := removeSlots(m, openCache(nil), func(s *slot) bool { return !s.kept() })
	return errors.Join(err, removeFrozen(m, frozenAge))
}

// RemoveKept removes every lab that was opened with Keep and that no running
// process holds, what dead runs left, and frozen hosts. It returns the folders
// of labs that it removed.
func RemoveKept(ctx context.Context) ([]string, error) {
	m, err := findMachine(ctx)
	if err != nil {
		return nil, err
	}
	var removed []string
	err = removeSlots(m, openCache(nil), func(s *slot) bool {
		removed = append(removed, s.dir)
		return true
	})
	return removed, errors.Join(err, removeFrozen(m, 0))
}

func removeSlots(m machine, c cache, wanted func(*slot) bool) error {
	slots, err := slotsInUse(m)
	if err != nil {
		return err
	}
	var errs []error
	for _, s := range slots {
		if err := s.tryLock(); errors.Is(err, errSlotTaken) {
			continue
		} else if err != nil {
			errs = append(errs, err)
			continue
		}
		if !wanted(s) {
			s.unlock()
			continue
		}
		errs = append(errs, s.release(c))
	}
	return errors.Join(errs...)
}

// release ends everything of the slot and gives it back. It relies on names
// only, never on what its caller remembers, so that it works the same for a
// lab of ours and for one that a dead process left.
func (s *slot) release(c cache) error {
	if s.lock == nil {
		return nil
	}
	defer s.unlock()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	steps := []func() error{
		func() error { return s.machine.killAll(ctx, s) },
		func() error { return removeLinks(ctx, s, "*") },
		func() error { return c.harvest(filepath.Join(s.dir, "hosts")) },
		func() error { return s.removeDiskLocks() },
		func() error { return unmountBelow(ctx, s.dir) },
		func() error { return os.RemoveAll(s.dir) },
		func() error { return s.disconnect(ctx) },
		func() error { return s.machine.removeGroups(s) },
		func() error { return removeTraces(ctx, s, "*") },
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return fmt.Errorf("remove lab %d: %w", s.number, err)
		}
	}
	return nil
}

// removeDiskLocks removes the lock files that systemd-nspawn keeps for the
// disks of hosts and leaves when it is killed. They are named for the disk's
// root, so this comes before the disks are unmounted.
func (s *slot) removeDiskLocks() error {
	roots, err := filepath.Glob(filepath.Join(s.dir, "hosts", "*", "root"))
	if err != nil {
		return err
	}
	for _, root := range roots {
		var stat syscall.Stat_t
		if err := syscall.Stat(root, &stat); err != nil {
			return fmt.Errorf("look at disk: %w", err)
		}
		lock := fmt.Sprintf("/run/systemd/nspawn/locks/inode-%d:%d", stat.Dev, stat.Ino)
		if err := os.Remove(lock); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("remove leftover: %w", err)
		}
	}
	return nil
}

// removeTraces removes what systemd-nspawn leaves under /run when it is killed.
// A newer one (257) refuses to start a host whose mount of before is there.
// The host "*" stands for all of the slot.
func removeTraces(ctx context.Context, s *slot, host string) error {
	left, err := filepath.Glob("/run/systemd/nspawn/*/" + s.machineName(host))
	if err != nil {
		return err
	}
	for _, dir := range left {
		if err := unmountBelow(ctx, dir); err != nil {
			return err
		}
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("remove leftover: %w", err)
		}
	}
	return nil
}

// machineName is how systemd-nspawn knows a host.
func (s *slot) machineName(host string) string {
	return fmt.Sprintf("rlab%d-%s", s.number, host)
}

// unmountBelow unmounts what is mounted on dir and under it, the last first.
func unmountBelow(ctx context.Context, dir string) error {
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return fmt.Errorf("read mount table: %w", err)
	}
	var points []string
	for line := range strings.Lines(string(table)) {
		if f := strings.Fields(line); len(f) > 4 && strings.HasPrefix(f[4]+"/", dir+"/") {
			points = append(points, f[4])
		}
	}
	var errs []error
	for i := len(points) - 1; i >= 0; i-- {
		_, err := run(ctx, "umount", "--lazy", points[i])
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
