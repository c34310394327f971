package e2e_test

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/relayctl/relayctl/test/lab"
)

// fedora is how Fedora's ssh is configured as it is installed: the operator's
// own file includes what its packages bring.
const fedora = `Include %[1]s/fedora.d/*.conf
`

// fedoraPackages is what they bring.
const fedoraPackages = `Match final all
    Include %[1]s/crypto-policies.config
    GSSAPIAuthentication yes
    ForwardX11Trusted yes
    SendEnv LANG LC_CTYPE LC_NUMERIC LC_TIME LC_COLLATE LC_MONETARY LC_MESSAGES
    SendEnv LC_PAPER LC_NAME LC_ADDRESS LC_TELEPHONE LC_MEASUREMENT
`

const fedoraPolicies = `Ciphers aes256-gcm@openssh.com,chacha20-poly1305@openssh.com,aes256-ctr
MACs hmac-sha2-256-etm@openssh.com,hmac-sha2-512-etm@openssh.com
GSSAPIKeyExchange no
KexAlgorithms curve25519-sha256,ecdh-sha2-nistp256,diffie-hellman-group14-sha256
HostKeyAlgorithms ecdsa-sha2-nistp256,ssh-ed25519,rsa-sha2-512,rsa-sha2-256
PubkeyAcceptedAlgorithms ecdsa-sha2-nistp256,ssh-ed25519,rsa-sha2-512,rsa-sha2-256
RequiredRSASize 2048
`

