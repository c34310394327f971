package lab

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	// baseAge is how old a base image gets: its package lists name files that
	// mirrors delete after the next update.
	baseAge = 14 * 24 * time.Hour
	// otherRecipeAge is how long an image that another recipe made is left
	// for the checkout that may be using it.
	otherRecipeAge = 24 * time.Hour
	buildingSuffix = ".building"
	// basePackages is what a rented Debian server has before anybody uses it.
	basePackages = "systemd,systemd-sysv,dbus,libpam-systemd,openssh-server,sudo,iproute2,iptables," +
		"ca-certificates,curl,python3-minimal,procps"
	machineCAs = "/usr/local/share/ca-certificates"
)

// recipe is all that decides what a base image holds.
type recipe struct {
	suite     string
	sources   sources
	aptConfig string
	authority map[string][]byte // CA certificates by file name
	script    string
}

func newRecipe(ctx context.Context, suite string) (recipe, error) {
	authority := map[string][]byte{}
	paths, err := filepath.Glob(machineCAs + "/*.crt")
	if err != nil {
		return recipe{}, err
	}
	for _, path := range paths {
		if authority[filepath.Base(path)], err = os.ReadFile(path); err != nil {
			return recipe{}, fmt.Errorf("read CA certificate: %w", err)
		}
	}
	archives, err := machineSources()
	if err != nil {
		return recipe{}, err
	}
	return recipe{suite, archives, machineAptConfig(ctx), authority, setupScript}, nil
}

// digest names the recipe: another one makes another image.
func (r recipe) digest() string {
	h := sha256.New()
	fmt.Fprintf(h, "%q", []any{r.suite, r.sources, r.aptConfig, r.authority, r.script, basePackages})
	return fmt.Sprintf("%x", h.Sum(nil))[:12]
}

// base returns the folder of a suite's base image, built if there is none.
func (c cache) base(ctx context.Context, suite string) (string, error) {
	r, err := newRecipe(ctx, suite)
	if err != nil {
		return "", err
	}
	dir := filepath.Join(c.dir, "base", suite+"-"+r.digest())
	err = c.once(ctx, "base-"+suite, func() bool { return fresh(dir) }, func() error {
		c.logf("building the base image of Debian %s (once; about a minute)", suite)
		start := time.Now()
		if err := c.buildBase(ctx, r, dir); err != nil {
			return fmt.Errorf("build base image of %s: %w", suite, err)
		}
		c.logf("built the base image of Debian %s in %s", suite, time.Since(start).Round(time.Second))
		return nil
	})
	return dir, err
}

// fresh reports whether there is an image that is not too old. One that hosts
// run on is never replaced under them.
func fresh(dir string) bool {
	info, err := os.Stat(dir)
	return err == nil && (time.Since(info.ModTime()) < baseAge || inUse(dir))
}

// inUse reports whether an overlay stands on dir.
func inUse(dir string) bool {
	table, err := os.ReadFile("/proc/self/mounts")
	return err != nil || strings.Contains(string(table), dir)
}

// once runs build unless there is what it makes, with no other process doing
// the same.
func (c cache) once(ctx context.Context, name string, made func() bool, build func() error) error {
	if err := os.MkdirAll(c.shared(), 0o755); err != nil {
		return fmt.Errorf("make cache: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(c.dir, name+".lock"), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return fmt.Errorf("open cache lock: %w", err)
	}
	defer lock.Close()
	err = poll(ctx, 100*time.Millisecond, func() (bool, error) {
		err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return false, nil
		}
		return err == nil, err
	})
	if err != nil {
		return fmt.Errorf("wait for the cache lock %s: %w", name, err)
	}
	if made() {
		return nil
	}
	return build()
}

// buildBase builds beside dir and renames, so that dir is whole or not there.
func (c cache) buildBase(ctx context.Context, r recipe, dir string) error {
	building := dir + buildingSuffix
	if err := c.dropBases(filepath.Dir(dir), r.suite); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	_, err := run(ctx, "debootstrap", "--variant=minbase", "--include="+basePackages,
		r.suite, building, r.sources.archive)
	if err != nil {
		return err
	}
	for _, f := range r.files() {
		if err := f.write(building); err != nil {
			return err
		}
	}
	if err := setUpInside(ctx, building, r.script); err != nil {
		return err
	}
	// Its age counts from now.
	if err := os.Chtimes(building, time.Time{}, time.Now()); err != nil {
		return err
	}
	return os.Rename(building, dir)
}

// dropBases removes earlier images of the suite that nobody is likely to want.
func (c cache) dropBases(parent, suite string) error {
	old, err := filepath.Glob(filepath.Join(parent, suite+"-*"))
	if err != nil {
		return err
	}
	for _, dir := range old {
		info, err := os.Stat(dir)
		building := strings.HasSuffix(dir, buildingSuffix)
		if err != nil || inUse(dir) || !building && time.Since(info.ModTime()) < otherRecipeAge {
			continue
		}
		if err := unmountBelow(context.Background(), dir); err != nil {
			return err
		}
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	return nil
}

// files are written into a fresh image before its script runs there.
func (r recipe) files() []hostFile {
	files := []hostFile{
		{path: "etc/apt/sources.list", content: ""},
		{path: "etc/apt/sources.list.d/debian.sources", content: fmt.Sprintf(`Types: deb
URIs: %s
Suites: %s %s-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: %s
Suites: %s-security
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
`, r.sources.archive, r.suite, r.suite, r.sources.security, r.suite)},
		{path: "etc/apt/apt.conf.d/90lab-machine", content: r.aptConfig},
		{path: "etc/apt/apt.conf.d/91lab", content: "Acquire::Languages \"none\";\n" +
			"Binary::apt::APT::Keep-Downloaded-Packages \"true\";\n"},
		{path: "etc/sudoers.d/" + Admin, content: Admin + " ALL=(ALL:ALL) NOPASSWD: ALL\n", mode: 0o440},
	}
	for name, text := range r.authority {
		files = append(files, hostFile{path: filepath.Join(machineCAs, name)[1:], content: string(text)})
	}
	return files
}

// setupScript runs inside a fresh image. apt's daily timers are off, since
// they would hold apt's lock at a moment of their own choice.
var setupScript = fmt.Sprintf(`set -e
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
update-ca-certificates
apt-get -q update
useradd --create-home --shell /bin/bash --uid %d %s
useradd --create-home --shell /bin/bash --uid %d %s
rm -f /etc/ssh/ssh_host_* /var/lib/dbus/machine-id /etc/machine-id
ln -s /etc/machine-id /var/lib/dbus/machine-id
systemctl enable systemd-networkd.service ssh.service
systemctl disable systemd-networkd-wait-online.service
systemctl mask apt-daily.timer apt-daily-upgrade.timer console-getty.service
apt-get -q clean
`, adminUID, Admin, noSudoUID, NoSudo)

// setUpInside runs a shell script in the file tree at root, with this
// machine's network.
func setUpInside(ctx context.Context, root, script string) error {
	resolv, err := os.ReadFile("/etc/resolv.conf")
	if err != nil {
		return fmt.Errorf("set up DNS: %w", err)
	}
	if err := (hostFile{path: "etc/resolv.conf", content: string(resolv)}).write(root); err != nil {
		return err
	}
	// A mount namespace of its own, so that nothing stays mounted.
	inside := `mount -t proc proc "$0/proc" && mount --rbind /dev "$0/dev" && ` +
		`exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root chroot "$0" sh -c "$1"`
	_, err = run(ctx, "unshare", "--mount", "--", "sh", "-c", inside, root, script)
	return err
}
