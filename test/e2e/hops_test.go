package e2e_test

import (
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/relayctl/relayctl/test/lab"
)

// chain is a site whose workers stand one behind the other: gpu-1 lets in edge
// only, and gpu-2 gpu-1. Each hop has an account and a key of its own.
type chain struct {
	*site
	first, second string // the hops' names as ssh has them
}

func newChain(t *testing.T) *chain {
	t.Helper()
	s := appliedSite(t)
	c := &chain{s, "hop1@" + s.Edge.Addr, "hop2@" + s.Workers[0].Addr + ":2222"}
	c.account(s.Edge, "hop1")
	c.account(s.Workers[0], "hop2")
	lab.MustRun(t, s.Workers[0], "printf 'Port 22\\nPort 2222\\n' >> /etc/ssh/sshd_config; "+restart)
	for i, h := range s.Workers {
		before := append([]*lab.Host{s.Edge}, s.Workers...)[i]
		lab.MustRun(t, h, "iptables -A INPUT -p tcp -m multiport --dports 22,2222 ! -s "+before.Addr+" -j REJECT")
	}
	return c
}

// account makes an account for a hop, with a key that ssh's configuration knows.
func (c *chain) account(h *lab.Host, name string) {
	c.t.Helper()
	key := filepath.Join(c.home, ".ssh", name)
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key).CombinedOutput(); err != nil {
		c.t.Fatalf("ssh-keygen: %v: %s", err, out)
	}
	lab.MustRun(c.t, h, fmt.Sprintf("useradd --create-home --shell /bin/bash %[1]s && install -d -m 700 -o %[1]s -g %[1]s /home/%[1]s/.ssh && echo '%[2]s' > /home/%[1]s/.ssh/authorized_keys",
		name, strings.TrimSpace(c.readHome(".ssh/"+name+".pub"))))
}

// configure writes ~/.ssh/config: the keys of both hops, and more.
func (c *chain) configure(more string) {
	c.t.Helper()
	text := more
	for _, name := range []string{"hop1", "hop2"} {
		text += fmt.Sprintf("Match user %s\n  IdentityFile %s\n  IdentitiesOnly yes\n", name, filepath.Join(c.home, ".ssh", name))
	}
	c.writeHome(".ssh/config", text)
}

// jumping writes the stack file with hops for both workers; "" for none.
func (c *chain) jumping(first, second string) {
	c.t.Helper()
	blocks := []string{c.proxy()}
	for i, jump := range []string{first, second} {
		block := c.worker(c.Workers[i])
		if jump != "" {
			block = strings.Replace(block, "\n  model", "\n  ssh {\n    jump = "+jump+"\n  }\n\n  model", 1)
		}
		blocks = append(blocks, block)
	}
	c.writeStack(c.stackOf(append(blocks, laptop)...))
}

