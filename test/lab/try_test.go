package lab_test

import (
	"os/exec"
	"testing"
	"time"

	"github.com/relayctl/relayctl/test/lab"
)

func TestTry(t *testing.T) {
	l := lab.New(t)
	hosts := l.BootAll(
		lab.Spec{Name: "edge", Suite: lab.Trixie},
		lab.Spec{Name: "gpu-1", Suite: lab.Bookworm},
	)
	for _, h := range hosts {
		for _, u := range []string{"root", "admin", "nosudo"} {
			s := time.Now()
			c := h.SSH(u, "id; sudo -n id")
			out, err := exec.Command(c[0], c[1:]...).CombinedOutput()
			t.Logf("%s %v %s", out, err, time.Since(s))
		}
		s := time.Now()
		b, err := h.Snapshot()
		t.Log(len(b), err, time.Since(s))
		sv, err := h.Services(t.Context())
		t.Log(sv, err)
		s = time.Now()
		out, err := h.Run(t.Context(), "apt-get install -y caddy")
		if err != nil { t.Fatal(err) }
		t.Log(out[len(out)-300:], time.Since(s))
		t.Log(lab.MustRun(t, h, "systemctl is-active caddy; ls /opt/lab; free -m; loginctl"))
		s = time.Now()
		if err := h.Reboot(t.Context()); err != nil { t.Error(err) }
		t.Log("reboot", time.Since(s))
		a, err := h.Snapshot()
		t.Log(len(a), err)
		s = time.Now()
		if err := h.Kill(t.Context()); err != nil { t.Error(err) }
		if err := h.Start(t.Context()); err != nil { t.Error(err) }
		t.Log("kill, start", time.Since(s))
		a2, err := h.Snapshot()
		t.Log(a.Diff(a2), err)
		t.Log(lab.MustRun(t, h, "systemctl is-active caddy; systemctl is-system-running; journalctl -p warning -b --no-pager"))
	}
}
