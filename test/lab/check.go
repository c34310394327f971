package lab

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

// needDisk is the free space asked for, in bytes: two base images, the small
// model, frozen hosts, and the disks of some more.
const needDisk = 6 << 30

// tools are the programs the lab runs on this machine, and the Debian packages
// that hold them.
var tools = []struct{ program, pkg string }{
	{"systemd-nspawn", "systemd-container"},
	{"debootstrap", "debootstrap"},
	{"ip", "iproute2"},
	{"nft", "nftables"},
	{"nsenter", "util-linux"},
	{"unshare", "util-linux"},
	{"mount", "mount"},
	{"ssh", "openssh-client"},
	{"update-ca-certificates", "ca-certificates"},
}

// ErrNotRoot is returned where the lab needs root and has it not.
var ErrNotRoot = errors.New("the lab needs root: it starts systemd-nspawn hosts and makes a network")

// ready reports what keeps a lab from being opened at all.
func ready() error {
	if runtime.GOOS != "linux" {
		return fmt.Errorf("the lab needs Linux; this is %s", runtime.GOOS)
	}
	if os.Geteuid() != 0 {
		return ErrNotRoot
	}
	if missing := MissingPackages(); len(missing) > 0 {
		return fmt.Errorf("the lab needs packages that are not installed: %s (`go run ./test/lab/cmd/lab install` installs them)",
			strings.Join(missing, " "))
	}
	return nil
}

// MissingPackages lists the Debian packages that the lab needs and whose
// programs are not found here.
func MissingPackages() []string {
	var missing []string
	for _, t := range tools {
		if _, err := findProgram(t.program); err != nil && !slices.Contains(missing, t.pkg) {
			missing = append(missing, t.pkg)
		}
	}
	return missing
}

// Check reports all that keeps this machine from running a lab, missing
// packages left out where apt can install them. Nil means that it can.
func Check(ctx context.Context) error {
	if runtime.GOOS != "linux" {
		return ready()
	}
	var errs []error
	if os.Geteuid() != 0 {
		errs = append(errs, ErrNotRoot)
	}
	if _, err := findProgram("apt-get"); err != nil && len(MissingPackages()) > 0 {
		errs = append(errs, fmt.Errorf("there is no apt-get to install %s with", strings.Join(MissingPackages(), " ")))
	}
	if _, err := findMachine(ctx); err != nil {
		errs = append(errs, err)
	}
	for _, dir := range []string{openCache(nil).dir, stateDir} {
		errs = append(errs, checkDisk(dir))
	}
	if archives, err := machineSources(); err != nil {
		errs = append(errs, err)
	} else {
		errs = append(errs, checkMirror(ctx, archives.archive))
	}
	if _, err := resolvConf(); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// checkDisk looks at the file system that dir is on, or will be.
func checkDisk(dir string) error {
	at := dir
	for {
		if _, err := os.Stat(at); err == nil || at == "/" {
			break
		}
		at = filepath.Dir(at)
	}
	var fs syscall.Statfs_t
	if err := syscall.Statfs(at, &fs); err != nil {
		return fmt.Errorf("ask free space of %s: %w", at, err)
	}
	if free := uint64(fs.Bavail) * uint64(fs.Bsize); free < needDisk {
		return fmt.Errorf("%s has %d MiB free; the lab needs %d", dir, free>>20, uint64(needDisk)>>20)
	}
	return nil
}

// checkMirror asks for a small file that every mirror has.
func checkMirror(ctx context.Context, uri string) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, uri+"/dists/"+Trixie+"/Release", nil)
	if err != nil {
		return fmt.Errorf("ask package source: %w", err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("ask package source: %w", err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("ask package source: %s answers %s", req.URL, resp.Status)
	}
	return nil
}