// TestHops has workers behind others, which ssh can reach by the same ways.
func TestHops(t *testing.T) {
	c := newChain(t)
	second := fmt.Sprintf("[%q, %q]", c.first, c.second)
	c.configure("")
	c.step("the stack file has them", func() {
		c.jumping(`"edge"`, second)
		c.writeStack(strings.ReplaceAll(c.readHome("stack.hcl"), "concurrency = 8", "concurrency = 9"))
		c.apply()
		c.mustBeDone()
		c.mustAnswer(c.client(), c.key("laptop"), "stub")
		c.jumping(`"edge"`, second)
		c.apply()
		c.mustBeDone()
	})
	c.step("ssh goes there, too", func() {
		for _, h := range c.Workers {
			if said := c.mustRelayctl("ssh", h.Name, "hostname"); !strings.HasSuffix(strings.TrimSpace(said), h.Name) {
				c.t.Errorf("relayctl ssh %s says %q", h.Name, said)
			}
		}
	})
	c.step("ssh's configuration has them", func() {
		c.configure(fmt.Sprintf("Host %s\n  ProxyJump %s\nHost %s\n  ProxyJump %s,%s\n", c.Workers[0].Addr, c.first, c.Workers[1].Addr, c.first, c.second))
		c.jumping("", "")
		c.mustBeDone()
	})
	c.step("a command has them", func() {
		c.configure(fmt.Sprintf("Host %s\n  ProxyCommand ssh -W %%h:%%p %s\nHost %s\n  ProxyCommand ssh -J %s -W %%h:%%p -p 2222 hop2@%s\n",
			c.Workers[0].Addr, c.first, c.Workers[1].Addr, c.first, c.Workers[0].Addr))
		c.mustBeDone()
		c.configure(fmt.Sprintf("Host %s\n  ProxyCommand ssh -W %%h:%%p nobody@%s\nHost %s\n  ProxyJump %s,%s\n", c.Workers[0].Addr, c.Edge.Addr, c.Workers[1].Addr, c.first, c.second))
		c.fails("Error: gpu-1: ", "its ProxyCommand ended; it says: ", "Permission denied")
	})
	c.configure("")
	c.jumping(`"edge"`, second)
	c.step("a hop lets nothing through", func() {
		lab.MustRun(c.t, c.Edge, "cp /etc/ssh/sshd_config /root/; echo 'AllowTcpForwarding no' >> /etc/ssh/sshd_config; "+restart)
		defer lab.MustRun(c.t, c.Edge, restoreSSHD)
		c.fails("Error: gpu-1: ", c.Edge.Addr+":22 lets no connection through", "through edge", "AllowTcpForwarding",
			"Error: gpu-2: ", "go through "+c.second)
	})
	c.step("a hop does not know the key", func() {
		lab.MustRun(c.t, c.Workers[0], "mv /home/hop2/.ssh/authorized_keys /root/hop2")
		defer lab.MustRun(c.t, c.Workers[0], "mv /root/hop2 /home/hop2/.ssh/authorized_keys")
		c.fails("Error: gpu-2: ", "go through "+c.second+": log in to "+c.Workers[0].Addr+":2222 as hop2: the server took none of 2 keys", "name another user or IdentityFile in ~/.ssh/config")
	})
	c.step("a hop is another", func() {
		known := c.readHome(".ssh/known_hosts")
		defer c.writeHome(".ssh/known_hosts", known)
		c.writeHome(".ssh/known_hosts", strings.ReplaceAll(known, c.Workers[0].Addr, c.Workers[0].Addr+"9"))
		c.fails("Error: gpu-2: ", "go through "+c.second+": verify host key of ["+c.Workers[0].Addr+"]:2222", "is not known")
	})
	c.step("a hop dies in the middle", c.diesInTheMiddle)
	c.step("a worker behind a hop leaves", func() {
		c.jumping(`"edge"`, second)
		c.apply() // which notes by what way it is found
		c.writeStack(c.stackOf(c.proxy(), strings.Replace(c.worker(c.Workers[0]), "\n  model", "\n  ssh {\n    jump = \"edge\"\n  }\n\n  model", 1), laptop))
		want(c.t, c.apply(), "gpu-2")
		if out := lab.MustRun(c.t, c.Workers[1], "systemctl is-active relay-worker || true"); strings.TrimSpace(out) == "active" {
			c.t.Error("relay-worker still runs on gpu-2")
		}
		c.mustBeDone()
	})
}

// diesInTheMiddle has the first hop fall silent while a program is brought
// through it.
func (c *chain) diesInTheMiddle() {
	line := newStall(c.t, net.JoinHostPort(c.Edge.Addr, "22"), 1<<20)
	c.configure(fmt.Sprintf("Match host 127.0.0.1\n  HostKeyAlias %s\n", c.Edge.Addr))
	dying := fmt.Sprintf("[%q, %q]", "hop1@127.0.0.1:"+strconv.Itoa(line.port), c.second)
	lab.MustRun(c.t, c.Workers[1], "rm -r /usr/local/lib/relayctl/relay-worker")
	c.jumping(`"edge"`, dying)
	r := c.relayctl("apply", "--yes", "--keys-out", "keys")
	if r.code != 1 {
		c.t.Errorf("exit code %d, want 1", r.code)
	}
	want(c.t, r.out, "gpu-2  program relay-worker: uploading", "Error: gpu-2: ",
		"connection to 127.0.0.1:"+strconv.Itoa(line.port)+" lost: nothing came for 21 s", "Run apply again when mended")
	lab.MustRun(c.t, c.Workers[1], "for n in $(seq 1200); do pgrep --exact relay-host >/dev/null || break; sleep 0.1; done")
	line.after.Store(1 << 40)
	c.apply()
	c.mustBeDone()
	c.mustBeFree()
}
