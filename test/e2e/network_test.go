package e2e_test

import (
	"math/rand/v2"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/relayctl/relayctl/test/lab"
)

// giveUpLimit is generous: relayctl gives a silent host up after 30 s, and ends
// what it can on the others.
const giveUpLimit = 3 * time.Minute

// TestNetwork has the network fail in the middle of applies: for a moment, for
// good, and with this machine asleep meanwhile. Each time the next apply ends
// where an undisturbed one does.
func TestNetwork(t *testing.T) {
	k := &killing{site: appliedSite(t), random: rand.New(rand.NewPCG(1, 2))}
	k.learn()
	k.step("cut for 5 s", func() {
		r := k.disturbed(0, blow{line: "unit relay-server: ", fall: k.cutFor(k.Edge, 5*time.Second)})
		if r.code != 0 {
			k.t.Errorf("exit code %d, want 0", r.code)
		}
		k.finish(k.forms[0])
	})
	k.step("the proxy host cut off", func() {
		r := k.disturbed(1, blow{line: "edge ", fall: k.cut(k.Edge)})
		k.mustTellLoss(r, "edge")
		k.mustLetGo(k.Edge)
		k.mend(k.Edge)
		k.finish(k.forms[1])
	})
	k.step("a worker cut off", func() {
		r := k.disturbed(2, blow{line: "gpu-2  unit relay-worker: ", fall: k.cut(k.Workers[1])})
		k.mustTellLoss(r, "gpu-2")
		want(k.t, r.out, "edge is done. gpu-2 stopped after ", "stub answered through https://"+domain)
		k.mustLetGo(k.Workers[1])
		k.mend(k.Workers[1])
		k.finish(k.forms[2])
	})
	k.step("relayctl asleep", func() {
		r := k.disturbed(0, blow{line: "edge ", fall: k.sleep(40 * time.Second)})
		if r.code != 1 {
			k.t.Errorf("exit code %d, want 1", r.code)
		}
		want(k.t, r.out, "relay-host: nothing was heard of relayctl for 30s", "Was this machine asleep",
			"Run apply again when mended: it goes on from there.")
		for _, h := range k.hosts() {
			k.mustLetGo(h)
		}
		k.finish(k.forms[0])
	})
	k.step("the proxy host cut off during the proof", k.cutDuringProof)
}

// TestSSHDFails has the SSH server, or what is between, fail in the middle of
// applies.
func TestSSHDFails(t *testing.T) {
	k := &killing{site: appliedSite(t), random: rand.New(rand.NewPCG(3, 4))}
	k.learn()
	lost := "connection to " + k.Edge.Addr + ":22 lost: "
	k.step("stopped", func() {
		r := k.disturbed(0, blow{line: "edge ", fall: k.onHost(k.Edge, "systemctl stop ssh.socket ssh.service")})
		if r.code != 0 {
			k.t.Errorf("exit code %d, want 0: sessions live on", r.code)
		}
		k.stops([]string{"plan"}, "Error: edge: reach "+k.Edge.Addr+":22: the connection was refused", "Is sshd running, and on this port?")
		lab.MustRun(k.t, k.Edge, "systemctl start ssh")
		k.finish(k.forms[0])
	})
	k.step("the session killed", func() {
		r := k.disturbed(1, blow{line: "edge ", fall: k.onHost(k.Edge, "pkill --signal KILL --full '^sshd(-session)?: admin'")})
		if r.code != 1 {
			k.t.Errorf("exit code %d, want 1", r.code)
		}
		want(k.t, r.out, "Error: edge: ", lost)
		if !strings.Contains(r.out, "it hung up") && !strings.Contains(r.out, "connection reset by peer") { // it had something unread
			k.t.Error("how the session ended is not told")
		}
		k.wantPlace(r)
		k.mustLetGo(k.Edge)
		k.finish(k.forms[1])
	})
	k.step("the connection reset", func() {
		reject := " INPUT --protocol tcp --dport 22 --jump REJECT --reject-with tcp-reset"
		r := k.disturbed(2, blow{line: "edge ", fall: k.onHost(k.Edge, "iptables --insert"+reject)})
		if r.code != 1 {
			k.t.Errorf("exit code %d, want 1", r.code)
		}
		want(k.t, r.out, "Error: edge: ", lost+"connection reset by peer")
		k.wantPlace(r)
		k.mustLetGo(k.Edge)
		lab.MustRun(k.t, k.Edge, "iptables --delete"+reject)
		k.finish(k.forms[2])
	})
}

