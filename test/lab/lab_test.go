package lab_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/relayctl/relayctl/test/lab"
)

// patience bounds what takes a moment, on a machine that does much else.
const patience = 60 // seconds

// bootTarget is how long three hosts may take once their images exist.
const bootTarget = patience * time.Second

// greeting is a line of bash that prints how the host's sshd greets.
func greeting(host string) string {
	return fmt.Sprintf("timeout %d bash -c 'exec 3<>/dev/tcp/%s/22 && head -c 4 <&3' 2>/dev/null || true", patience, host)
}

// ssh runs a command on a host through its sshd.
func ssh(t *testing.T, h *lab.Host, user, line string) (string, error) {
	t.Helper()
	args := h.SSH(user, line)
	out, err := exec.CommandContext(t.Context(), args[0], args[1:]...).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

func TestThreeHosts(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	l.Boot(lab.Spec{Name: "first-12", Suite: lab.Bookworm}) // builds the images
	l.Boot(lab.Spec{Name: "first-13", Suite: lab.Trixie})
	start := time.Now()
	hosts := l.BootAll(
		lab.Spec{Name: "edge", Suite: lab.Trixie},
		lab.Spec{Name: "gpu-1", Suite: lab.Bookworm},
		lab.Spec{Name: "gpu-2"},
	)
	took := time.Since(start)
	t.Logf("three hosts are up after %s", took.Round(time.Millisecond))
	if took > bootTarget {
		t.Errorf("three hosts took %s, want at most %s", took, bootTarget)
	}
	machineIDs, bootIDs := map[string]bool{}, map[string]bool{}
	for _, h := range hosts {
		machineIDs[lab.MustRun(t, h, "cat /etc/machine-id")] = true
		bootIDs[lab.MustRun(t, h, "cat /proc/sys/kernel/random/boot_id")] = true
		t.Run(h.Name, func(t *testing.T) { checkHost(t, h) })
	}
	if len(machineIDs) != len(hosts) || len(bootIDs) != len(hosts) {
		t.Errorf("%d machine ids and %d boot ids for %d hosts", len(machineIDs), len(bootIDs), len(hosts))
	}
	if got := lab.MustRun(t, hosts[1], "getent hosts gpu-2"); !strings.HasPrefix(got, hosts[2].Addr) {
		t.Errorf("gpu-1 resolves gpu-2 to %q, want %s", got, hosts[2].Addr)
	}
	if got := lab.MustRun(t, hosts[1], greeting("gpu-2")); got != "SSH-" {
		t.Errorf("gpu-1 does not reach gpu-2: %q", got)
	}
}

func checkHost(t *testing.T, h *lab.Host) {
	want := map[string]string{
		"hostname":                    h.Name,
		"systemctl is-system-running": "running",
		". /etc/os-release && echo $ID $VERSION_CODENAME": "debian " + h.Suite,
		"stat --file-system --format=%T /sys/fs/cgroup":   "cgroup2fs",
	}
	for line, want := range want {
		if got := lab.MustRun(t, h, line); got != want {
			t.Errorf("%s: %q, want %q", line, got, want)
		}
	}
	for user, want := range map[string]string{lab.Root: "root", lab.Admin: "root", lab.NoSudo: ""} {
		if got, err := ssh(t, h, user, "true"); err != nil {
			t.Errorf("ssh as %s: %v: %s", user, err, got)
		}
		if got, err := ssh(t, h, user, "sudo -n id -un"); (err == nil) != (want != "") || err == nil && got != want {
			t.Errorf("sudo of %s gives %q, %v", user, got, err)
		}
	}
	lab.MustRun(t, h, "systemd-run --quiet --wait --property=DynamicUser=yes --property=ProtectSystem=strict "+
		"--property=SystemCallFilter=@system-service --property=MemoryMax=64M true")
}

func TestPackages(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	for _, h := range l.BootAll(lab.Spec{Name: "edge"}, lab.Spec{Name: "old", Suite: lab.Bookworm}) {
		start := time.Now()
		lab.MustRun(t, h, "apt-get install --yes --no-install-recommends caddy")
		t.Logf("%s: caddy after %s", h.Name, time.Since(start).Round(time.Millisecond))
		if got := lab.MustRun(t, h, "systemctl is-active caddy"); got != "active" {
			t.Errorf("caddy on %s is %s", h.Name, got)
		}
	}
}

func TestCutNetwork(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	hosts := l.BootAll(lab.Spec{Name: "edge"}, lab.Spec{Name: "gpu-1"})
	cut, other := hosts[0], hosts[1]
	reaches := func(within time.Duration) bool {
		conn, err := net.DialTimeout("tcp", cut.Addr+":22", within)
		if err == nil {
			conn.Close()
		}
		return err == nil
	}
	if err := cut.CutNetwork(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := lab.MustRun(t, other, "timeout 2 "+greeting("edge")); got != "" || reaches(2*time.Second) {
		t.Errorf("a host that is cut off says %q", got)
	}
	if got := lab.MustRun(t, cut, "cat /sys/class/net/host0/carrier"); got != "1" {
		t.Errorf("the host sees its carrier as %s", got)
	}
	if err := cut.MendNetwork(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := lab.MustRun(t, other, greeting("edge")); got != "SSH-" || !reaches(patience*time.Second) {
		t.Errorf("once mended, the host says %q", got)
	}
}

func TestStopKillAndStart(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	for _, h := range l.BootAll(lab.Spec{Name: "new"}, lab.Spec{Name: "old", Suite: lab.Bookworm}) {
		t.Run(h.Name, func(t *testing.T) {
			if err := h.WriteFile(t.Context(), "/var/lib/keep/it", []byte("still here\n"), 0o640); err != nil {
				t.Fatal(err)
			}
			boot := lab.MustRun(t, h, "cat /proc/sys/kernel/random/boot_id")
			for name, end := range map[string]func(context.Context) error{"stop": h.Stop, "kill": h.Kill} {
				if err := end(t.Context()); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				if conn, err := net.DialTimeout("tcp", h.Addr+":22", 200*time.Millisecond); err == nil {
					conn.Close()
					t.Errorf("the host answers after %s", name)
				}
				if _, err := h.Run(t.Context(), "true"); !errors.Is(err, lab.ErrOff) {
					t.Errorf("after %s, the host runs a command: %v", name, err)
				}
				if err := h.Start(t.Context()); err != nil {
					t.Fatalf("start after %s: %v", name, err)
				}
				if got := lab.MustRun(t, h, "systemctl is-system-running; stat --format='%a %U' /var/lib/keep/it"); got != "running\n640 root" {
					t.Errorf("after %s: %s", name, got)
				}
				content, err := h.ReadFile(t.Context(), "/var/lib/keep/it")
				if err != nil || string(content) != "still here\n" {
					t.Errorf("after %s the file holds %q, %v", name, content, err)
				}
				next := lab.MustRun(t, h, "cat /proc/sys/kernel/random/boot_id")
				if next == boot {
					t.Errorf("the boot id is the same after %s", name)
				}
				boot = next
			}
		})
	}
}

func TestSnapshotSeesWhatChanges(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	h := l.Boot(lab.Spec{Name: "edge"})
	snapshot := func() lab.Snapshot {
		s, err := h.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		if len(s) < 1000 {
			t.Fatalf("a snapshot of %d files", len(s))
		}
		return s
	}
	services := func() map[string]string {
		s, err := h.Services(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	before, running := snapshot(), services()
	if _, err := ssh(t, h, lab.Admin, "sudo systemctl is-active ssh"); err != nil {
		t.Error(err)
	}
	if diff := before.Diff(snapshot()); len(diff) != 0 {
		t.Errorf("a login changed:\n%s", strings.Join(diff, "\n"))
	}
	lab.MustRun(t, h, "echo x >> /etc/motd; ln -s motd /etc/other; rm /etc/issue; chmod 600 /etc/issue.net; systemctl restart systemd-logind")
	var got []string
	for _, line := range before.Diff(snapshot()) {
		got = append(got, strings.SplitN(line, "\n", 2)[0])
	}
	want := []string{"- /etc/issue", "~ /etc/issue.net", "~ /etc/motd", "+ /etc/other"}
	if strings.Join(got, ",") != strings.Join(want, ",") {
		t.Errorf("the difference is %q, want %q", got, want)
	}
	now := services()
	for name := range running {
		if restarted := running[name] != now[name]; restarted != (name == "systemd-logind.service") {
			t.Errorf("%s restarted: %v", name, restarted)
		}
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	const name = "names.lab.test"
	before, err := os.ReadFile("/etc/hosts")
	if err != nil {
		t.Fatal(err)
	}
	l := lab.New(t)
	edge := l.Boot(lab.Spec{Name: "edge"})
	l.Name(name, edge)
	late := l.Boot(lab.Spec{Name: "late"})
	for _, h := range []*lab.Host{edge, late} {
		if got := lab.MustRun(t, h, "getent hosts "+name); !strings.HasPrefix(got, edge.Addr) {
			t.Errorf("%s resolves %s to %q", h.Name, name, got)
		}
	}
	conn, err := l.Dial(t.Context(), "tcp", name+":22")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if got := conn.RemoteAddr().String(); got != edge.Addr+":22" {
		t.Errorf("%s was dialled at %s, want %s", name, got, edge.Addr)
	}
	resp, err := l.HTTPClient(nil).Get("http://" + name + "/")
	if err == nil {
		resp.Body.Close()
		t.Error("an HTTP server answers on a bare host")
	} else if !strings.Contains(err.Error(), edge.Addr) {
		t.Errorf("the HTTP client went elsewhere: %v", err)
	}
	out, err := l.Command(t.Context(), "getent", "hosts", name).Output()
	if err != nil || !strings.HasPrefix(string(out), edge.Addr) {
		t.Errorf("a program of this machine resolves %s to %q, %v", name, out, err)
	}
	if after, err := os.ReadFile("/etc/hosts"); err != nil || string(after) != string(before) {
		t.Errorf("this machine's /etc/hosts was changed: %v\n%s", err, after)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	h := l.Boot(lab.Spec{Name: "edge"})
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := h.Run(ctx, "cd /root; sleep 1234"); err == nil {
		t.Error("an endless command ended in order")
	}
	if got := lab.MustRun(t, h, "ps ax -o args= | grep -c '^sleep 123[4]' || true"); got != "0" {
		t.Errorf("%s endless commands still run", got)
	}
	if got := lab.MustRun(t, h, "pwd; id -un; echo $HOME"); got != "/\nroot\n/root" {
		t.Errorf("commands run with %q", got)
	}
}

func TestUnknownDistribution(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	h := l.Boot(lab.Spec{Name: "odd", OSRelease: lab.Fedora})
	if got := lab.MustRun(t, h, ". /etc/os-release && echo $ID"); got != "fedora" {
		t.Errorf("the host says it is %q", got)
	}
}

func TestLabsSideBySide(t *testing.T) {
	for i := range 3 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			l := lab.New(t)
			h := l.Boot(lab.Spec{Name: "edge"})
			lab.MustRun(t, h, "systemctl restart systemd-logind && systemctl is-active systemd-logind")
			if got, err := ssh(t, h, lab.Root, "hostname"); err != nil || got != "edge" {
				t.Errorf("ssh: %q, %v", got, err)
			}
		})
	}
}

func TestBootRefusesNonsense(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	l.Boot(lab.Spec{Name: "twice"})
	for _, spec := range []lab.Spec{
		{}, {Name: "Upper"}, {Name: "-a"}, {Name: "a;reboot"}, {Name: strings.Repeat("a", 25)},
		{Name: "suite", Suite: "sid"}, {Name: "twice"},
	} {
		if _, err := l.Lab.Boot(t.Context(), spec); err == nil {
			t.Errorf("%+v was booted", spec)
		}
	}
}

func TestEngines(t *testing.T) {
	t.Parallel()
	l := lab.New(t)
	for _, h := range l.BootAll(lab.Spec{Name: "gpu-1"}, lab.Spec{Name: "gpu-2", Suite: lab.Bookworm}) {
		t.Run(h.Name, func(t *testing.T) {
			t.Run("stub", func(t *testing.T) { checkStub(t, h) })
			t.Run("small model", func(t *testing.T) { checkSmallModel(t, h) })
		})
	}
}

// ask asks an engine for a stream from the host it runs on.
func ask(e lab.Engine, key string, seconds int) string {
	return fmt.Sprintf(`curl -sN --max-time %d %s/v1/chat/completions -H 'Authorization: Bearer %s' -d '{"model":%q,`+
		`"stream":true,"temperature":0,"messages":[{"role":"user","content":"What is the capital of France?"}]}'`,
		seconds, e.URL, key, e.Model)
}

func checkStub(t *testing.T, h *lab.Host) {
	e, err := h.StartStubEngine(t.Context(), lab.StubOptions{Models: []string{"m", "n"}, Tokens: 5})
	if err != nil {
		t.Fatal(err)
	}
	if got := lab.MustRun(t, h, ask(e.Engine, e.Key, patience)); strings.Count(got, "data: ") != 7 || !strings.Contains(got, `"5 "`) {
		t.Errorf("the stub streams %s", got)
	}
	if got := lab.MustRun(t, h, ask(e.Engine, "wrong", patience)); !strings.Contains(got, "Unauthorized") {
		t.Errorf("to a wrong key the stub says %s", got)
	}
	if err := e.Hang(t.Context()); err != nil {
		t.Fatal(err)
	}
	lab.MustRun(t, h, fmt.Sprintf("curl -sf --max-time %d %s/health", patience, e.URL))
	if got, err := h.Run(t.Context(), ask(e.Engine, e.Key, 1)); err == nil {
		t.Errorf("a hung stub answers %s", got)
	}
	if err := e.Unhang(t.Context()); err != nil {
		t.Fatal(err)
	}
	metrics, err := e.Metrics(t.Context())
	if err != nil || metrics[lab.MetricStarted] != 2 || metrics[lab.MetricCancelled] != 1 || metrics[lab.MetricRunning] != 0 {
		t.Errorf("metrics are %v, %v", metrics, err)
	}
	if err := e.Die(t.Context()); err != nil {
		t.Fatal(err)
	}
	lab.MustRun(t, h, "while systemctl is-active --quiet "+e.Unit+"; do sleep 0.05; done")
	if got := lab.MustRun(t, h, "systemctl show --property=Result --value "+e.Unit); got != "success" {
		t.Errorf("a dead engine is a %s to systemd, want success", got)
	}
	if err := e.Start(t.Context()); err != nil {
		t.Error(err)
	}
	if got := lab.MustRun(t, h, "ps ax -o args="); strings.Contains(got, e.Key) {
		t.Error("the key stands in a command line")
	}
}

func checkSmallModel(t *testing.T, h *lab.Host) {
	start := time.Now()
	e, err := h.StartSmallModel(t.Context(), lab.SmallModelOptions{Port: 8001})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("the small model answers after %s", time.Since(start).Round(time.Millisecond))
	start = time.Now()
	events := lab.MustRun(t, h, ask(e, e.Key, 2*patience))
	t.Logf("its whole answer took %s", time.Since(start).Round(time.Millisecond))
	var text strings.Builder
	for line := range strings.Lines(events) {
		if _, after, ok := strings.Cut(line, `"content":"`); ok {
			content, _, _ := strings.Cut(after, `"`)
			text.WriteString(content)
		}
	}
	if !strings.Contains(text.String(), "Paris") || strings.Count(events, "data: ") < 5 {
		t.Errorf("the small model says %q in:\n%s", text.String(), events)
	}
	if got := lab.MustRun(t, h, ask(e, "wrong", patience)); strings.Contains(got, "chat.completion") {
		t.Errorf("to a wrong key it answers %s", got)
	}
	if got := lab.MustRun(t, h, "command -v pip gcc || ls -d /usr/lib/python3/dist-packages/xllamacpp 2>/dev/null || echo bare"); got != "bare" {
		t.Errorf("the host is not bare: %s", got)
	}
}

// leftovers lists what labs leave on this machine while they stand.
func leftovers(t *testing.T, dir string) []string {
	t.Helper()
	var left []string
	number := filepath.Base(dir)
	for _, path := range []string{dir, "/sys/class/net/rlab" + number} {
		if _, err := os.Stat(path); err == nil {
			left = append(left, path)
		}
	}
	for _, pattern := range []string{"/sys/fs/cgroup/relayctl-lab-" + number, "/sys/fs/cgroup/*/relayctl-lab-" + number,
		"/run/systemd/nspawn/propagate/rlab" + number + "-*", "/sys/class/net/vb-rlab" + number + "-*"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		left = append(left, found...)
	}
	for _, args := range [][]string{{"nft", "list", "tables"}, {"cat", "/proc/self/mounts"}, {"ps", "ax", "-o", "args="}} {
		out, err := exec.CommandContext(t.Context(), args[0], args[1:]...).Output()
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(out)) {
			if strings.Contains(line, dir+"/") || strings.TrimSpace(line) == "table ip relayctl_lab_"+number {
				left = append(left, strings.TrimSpace(line))
			}
		}
	}
	return left
}

// TestFrozenHosts are prepared once, and as they were from then on, in whatever
// lab of the slot.
func TestFrozenHosts(t *testing.T) {
	specs := []lab.Spec{{Name: "edge"}, {Name: "gpu-1", Suite: lab.Bookworm}}
	prepared := 0
	frozen := func(origin string) lab.Frozen {
		return lab.Frozen{Origin: origin, Prepare: func(hosts []*lab.Host, folder string) error {
			prepared++
			_, err := hosts[1].Run(t.Context(), "rm /etc/issue; echo "+origin+" | cat - /etc/machine-id > /etc/origin")
			return errors.Join(err, os.WriteFile(filepath.Join(folder, "note"), []byte(origin), 0o600))
		}}
	}
	slot, run := "", fmt.Sprint(time.Now().UnixNano()) // what a former run froze does not count
	for _, row := range []struct {
		origin   string
		prepared int
	}{{"one" + run, 1}, {"one" + run, 1}, {"other" + run, 2}, {"one" + run, 3}} {
		l := openSlot(t, slot)
		slot = l.Dir
		hosts, folder, err := l.BootFrozen(t.Context(), frozen(row.origin), specs...)
		if err != nil {
			t.Fatal(err)
		}
		if prepared != row.prepared {
			t.Errorf("%s: prepared %d times by now, want %d", row.origin, prepared, row.prepared)
		}
		if note, err := os.ReadFile(filepath.Join(folder, "note")); err != nil || string(note) != row.origin {
			t.Errorf("beside them lies %q, %v", note, err)
		}
		if got := lab.MustRun(t, hosts[1], "echo "+row.origin+" | cat - /etc/machine-id | diff - /etc/origin; ls -d /etc/issue; true"); got != "" {
			t.Errorf("the host says %q", got)
		}
		for _, h := range hosts {
			if got, err := ssh(t, h, lab.Admin, "sudo hostname; getent hosts edge"); err != nil || !strings.HasPrefix(got, h.Name+"\n"+hosts[0].Addr) {
				t.Errorf("ssh: %q, %v", got, err)
			}
			if known, err := os.ReadFile(h.KnownHosts); err != nil || len(h.HostKeys) != 2 || strings.Count(string(known), "\n"+h.Addr+" ") != 1 {
				t.Errorf("%d host keys, known by %q, %v", len(h.HostKeys), known, err)
			}
		}
		if _, _, err := l.BootFrozen(t.Context(), frozen("two"), lab.Spec{Name: "gpu-2"}); err == nil {
			t.Error("frozen hosts got other addresses")
		}
		lab.MustRun(t, hosts[1], "echo changed > /etc/origin") // this lab's
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// openSlot opens a lab in a slot, "" standing for any. Others may have it for a
// while.
func openSlot(t *testing.T, dir string) *lab.Lab {
	t.Helper()
	for {
		l, err := lab.Open(t.Context(), lab.Options{Logf: t.Logf})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		if dir == "" || l.Dir == dir {
			return l
		}
	}
}
