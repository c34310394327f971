package lab

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// ReadFile returns the content of a file of the running host.
func (h *Host) ReadFile(ctx context.Context, path string) ([]byte, error) {
	out, err := h.run(ctx, nil, "cat", "--", path)
	return []byte(out), err
}

// WriteFile writes a file of the running host, as root, and makes its folder
// where there is none. An existing file keeps its owner; mode is set.
func (h *Host) WriteFile(ctx context.Context, path string, content []byte, mode os.FileMode) error {
	script := `mkdir -p -- "$(dirname -- "$1")" && cat > "$1" && chmod "$2" -- "$1"`
	_, err := h.run(ctx, content, "sh", "-c", script, "sh", path, fmt.Sprintf("%o", mode.Perm()))
	return err
}

// run is Run for a program and its arguments, with a standard input.
func (h *Host) run(ctx context.Context, input []byte, args ...string) (string, error) {
	h.mu.Lock()
	r := h.running
	h.mu.Unlock()
	if r == nil {
		return "", fmt.Errorf("run on %s: %w", h.Name, ErrOff)
	}
	ctx, cancel := context.WithTimeout(ctx, runLimit)
	defer cancel()
	cmd := h.command(ctx, r.init, args...)
	if input != nil {
		cmd.Stdin = bytes.NewReader(input)
	}
	out, err := output(cmd)
	if err != nil {
		return out, fmt.Errorf("run on %s: %w", h.Name, err)
	}
	return out, nil
}

// snapshotRoots is where a Snapshot looks: all that relayctl may change.
var snapshotRoots = []string{"boot", "etc", "home", "opt", "root", "srv", "usr", "var"}

// restless is what changes on a host that nobody touches.
var restless = []string{
	"home/" + Admin + "/.sudo_as_admin_successful", // sudo's, at the first use
	"var/cache/ldconfig", "var/lib/systemd/random-seed", "var/lib/systemd/timers", "var/lib/systemd/timesync",
	"var/lib/systemd/linger", "var/log", "var/tmp",
}

// Snapshot is what a host holds at a moment: each path with its kind, mode,
// owner, modification time of regular files, and the digest or link target.
type Snapshot map[string]string

// Snapshot looks at every file of the host's disk, except those that change by
// themselves and those below ignored, which are absolute paths.
func (h *Host) Snapshot(ignored ...string) (Snapshot, error) {
	skip := slices.Clone(restless)
	for _, path := range ignored {
		skip = append(skip, strings.TrimPrefix(path, "/"))
	}
	snap := Snapshot{}
	for _, root := range snapshotRoots {
		err := filepath.WalkDir(filepath.Join(h.Root, root), func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			rel, _ := filepath.Rel(h.Root, path)
			if slices.Contains(skip, rel) {
				if d.IsDir() {
					return fs.SkipDir
				}
				return nil
			}
			entry, err := h.describe(path)
			snap["/"+rel] = entry
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("take snapshot of %s: %w", h.Name, err)
		}
	}
	return snap, nil
}

// digests remembers the digests of files that have not changed since: a host
// has some ten thousand, and few of them change between two snapshots.
type digests struct {
	mu    sync.Mutex
	known map[fileState]string
}

// ofImages has the files of base images, which never change, for all hosts of
// this process.
var ofImages digests

// fileState is another after every write to a file: its change time can't be
// set.
type fileState struct {
	device, inode uint64 // no device for a file of a base image: each host has its own
	size          int64
	changed       syscall.Timespec
}

// settled is the age at which a file's change time tells it from a later write:
// well above the kernel's clock tick.
const settled = 100 * time.Millisecond

// digest returns the digest of the regular file at path.
func (h *Host) digest(path string, stat *syscall.Stat_t) (string, error) {
	state := fileState{stat.Dev, stat.Ino, stat.Size, stat.Ctim}
	if time.Unix(stat.Ctim.Unix()).Before(h.imageMade) {
		state.device = 0
		return ofImages.of(path, state)
	}
	return h.digests.of(path, state)
}

// of returns the digest of the regular file at path.
func (d *digests) of(path string, state fileState) (string, error) {
	d.mu.Lock()
	digest, known := d.known[state]
	d.mu.Unlock()
	if known {
		return digest, nil
	}
	lasts := time.Since(time.Unix(state.changed.Unix())) > settled
	content, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	digest = fmt.Sprintf("%x", sha256.Sum256(content))
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.known == nil {
		d.known = map[fileState]string{}
	}
	if lasts {
		d.known[state] = digest
	}
	return digest, nil
}

// describe tells a file apart from any other in its place.
func (h *Host) describe(path string) (string, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return "", err
	}
	stat := info.Sys().(*syscall.Stat_t)
	entry := fmt.Sprintf("%s %d:%d", info.Mode(), stat.Uid, stat.Gid)
	switch {
	case info.Mode().IsRegular():
		digest, err := h.digest(path, stat)
		return fmt.Sprintf("%s %d %s", entry, info.ModTime().UnixNano(), digest), err
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := os.Readlink(path)
		return entry + " -> " + target, err
	}
	return entry, nil
}

// Diff lists what differs, a line per path: + added, - removed, ~ changed.
func (s Snapshot) Diff(after Snapshot) []string {
	var lines []string
	for _, path := range slices.Sorted(maps.Keys(s)) {
		switch now, there := after[path]; {
		case !there:
			lines = append(lines, "- "+path)
		case now != s[path]:
			lines = append(lines, fmt.Sprintf("~ %s\n    before %s\n    after  %s", path, s[path], now))
		}
	}
	for _, path := range slices.Sorted(maps.Keys(after)) {
		if _, there := s[path]; !there {
			lines = append(lines, "+ "+path)
		}
	}
	return lines
}

// Services maps each running service to its invocation, which is another after
// every start: equal maps mean that nothing was started, stopped or restarted.
// The services of logins are left out.
func (h *Host) Services(ctx context.Context) (map[string]string, error) {
	out, err := h.run(ctx, nil, "systemctl", "show", "--type=service", "--state=running",
		"--property=Id,InvocationID", "*.service")
	if err != nil {
		return nil, err
	}
	services := map[string]string{}
	for block := range strings.SplitSeq(out, "\n\n") {
		var id, invocation string
		for line := range strings.Lines(block) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
			switch name {
			case "Id":
				id = value
			case "InvocationID":
				invocation = value
			}
		}
		if id != "" && !strings.HasPrefix(id, "user@") && !strings.HasPrefix(id, "ssh@") {
			services[id] = invocation
		}
	}
	return services, nil
}
