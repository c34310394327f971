package machine_test

import (
	"strings"
	"testing"

	"github.com/relayctl/relayctl/internal/host/machine"
)

const mountinfo = `22 1 0:20 / / rw,relatime shared:1 - overlay none rw,lowerdir=/a
25 22 0:23 / /var rw shared:2 - ext4 /dev/vda2 rw
26 25 0:24 / /var/lib/my\040disk rw - tmpfs none ro
27 22 0:25 /etc /etc ro,nosuid master:3 propagate_from:2 - overlay none rw
nonsense
`

func TestMountOf(t *testing.T) {
	for path, want := range map[string]string{
		"/":                      "/",
		"/usr/bin/x":             "/",
		"/var":                   "/var",
		"/variety":               "/",
		"/var/lib/x":             "/var",
		"/var/lib/my disk/x":     "/var/lib/my disk",
		"/etc/relay/worker.json": "/etc",
	} {
		if got := machine.MountOf(mountinfo, path); got != want {
			t.Errorf("%s is on %s, want %s", path, got, want)
		}
	}
}

func FuzzMountOf(f *testing.F) {
	f.Add(mountinfo, "/var/lib/my disk/x")
	f.Add(`1 1 0:1 / /\134\999 rw - a b c`, `/\`)
	f.Fuzz(func(t *testing.T, mountinfo, path string) {
		got := machine.MountOf(mountinfo, path)
		if got != "/" && got != path && !strings.HasPrefix(path, got+"/") {
			t.Errorf("%q is on %q", path, got)
		}
	})
}
