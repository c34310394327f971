package bench_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/relayctl/relayctl/internal/remote/remotetest"
)

// ansibleFiles is how many files Ansible finds as they should be on each host:
// a worker host of the same stack has about as many resources.
const ansibleFiles = 12

// ansible is how long Ansible takes, with pipelining and a fork per host, to
// find that there is nothing to do on hosts that are as far as a fleet's. They
// run its modules on this machine, each in a folder of its own.
func ansible(b *testing.B, hosts int) time.Duration {
	b.Helper()
	dir, err := os.MkdirTemp("", "bench") // short: ssh's control sockets go below
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { os.RemoveAll(dir) })
	var inventory, playbook strings.Builder
	for i := range hosts {
		server := remotetest.Start(b, remotetest.Options{RTT: far, Shell: true})
		fmt.Fprintf(&inventory, "host-%d ansible_host=127.0.0.1 ansible_port=%d ansible_user=root ansible_ssh_private_key_file=%s root=%s\n",
			i, server.Port(), server.KeyFile, server.Root)
		for file := range ansibleFiles {
			if err := os.WriteFile(filepath.Join(server.Root, fmt.Sprint("file-", file)), []byte("content\n"), 0o644); err != nil {
				b.Fatal(err)
			}
		}
	}
	playbook.WriteString("- hosts: all\n  gather_facts: no\n  tasks:\n")
	for file := range ansibleFiles {
		fmt.Fprintf(&playbook, "  - copy: {content: \"content\\n\", dest: \"{{ root }}/file-%d\", mode: \"0644\"}\n", file)
	}
	for name, content := range map[string]string{"hosts": inventory.String(), "play.yml": playbook.String()} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			b.Fatal(err)
		}
	}
	run := exec.CommandContext(b.Context(), "ansible-playbook", "-i", "hosts", "-f", fmt.Sprint(hosts), "play.yml")
	run.Dir = dir
	run.Env = append(os.Environ(), "HOME="+dir, "ANSIBLE_HOST_KEY_CHECKING=False", "ANSIBLE_PIPELINING=True",
		"ANSIBLE_SSH_CONTROL_PATH_DIR="+dir, "ANSIBLE_PYTHON_INTERPRETER=/usr/bin/python3")
	begun := time.Now()
	said, err := run.CombinedOutput()
	took := time.Since(begun)
	if want := fmt.Sprintf("ok=%d ", ansibleFiles); err != nil ||
		strings.Count(string(said), want) != hosts || strings.Count(string(said), "changed=0 ") != hosts {
		b.Fatalf("ansible: %v\n%s", err, said)
	}
	return took
}
