package lab

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

const (
	// cacheEnv names the variable that moves the cache.
	cacheEnv     = "RELAYCTL_LAB_CACHE"
	defaultCache = "/var/cache/relayctl-lab"
	// archives is apt's folder of downloaded packages, below a host's root.
	archives = "var/cache/apt/archives"
	// suiteFile, in a host's folder, tells harvest what the host ran.
	suiteFile = "suite"
	// sharedOnHost is where hosts see the cache's shared folder, read-only.
	sharedOnHost = "/opt/lab"
)

// cache is what labs keep between runs: base images, packages, engines.
type cache struct {
	dir  string
	logf func(string, ...any)
}

func openCache(logf func(string, ...any)) cache {
	dir := os.Getenv(cacheEnv)
	if dir == "" {
		dir = defaultCache
	}
	if logf == nil {
		logf = func(string, ...any) {}
	}
	return cache{dir, logf}
}

// shared holds what all hosts may see.
func (c cache) shared() string { return filepath.Join(c.dir, "shared") }

func (c cache) packages(suite string) string { return filepath.Join(c.dir, "packages", suite) }

// lendPackages links the packages that earlier hosts of the suite downloaded
// into dir. A folder shared by running hosts would not do: apt locks it, and a
// layer below an overlay must not change.
func (c cache) lendPackages(suite, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("lend packages: %w", err)
	}
	known, err := filepath.Glob(filepath.Join(c.packages(suite), "*.deb"))
	if err != nil {
		return fmt.Errorf("lend packages: %w", err)
	}
	for _, path := range known {
		if err := os.Link(path, filepath.Join(dir, filepath.Base(path))); errors.Is(err, syscall.EXDEV) {
			return nil // the cache is on another disk: hosts download anew
		} else if err != nil {
			return fmt.Errorf("lend packages: %w", err)
		}
	}
	return nil
}

// harvest keeps the packages that the hosts in a lab's folder downloaded. apt
// moves a package to its archives once it is whole, and what it moved there is
// never changed.
func (c cache) harvest(hosts string) error {
	found, err := filepath.Glob(filepath.Join(hosts, "*", "upper", archives, "*.deb"))
	if err != nil {
		return fmt.Errorf("keep packages: %w", err)
	}
	for _, path := range found {
		info, err := os.Lstat(path)
		if err != nil || !info.Mode().IsRegular() {
			continue // a deletion mark of the overlay
		}
		host, _, _ := strings.Cut(strings.TrimPrefix(path, hosts+"/"), "/")
		suite, err := os.ReadFile(filepath.Join(hosts, host, suiteFile))
		if err != nil {
			continue // removed halfway through being made
		}
		pool := c.packages(string(suite))
		if err := os.MkdirAll(pool, 0o755); err != nil {
			return fmt.Errorf("keep packages: %w", err)
		}
		err = os.Link(path, filepath.Join(pool, filepath.Base(path)))
		if err != nil && !errors.Is(err, fs.ErrExist) && !errors.Is(err, syscall.EXDEV) {
			return fmt.Errorf("keep packages: %w", err)
		}
	}
	return nil
}
