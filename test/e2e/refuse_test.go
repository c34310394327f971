package e2e_test

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/relayctl/relayctl/test/lab"
)

const laptop = "api_key \"laptop\" {}\n"

// TestRefuse has hosts that can't be worked on. Each is told by an error that
// points at its line; the others are finished.
func TestRefuse(t *testing.T) {
	s := newSite(t)
	fedora := s.Boot(lab.Spec{Name: "gpu-3", OSRelease: lab.Fedora})
	s.know(s.Edge, s.Workers[0], s.Workers[1], fedora)

	s.step("the others are finished", func() { s.manyRefused(fedora) })
	s.writeStack(s.stack())
	s.apply()
	s.mustBeDone()
	s.step("an unknown host key", s.unknownKey)
	s.step("another host key", s.changedKey)
	s.step("a host that is off", s.switchedOff)
	s.step("sudo refused", s.sudoRefused)
	s.step("another stack", s.anotherStack)
	s.step("one machine twice", s.oneMachineTwice)
	s.step("no proxy", s.noProxy)
	s.know(s.Edge, s.Workers[0], s.Workers[1])
	s.writeStack(s.stack())
	s.mustBeDone()
}

// manyRefused applies for the first time, with one good worker among some that
// are not.
func (s *site) manyRefused(fedora *lab.Host) {
	good, pinned := s.Workers[0], s.Workers[1]
	s.writeStack(s.stackOf(s.proxy(), s.worker(good),
		s.workerAt("gpu-2", pinned.Addr, "host_key = \""+good.HostKeys[0]+"\""),
		s.workerAt("gpu-3", fedora.Addr, ""),
		s.workerAt("gpu-4", s.freeAddress(), ""),
		s.workerAt("gpu-5", "gpu-5.lab.test", ""), laptop))
	before := []lab.Snapshot{s.snapshot(pinned), s.snapshot(fedora)}
	r := s.relayctl("apply", "--yes", "--keys-out", "keys")
	if r.code != 1 {
		s.t.Errorf("exit code %d, want 1", r.code)
	}
	want(s.t, r.out,
		"Error: gpu-2: verify host key of "+pinned.Addr, `worker "gpu-2" {`, "pinned is "+good.HostKeys[0], pinned.HostKeys[0], pinned.HostKeys[1],
		"Error: gpu-3: Fedora Linux 42 (Server Edition) on amd64 is not supported", `worker "gpu-3" {`, "Hosts run Debian 12, Debian 13 or Ubuntu 24.04",
		"Error: gpu-4: reach "+s.freeAddress()+":22: ", `worker "gpu-4" {`,
		"Error: gpu-5: reach gpu-5.lab.test:22: its name can't be resolved", `worker "gpu-5" {`,
		"edge is done. gpu-1 is done. Not touched: gpu-2, gpu-3, gpu-4, gpu-5.",
		"Run apply again when mended", "stub answered through https://"+domain)
	if diff := cmp.Diff(before, []lab.Snapshot{s.snapshot(pinned), s.snapshot(fedora)}); diff != "" {
		s.t.Errorf("a refused host was changed (-before +after):\n%s", diff)
	}
	s.mustLeaveNothing(pinned, fedora)
	s.mustKnow("gpu-1.json")
	s.mustAnswer(s.client(), s.key("laptop"), "stub")
	if r := s.relayctl("plan", "--detailed-exitcode"); r.code != 1 || !strings.Contains(r.out, "2 of 6 hosts looked at") {
		s.t.Errorf("a plan that could not see all hosts: exit code %d", r.code)
	}
}

func (s *site) unknownKey() {
	stranger := s.Workers[1]
	s.know(s.Edge, s.Workers[0])
	s.refuses("gpu-2", "verify host key of "+stranger.Addr+": ssh-ed25519 "+stranger.HostKeys[0]+" is not known",
		"ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub", `host_key = "`+stranger.HostKeys[0]+`"`, "--accept-new-host-keys")
	want(s.t, s.mustRelayctl("plan", "--accept-new-host-keys"), stranger.HostKeys[0], "Everything is as stack.hcl says")
	s.mustBeDone() // it is known from now on
}

func (s *site) changedKey() {
	changed := s.Workers[1]
	keys, err := os.ReadFile(s.Workers[0].KnownHosts)
	if err != nil {
		s.t.Fatal(err)
	}
	s.know(s.Edge, s.Workers[0])
	known, err := os.ReadFile(filepath.Join(s.home, ".ssh", "known_hosts"))
	if err != nil {
		s.t.Fatal(err)
	}
	s.writeHome(".ssh/known_hosts", string(known)+strings.ReplaceAll(string(keys), s.Workers[0].Addr, changed.Addr))
	says := []string{"verify host key of " + changed.Addr, changed.HostKeys[0], fmt.Sprintf("known_hosts:%d lists another", bytes.Count(known, []byte("\n"))+1), "ssh-keygen -f", "-R '" + changed.Addr + "'"}
	s.refuses("gpu-2", says...)
	// A new key is one that was never seen; this one is another.
	r := s.relayctl("plan", "--accept-new-host-keys")
	if r.code != 1 {
		s.t.Errorf("exit code %d, want 1", r.code)
	}
	want(s.t, r.out, says...)
	s.know(s.Edge, s.Workers[0], changed)
}