// TestSSHConfiguration has a host that is reached, or is not, as ~/.ssh/config
// says. Whatever ssh itself makes of that, relayctl does, by asking ssh and by
// reading the file itself.
func TestSSHConfiguration(t *testing.T) {
	s := bareSite(t)
	s.writeStack(strings.Join([]string{"stack \"lab\" {}\n", s.proxy(), laptop}, "\n"))
	folder := filepath.Join(s.home, ".ssh")
	key, err := os.ReadFile(s.SSHKeyFile)
	if err != nil {
		t.Fatal(err)
	}
	keygen := func(args ...string) {
		t.Helper()
		if out, err := exec.Command("ssh-keygen", append([]string{"-q"}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("ssh-keygen: %v: %s", err, out)
		}
	}
	s.writeHome(".ssh/right", string(key))
	s.writeHome(".ssh/open", string(key))
	if err := os.Chmod(filepath.Join(folder, "open"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"wrong", "certified", "authority"} {
		keygen("-t", "ed25519", "-N", "", "-f", filepath.Join(folder, name))
	}
	keygen("-s", filepath.Join(folder, "authority"), "-I", "test", "-n", "admin", filepath.Join(folder, "certified.pub"))
	if err := os.Rename(filepath.Join(folder, "certified-cert.pub"), filepath.Join(folder, "elsewhere.pub")); err != nil {
		t.Fatal(err)
	}
	lab.MustRun(t, s.Edge, "echo '"+strings.TrimSpace(s.readHome(".ssh/authority.pub"))+"' > /etc/ssh/authority.pub; "+
		"printf 'TrustedUserCAKeys /etc/ssh/authority.pub\\nPerSourcePenalties no\\n' >> /etc/ssh/sshd_config; "+restart) // many log-ins have to fail
	s.writeHome("fedora.d/50-redhat.conf", fmt.Sprintf(fedoraPackages, s.home))
	s.writeHome("crypto-policies.config", fedoraPolicies)
	known := s.readHome(".ssh/known_hosts")
	ecdsa := strings.Join(linesWith(known, "ecdsa"), "")
	s.writeHome(".ssh/alias", strings.ReplaceAll(known, s.Edge.Addr, "alias.example"))
	s.writeHome(".ssh/ecdsa", ecdsa)
	s.writeHome(".ssh/nobody", "")
	agent := startSSHAgent(t, filepath.Join(folder, "right"))

	const right, knownElsewhere = "IdentityFile DIR/right\n", "GlobalKnownHostsFile /dev/null\nUserKnownHostsFile DIR/"
	for _, one := range []struct {
		name, config string // under "User admin", DIR being ~/.ssh, ADDR the host's address
		reached      bool
	}{
		{"nothing special", right, true},
		{"the wrong key", "IdentityFile DIR/wrong\n", false},
		{"a key that others may read", "IdentityFile DIR/open\n", false},
		{"HostKeyAlias", right + knownElsewhere + "alias\nHostKeyAlias alias.example\n", true},
		{"HostKeyAlias of nobody", right + "HostKeyAlias other.example\n", false},
		{"HostKeyAlgorithms that are known", right + knownElsewhere + "ecdsa\nHostKeyAlgorithms ecdsa-sha2-nistp256\n", true},
		{"HostKeyAlgorithms that are not known", right + knownElsewhere + "ecdsa\nHostKeyAlgorithms ssh-ed25519\n", false},
		{"the listed type is asked for", right + knownElsewhere + "ecdsa\n", true},
		{"IdentityAgent", "IdentityFile none\nIdentityAgent " + agent + "\n", true},
		{"IdentityAgent none", "IdentityFile none\nIdentityAgent none\n", false},
		{"IdentitiesOnly", "IdentityAgent " + agent + "\nIdentityFile DIR/wrong\nIdentitiesOnly yes\n", false},
		{"IdentitiesOnly no", "IdentityAgent " + agent + "\nIdentityFile DIR/wrong\nIdentitiesOnly no\n", true},
		{"CertificateFile", "IdentityFile DIR/certified\nCertificateFile DIR/elsewhere.pub\n", true},
		{"no CertificateFile", "IdentityFile DIR/certified\n", false},
		{"UserKnownHostsFile of nobody", right + knownElsewhere + "nobody\n", false},
		{"GlobalKnownHostsFile", right + "UserKnownHostsFile DIR/nobody\nGlobalKnownHostsFile DIR/known_hosts\n", true},
		{"PreferredAuthentications", right + "PreferredAuthentications hostbased,publickey\n", true},
		{"PreferredAuthentications without keys", right + "PreferredAuthentications keyboard-interactive,password\n", false},
		{"PubkeyAuthentication no", right + "PubkeyAuthentication no\n", false},
		{"ConnectTimeout", right + "ConnectTimeout 9\n", true},
		{"ConnectTimeout at a host that is silent", right + "HostName " + s.freeAddress() + "\nHostKeyAlias ADDR\nConnectTimeout 1\n", false},
		{"AddressFamily inet", right + "AddressFamily inet\n", true},
		{"AddressFamily inet6", right + "AddressFamily inet6\n", false},
		{"BindAddress", right + "BindAddress GATEWAY\n", true},
		{"BindAddress of nobody", right + "BindAddress 192.0.2.7\n", false},
		{"Match", "Match host ADDR user admin\n" + right, true},
		{"Match another", "IdentityFile DIR/wrong\nMatch host other\n" + right, false},
		{"Include", "Include DIR/included\n", true},
		{"Fedora's own", right + "Host *\n" + fmt.Sprintf(fedora, s.home), true},
	} {
		s.step(one.name, func() {
			config := strings.NewReplacer("DIR", folder, "ADDR", s.Edge.Addr, "GATEWAY", s.gateway()).Replace("Host *\nUser admin\n" + one.config)
			s.writeHome(".ssh/included", "Host ADDR\n"+strings.ReplaceAll(right, "DIR", folder))
			s.writeHome(".ssh/included", strings.ReplaceAll(s.readHome(".ssh/included"), "ADDR", s.Edge.Addr))
			s.writeHome(".ssh/config", config)
			out, err := s.commandOf("ssh", "-o", "BatchMode=yes", s.Edge.Addr, "true").CombinedOutput()
			if (err == nil) != one.reached {
				s.t.Fatalf("ssh: %v: %s", err, out)
			}
			for how, path := range map[string]string{"asking ssh": os.Getenv("PATH"), "without ssh": "/nowhere"} {
				cmd := s.commandOf("env", "PATH="+path, relayctlProgram, "plan")
				out, err := cmd.CombinedOutput()
				if r := s.ran(cmd, out, err); (r.code == 0) != one.reached {
					s.t.Errorf("%s: exit code %d, and ssh reaches the host: %v", how, r.code, one.reached)
				}
			}
		})
	}
	s.step("what is not followed is said once", func() {
		s.writeHome(".ssh/config", strings.ReplaceAll("Host *\nUser admin\nIdentityFile DIR/right\nRevokedHostKeys DIR/nobody\nStrictHostKeyChecking accept-new\n", "DIR", folder))
		out := s.mustRelayctl("plan")
		for _, keyword := range []string{"RevokedHostKeys", "StrictHostKeyChecking"} {
			if strings.Count(out, keyword) != 1 {
				s.t.Errorf("%s is told %d times", keyword, strings.Count(out, keyword))
			}
		}
	})
}

// gateway is this machine's address in the lab's network.
func (s *site) gateway() string { return s.Edge.Addr[:strings.LastIndexByte(s.Edge.Addr, '.')] + ".1" }

// linesWith are the lines of a text that hold a part.
func linesWith(text, part string) []string {
	var lines []string
	for line := range strings.Lines(text) {
		if strings.Contains(line, part) {
			lines = append(lines, line)
		}
	}
	return lines
}

// startSSHAgent starts OpenSSH's agent with a key, and returns its socket.
func startSSHAgent(t *testing.T, key string) string {
	t.Helper()
	folder, err := os.MkdirTemp("", "agent") // a socket's path may not be long
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(folder, "s")
	agent := exec.Command("ssh-agent", "-D", "-a", socket)
	out, err := agent.StdoutPipe()
	if err == nil {
		err = agent.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		agent.Process.Kill()
		agent.Wait()
		os.RemoveAll(folder)
	})
	bufio.NewReader(out).ReadString('\n') // it listens by then
	add := exec.Command("ssh-add", "-q", key)
	add.Env = append(os.Environ(), "SSH_AUTH_SOCK="+socket)
	var said bytes.Buffer
	if add.Stderr = &said; add.Run() != nil {
		t.Fatalf("ssh-add: %s", &said)
	}
	return socket
}