// wantPlace holds that it is told how far edge had come, wherever the blow fell.
func (k *killing) wantPlace(r result) {
	k.t.Helper()
	if !strings.Contains(r.out, "edge: last heard of at step ") && !strings.Contains(r.out, "edge: all its steps were done") {
		k.t.Errorf("where edge was is not told:\n%s", r.out)
	}
}

// onHost runs a line on a host.
func (k *killing) onHost(h *lab.Host, line string) func(*os.Process) {
	return func(*os.Process) { lab.MustRun(k.t, h, line) }
}

// disturbed applies a form with one blow, and holds that relayctl ended in time.
func (k *killing) disturbed(form int, b blow) result {
	k.t.Helper()
	k.writeStack(k.forms[form].file)
	began := time.Now()
	r := k.struck(b)
	if took := time.Since(began); took > giveUpLimit {
		k.t.Errorf("it took %v", took)
	}
	return r
}

func (k *killing) cut(h *lab.Host) func(*os.Process) {
	return func(*os.Process) {
		if err := h.CutNetwork(k.t.Context()); err != nil {
			k.t.Fatal(err)
		}
	}
}

func (k *killing) mend(h *lab.Host) {
	k.t.Helper()
	if err := h.MendNetwork(k.t.Context()); err != nil {
		k.t.Fatal(err)
	}
}

// cutFor cuts a host off for some time, for which the test has to wait.
func (k *killing) cutFor(h *lab.Host, pause time.Duration) func(*os.Process) {
	return func(relayctl *os.Process) {
		k.cut(h)(relayctl)
		k.pause(pause)
		k.mend(h)
	}
}

// sleep stops relayctl as the sleep of its machine does.
func (k *killing) sleep(pause time.Duration) func(*os.Process) {
	return func(relayctl *os.Process) {
		if err := relayctl.Signal(syscall.SIGSTOP); err != nil {
			k.t.Fatal(err)
		}
		k.pause(pause)
		if err := relayctl.Signal(syscall.SIGCONT); err != nil {
			k.t.Fatal(err)
		}
	}
}

func (k *killing) pause(pause time.Duration) {
	select {
	case <-time.After(pause):
	case <-k.t.Context().Done():
	}
}

// mustTellLoss fails unless relayctl said which host it lost, where it stopped
// there, and what to do.
func (k *killing) mustTellLoss(r result, host string) {
	k.t.Helper()
	if r.code != 1 {
		k.t.Errorf("exit code %d, want 1", r.code)
	}
	want(k.t, r.out, "Error: "+host+": ", "nothing came for 21 s", "Was this machine asleep, the network down, or the host restarted?",
		"Run apply again when mended: it goes on from there.")
	if !strings.Contains(r.out, host+": last heard of at step ") && !strings.Contains(r.out, host+": all its steps were done") {
		k.t.Errorf("how far %s came is missing in:\n%s", host, r.out)
	}
}

// mustLetGo fails unless relay-host ends by itself on a host, which may be cut
// off, and gives the lock back.
func (k *killing) mustLetGo(h *lab.Host) {
	k.t.Helper()
	left := lab.MustRun(k.t, h, "for n in $(seq 1200); do pgrep --exact relay-host >/dev/null || break; sleep 0.1; done\n"+leftBehind)
	if left != "" {
		k.t.Errorf("%s: left behind:\n%s", h.Name, left)
	}
}

// cutDuringProof has the engines hang, so that the proof lasts.
func (k *killing) cutDuringProof() {
	for _, engine := range k.Engines {
		if err := engine.Hang(k.t.Context()); err != nil {
			k.t.Fatal(err)
		}
	}
	r := k.disturbed(1, blow{line: "waiting for stub to answer", fall: k.cut(k.Edge)})
	if r.code != 1 {
		k.t.Errorf("exit code %d, want 1", r.code)
	}
	want(k.t, r.out, "Error: stub: the connection to edge was lost", "Error: edge: end the apply: connection to ", "nothing came for 21 s", "edge: all its steps were done.")
	if strings.Contains(r.out, "stub answered") {
		k.t.Error("an answer was told")
	}
	k.mustLetGo(k.Edge)
	k.mend(k.Edge)
	for _, engine := range k.Engines {
		if err := engine.Unhang(k.t.Context()); err != nil {
			k.t.Fatal(err)
		}
	}
	k.finish(k.forms[1])
}