func (s *site) switchedOff() {
	off := s.Workers[1]
	if err := off.Stop(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	s.Workers = s.Workers[:1]
	s.stops([]string{"apply", "--yes", "--keys-out", "keys"},
		"Error: gpu-2: reach "+off.Addr+":22: ", "Is it up", "Not touched: gpu-2. Run apply again when mended", "stub answered through")
	s.Workers = append(s.Workers, off)
	r := s.relayctl("status")
	if r.code != 1 {
		s.t.Errorf("status: exit code %d, want 1", r.code)
	}
	want(s.t, r.out, "gpu-2")
	if err := off.Start(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) sudoRefused() {
	s.writeStack(s.stackOf(s.proxy(), s.worker(s.Workers[0]), s.workerAt("gpu-2", s.Workers[1].Addr, `user = "nosudo"`), laptop))
	s.refuses("gpu-2", "become root as nosudo: sudo wants a password", "log in as root, or let nosudo use sudo without a password", "/etc/sudoers.d/relayctl")
	s.mustLeaveNothing(s.Workers[1])
}

func (s *site) anotherStack() {
	s.writeStack(strings.Replace(s.stack(), `stack "lab"`, `stack "other"`, 1))
	s.stops([]string{"apply", "--yes", "--keys-out", "keys"},
		`Error: edge: it belongs to the stack "lab", not to "other"`, `proxy "edge" {`,
		`Error: gpu-1: it belongs to the stack "lab", not to "other"`, `worker "gpu-1" {`,
		`take it out of the file of "lab" and apply that first`)
	s.writeStack(s.stack())
}

// oneMachineTwice gives a worker a second address and names both.
func (s *site) oneMachineTwice() {
	twin, second := s.Workers[0], s.freeAddress()
	lab.MustRun(s.t, twin, "ip address add "+second+"/24 dev host0")
	s.know(s.Edge, s.Workers[0], s.Workers[1])
	s.writeStack(s.stackOf(s.proxy(), s.worker(twin), s.workerAt("gpu-9", second, `host_key = "`+twin.HostKeys[0]+`"`), laptop))
	s.stops([]string{"apply", "--yes", "--keys-out", "keys"},
		"Error: gpu-9: it is the same machine as gpu-1", `worker "gpu-9" {`, "put the models of gpu-1 and gpu-9 into one worker block")
	lab.MustRun(s.t, twin, "ip address del "+second+"/24 dev host0")
	s.writeStack(s.stack())
}

// noProxy has a proxy that can't be worked on: everything else waits for it.
func (s *site) noProxy() {
	s.writeStack(strings.Replace(s.stack(), `  tls "internal" {}`, "  ssh {\n    user = \"nosudo\"\n  }\n  tls \"internal\" {}", 1) +
		"api_key \"phone\" {}\n")
	s.stops([]string{"apply", "--yes", "--keys-out", "keys"}, "Error: edge: become root as nosudo", `proxy "edge" {`)
	s.writeStack(s.stack())
}

// refuses holds that plan and apply tell why one worker can't be worked on, and
// that this changes nothing anywhere.
func (s *site) refuses(worker string, says ...string) {
	s.t.Helper()
	says = append([]string{"Error: " + worker + ": ", fmt.Sprintf("worker %q {", worker)}, says...)
	r := s.relayctl("plan", "--detailed-exitcode")
	if r.code != 1 {
		s.t.Errorf("plan: exit code %d, want 1", r.code)
	}
	want(s.t, r.out, says...)
	want(s.t, r.out, "What was seen is as stack.hcl says")
	s.stops([]string{"apply", "--yes", "--keys-out", "keys"},
		append(says, "Not touched: "+worker+". Run apply again when mended", "stub answered through")...)
}

// workerAt is the block of a worker with something in its ssh block.
func (s *site) workerAt(name, address, ssh string) string {
	return fmt.Sprintf("worker %q {\n  address = %q\n\n  ssh {\n    %s\n  }\n\n  model \"stub\" {\n    backend     = \"http://127.0.0.1:8000\"\n    backend_key = file(%q)\n    concurrency = 8\n  }\n}\n",
		name, address, ssh, s.Workers[1].Name+".key")
}

// freeAddress is one of the lab's network that no host has.
func (s *site) freeAddress() string {
	ip := net.ParseIP(s.Edge.Addr).To4()
	return net.IPv4(ip[0], ip[1], ip[2], 250).String()
}

func (s *site) snapshot(h *lab.Host) lab.Snapshot {
	s.t.Helper()
	snapshot, err := h.Snapshot()
	if err != nil {
		s.t.Fatal(err)
	}
	return snapshot
}

// mustLeaveNothing fails where first contact left its program behind.
func (s *site) mustLeaveNothing(hosts ...*lab.Host) {
	s.t.Helper()
	for _, h := range hosts {
		if left := lab.MustRun(s.t, h, "find /tmp /var/tmp /home /root -name 'relayctl-*'"); left != "" {
			s.t.Errorf("left on %s: %s", h.Name, left)
		}
	}
}
