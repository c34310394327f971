package lab

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// The base images' users have these numbers, so that files can be written for
// them from outside.
const (
	adminUID  = 1500
	noSudoUID = 1501
)

// furnish makes the host's disk: what it writes goes to a layer of its own
// above the base image, and what makes it this host is written there.
func (h *Host) furnish(ctx context.Context) error {
	packages := filepath.Join(h.dir, "packages")
	if err := h.lab.cache.lendPackages(h.Suite, filepath.Join(packages, archives)); err != nil {
		return err
	}
	if err := h.makeDisk(ctx, packages); err != nil {
		return err
	}
	return h.writeIdentity()
}

// makeDisk mounts a disk of the base image, layers above it, the topmost first,
// and an empty one that is written to.
func (h *Host) makeDisk(ctx context.Context, layers ...string) error {
	base, err := h.lab.cache.base(ctx, h.Suite)
	if err != nil {
		return err
	}
	image, err := os.Stat(base)
	if err != nil {
		return fmt.Errorf("look at base image: %w", err)
	}
	h.imageMade = image.ModTime()
	for _, dir := range []string{"upper", "work", "root"} {
		if err := os.MkdirAll(filepath.Join(h.dir, dir), 0o755); err != nil {
			return fmt.Errorf("make disk: %w", err)
		}
	}
	if err := os.WriteFile(filepath.Join(h.dir, suiteFile), []byte(h.Suite), 0o644); err != nil {
		return fmt.Errorf("note suite: %w", err)
	}
	return h.mount(ctx, strings.Join(append(layers, base), ":"))
}

// mount mounts the host's disk. Without "volatile" every fsync of the package
// manager would wait for this machine's disk; what it gives up is only the
// disk's content after a crash of this machine. Without "redirect_dir" a folder
// of a lower layer could not be renamed, as any disk's can.
func (h *Host) mount(ctx context.Context, lower string) error {
	options := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s,redirect_dir=on", lower,
		filepath.Join(h.dir, "upper"), filepath.Join(h.dir, "work"))
	_, err := run(ctx, "mount", "-t", "overlay", "-o", options+",volatile", "relayctl-lab", h.Root)
	if err != nil { // a kernel before 5.10
		_, err = run(ctx, "mount", "-t", "overlay", "-o", options, "relayctl-lab", h.Root)
	}
	if err != nil {
		return fmt.Errorf("mount disk: %w", err)
	}
	return nil
}

// writeIdentity writes what tells this host from others made of the same base.
func (h *Host) writeIdentity() error {
	var id [16]byte
	rand.Read(id[:])
	resolv, err := resolvConf()
	if err != nil {
		return err
	}
	files := []hostFile{
		{path: "etc/hostname", content: h.Name + "\n"},
		{path: "etc/machine-id", content: hex.EncodeToString(id[:]) + "\n", mode: 0o444},
		{path: "etc/resolv.conf", content: resolv},
		// A name after 80-container-host0.network would be ignored.
		{path: "etc/systemd/network/10-host0.network", content: h.networkFile()},
	}
	if h.spec.OSRelease != "" {
		// /etc/os-release is a link to this one.
		files = append(files, hostFile{path: "usr/lib/os-release", content: h.spec.OSRelease})
	}
	keys, err := newHostKeys()
	if err != nil {
		return err
	}
	for _, k := range keys {
		files = append(files,
			hostFile{path: "etc/ssh/ssh_host_" + k.name + "_key", content: string(k.private), mode: 0o600},
			hostFile{path: "etc/ssh/ssh_host_" + k.name + "_key.pub", content: k.public + "\n"})
	}
	for _, f := range files {
		if err := f.write(h.Root); err != nil {
			return err
		}
	}
	if err := h.authorizeAll(); err != nil {
		return err
	}
	if err := h.writeHosts(h.lab.hostsTable()); err != nil {
		return err
	}
	return h.isKnownBy(keys)
}

// isKnownBy notes the host's keys for whoever connects.
func (h *Host) isKnownBy(keys []sshKey) error {
	var known strings.Builder
	h.HostKeys = nil
	for _, k := range keys {
		fmt.Fprintf(&known, "%s %s\n", h.Addr, k.public)
		h.HostKeys = append(h.HostKeys, k.print)
	}
	return os.WriteFile(h.KnownHosts, []byte(known.String()), 0o644)
}

// authorizeAll lets the lab's key log in as every user.
func (h *Host) authorizeAll() error {
	files := authorize("root", 0, h.lab.key)
	files = append(files, authorize("home/"+Admin, adminUID, h.lab.key)...)
	files = append(files, authorize("home/"+NoSudo, noSudoUID, h.lab.key)...)
	for _, f := range files {
		if err := f.write(h.Root); err != nil {
			return err
		}
	}
	return nil
}

func (h *Host) networkFile() string {
	return fmt.Sprintf(`[Match]
Virtualization=container
Name=host0

[Network]
Address=%s/24
Gateway=%s
LinkLocalAddressing=no
IPv6AcceptRA=no
`, h.Addr, h.lab.slot.gateway())
}

// hostFile is a file of a host, written from outside.
type hostFile struct {
	path    string // relative to the host's root
	content string
	mode    os.FileMode // 0 means 0644
	uid     int         // also the group
	dir     bool
}

// write puts the file in place at once, so that a running host never sees half
// of it.
func (f hostFile) write(root string) error {
	path := filepath.Join(root, f.path)
	mode := f.mode
	if mode == 0 {
		mode = 0o644
	}
	made := path
	var err error
	if f.dir {
		err = os.MkdirAll(path, mode)
	} else {
		made = path + ".lab"
		err = os.WriteFile(made, []byte(f.content), mode)
	}
	if err == nil {
		err = errors.Join(os.Chmod(made, mode), os.Chown(made, f.uid, f.uid))
	}
	if err == nil && made != path {
		err = os.Rename(made, path)
	}
	if err != nil {
		return fmt.Errorf("write host file: %w", err)
	}
	return nil
}

func authorize(home string, uid int, key sshKey) []hostFile {
	return []hostFile{
		{path: home + "/.ssh", mode: 0o700, uid: uid, dir: true},
		{path: home + "/.ssh/authorized_keys", content: key.public + "\n", mode: 0o600, uid: uid},
	}
}

// resolvConf is this machine's resolver configuration in a form that hosts
// with a loopback interface of their own can use.
func resolvConf() (string, error) {
	for _, path := range []string{"/run/systemd/resolve/resolv.conf", "/etc/resolv.conf"} {
		text, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		if strings.Contains(string(text), "nameserver 127.") {
			return "", fmt.Errorf("set up DNS: %s names a server on this machine's loopback, which hosts cannot reach", path)
		}
		return string(text), nil
	}
	return "", fmt.Errorf("set up DNS: this machine has no /etc/resolv.conf")
}
