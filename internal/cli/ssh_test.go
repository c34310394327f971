package cli_test

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestNoSSHProgram(t *testing.T) {
	c := newConsole(t, "", "ssh", "gpu-1")
	c.Exec = func(path string, _, _ []string) error { return errors.New("run " + path) }
	t.Setenv("PATH", t.TempDir())
	c.run(nil).wantCode(t, 1)
	golden(t, "ssh-missing", c.screen())
}

func TestSSHThatCanNotBeRun(t *testing.T) {
	c := newConsole(t, "", "ssh", "gpu-1")
	c.Exec = func(string, []string, []string) error { return errors.New("argument list too long") }
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "ssh"), nil, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir)
	c.run(nil).wantCode(t, 1)
	unbroken := strings.Join(strings.Fields(c.stderr.String()), " ") // where its lines end depends on the folder's name
	if want := "/ssh: argument list too long"; !strings.Contains(unbroken, want) {
		t.Error(c.stderr.String())
	}
}

// sshd is a real SSH server that takes one key of a client.
type sshd struct {
	port         int
	folder       string
	clientKey    string   // path of the key that it takes, a name that ssh and shells might take apart
	fingerprints []string // of its keys, ed25519 and rsa, with their types
}

func (s *sshd) log(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(s.folder, "log"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// startSSHD starts sshd. Without one that runs here, the test is skipped.
func startSSHD(t *testing.T) *sshd {
	t.Helper()
	program, err := exec.LookPath("/usr/sbin/sshd")
	if err != nil {
		noSSHD(t, "there is none")
	}
	s := &sshd{folder: t.TempDir()}
	in := func(name string) string { return filepath.Join(s.folder, name) }
	for _, key := range []struct{ kind, bits, name string }{{"ed25519", "256", "client"}, {"ed25519", "256", "ed25519"}, {"rsa", "2048", "rsa"}} {
		run(t, "ssh-keygen", "-q", "-t", key.kind, "-b", key.bits, "-N", "", "-f", in(key.name))
		if key.name != "client" {
			s.fingerprints = append(s.fingerprints, "ssh-"+key.kind+" "+strings.Fields(run(t, "ssh-keygen", "-lf", in(key.name)))[1])
		}
	}
	s.clientKey = in("it's \"my\" %h key")
	if err := os.Rename(in("client"), s.clientKey); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.port = listener.Addr().(*net.TCPAddr).Port
	listener.Close()
	config := fmt.Sprintf("ListenAddress 127.0.0.1:%d\nHostKey %s\nHostKey %s\nAuthorizedKeysFile %s\nPidFile none\nStrictModes no\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nLogLevel INFO\n",
		s.port, in("ed25519"), in("rsa"), in("client.pub"))
	if err := os.WriteFile(in("config"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(program, "-t", "-f", in("config")).CombinedOutput(); err != nil {
		noSSHD(t, string(out))
	}
	server := exec.Command(program, "-D", "-E", in("log"), "-f", in("config"))
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		server.Process.Kill()
		server.Wait()
	})
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for began := time.Now(); ; <-tick.C {
		connection, err := net.Dial("tcp", fmt.Sprint("127.0.0.1:", s.port))
		if err == nil {
			connection.Close()
			return s
		}
		if time.Since(began) > 20*time.Second {
			t.Fatalf("sshd does not listen: %v\n%s", err, s.log(t))
		}
	}
}

// noSSHD skips a test where a real sshd may be missing; in CI it may not.
func noSSHD(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("RELAYCTL_TEST_SSHD") == "required" {
		t.Fatal("sshd does not run here: ", why)
	}
	t.Skip("sshd does not run here: ", why)
}

func run(t *testing.T, words ...string) string {
	t.Helper()
	out, err := exec.Command(words[0], words[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", words[0], err, out)
	}
	return string(out)
}

// relayctlSSH runs relayctl ssh as a process of its own.
func relayctlSSH(t *testing.T, stackText string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "stack.hcl")
	if err := os.WriteFile(file, []byte(stackText), 0o644); err != nil {
		t.Fatal(err)
	}
	command := exec.Command(oddRelayctl(t), append([]string{"ssh", "--stack", file}, args...)...)
	var out, errs bytes.Buffer
	command.Stdin, command.Stdout, command.Stderr = strings.NewReader("from here\n"), &out, &errs
	var exit *exec.ExitError
	if err := command.Run(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), errs.String(), command.ProcessState.ExitCode()
}

// oddRelayctl is relayctl in a folder that ssh and shells might take apart.
func oddRelayctl(t *testing.T) string {
	t.Helper()
	program, err := exec.LookPath("relayctl")
	if err != nil {
		t.Fatal(err)
	}
	odd := filepath.Join(t.TempDir(), "it's \"my\" %h folder", "relayctl")
	if err := errors.Join(os.Mkdir(filepath.Dir(odd), 0o755), os.Link(program, odd)); err != nil {
		t.Fatal(err)
	}
	return odd
}

// Three real servers in a row, each of which takes a key of its own and shows
// two, one of which is pinned.
func TestSSHByWayOfRealHosts(t *testing.T) {
	first, second, last := startSSHD(t), startSSHD(t), startSSHD(t)
	block := func(s *sshd, pin, jump string) string {
		text := fmt.Sprintf("ssh {\n port = %d\n identity_file = %q\n host_key = %q\n", s.port, s.clientKey, pin)
		if jump != "" {
			text += "jump = " + jump + "\n"
		}
		return text + "}\n"
	}
	stackOf := func(firstPin, secondPin, lastPin string) string {
		worker := "worker %q {\n address = \"127.0.0.1\"\n model \"m\" { backend = \"http://127.0.0.1:11434\" }\n%s}\n"
		return "stack \"home\" {}\nproxy \"edge\" {\n address = \"127.0.0.1\"\n domain = \"llm.example.com\"\n tls \"internal\" {}\n" + block(first, firstPin, "") + "}\n" +
			fmt.Sprintf(worker, "gpu-1", block(second, secondPin, `"edge"`)) + fmt.Sprintf(worker, "gpu-2", block(last, lastPin, `["edge", "gpu-1"]`))
	}
	ed25519, rsa := func(s *sshd) string { return s.fingerprints[0] }, func(s *sshd) string { return s.fingerprints[1] }
	bare := func(pin string) string { return strings.Fields(pin)[1] }

	good := stackOf(bare(ed25519(first)), rsa(second), ed25519(last))
	stdout, stderr, code := relayctlSSH(t, good, "gpu-2", "cat; echo and there; exit 7")
	if stdout != "from here\nand there\n" || stderr != "" || code != 7 {
		t.Errorf("exit code %d, printed %q, and %q", code, stdout, stderr)
	}
	for _, s := range []*sshd{first, second, last} {
		if n := strings.Count(s.log(t), "Accepted publickey"); n != 1 {
			t.Errorf("%d log-ins at one of the hosts:\n%s", n, s.log(t))
		}
	}
	// A word that ssh gets for the host is ssh's: its shell sees them joined.
	if stdout, _, code := relayctlSSH(t, good, "edge", "echo", "a  b", "$((6*7))", "--help"); stdout != "a b 42 --help\n" || code != 0 {
		t.Errorf("exit code %d, printed %q", code, stdout)
	}
	// Signals are ssh's own, too.
	if _, _, code := relayctlSSH(t, good, "edge", "kill -TERM $$"); code != 255 {
		t.Errorf("exit code %d of a command that a signal ended", code)
	}
	for name, bad := range map[string]string{
		"of the target":       stackOf(ed25519(first), ed25519(second), ed25519(first)),
		"of the first hop":    stackOf(ed25519(last), ed25519(second), ed25519(last)),
		"of the second hop":   stackOf(ed25519(first), ed25519(last), ed25519(last)),
		"rsa without a type":  stackOf(bare(rsa(first)), ed25519(second), ed25519(last)),
		"of another type":     stackOf(strings.Replace(rsa(first), "rsa", "ed25519", 1), ed25519(second), ed25519(last)),
		"one character other": stackOf(ed25519(first), ed25519(second), flipped(ed25519(last))),
	} {
		stdout, stderr, code := relayctlSSH(t, bad, "gpu-2", "echo there")
		if stdout != "" || code != 255 || !strings.Contains(stderr, "relayctl: host_key pins SHA256:") || !strings.Contains(stderr, "Host key verification failed.") {
			t.Errorf("a wrong pin %s: exit code %d, printed %q, and %q", name, code, stdout, stderr)
		}
	}
}

// flipped is a fingerprint with its first character another one.
func flipped(pin string) string {
	kind, digest, _ := strings.Cut(pin, " SHA256:")
	letters := []byte(digest)
	letters[0] = map[bool]byte{true: 'B', false: 'A'}[letters[0] == 'A']
	return kind + " SHA256:" + string(letters)
}

// The way is the stack file's, whatever else is said behind the host.
func TestOptionsBehindTheHostChangeNoWay(t *testing.T) {
	server := startSSHD(t)
	text := strings.Replace(stackFile, `address = "10.0.0.21"`, fmt.Sprintf("address = \"127.0.0.1\"\n ssh {\n jump = \"none\"\n port = %d\n identity_file = %q\n host_key = %q\n }",
		server.port, server.clientKey, server.fingerprints[0]), 1)
	for _, options := range [][]string{{"-p", "1"}, {"-o", "ProxyCommand=false"}, {"-o", "StrictHostKeyChecking=no", "-o", "KnownHostsCommand=false"}, {"-o", "HostKeyAlgorithms=rsa-sha2-256"}} {
		if stdout, stderr, code := relayctlSSH(t, text, slices.Concat([]string{"gpu-1"}, options, []string{"echo", "there"})...); stdout != "there\n" || code != 0 {
			t.Errorf("%v: exit code %d, %q", options, code, stderr)
		}
	}
	if stdout, _, code := relayctlSSH(t, text, "gpu-1", "-tt", "tty"); code != 0 || !strings.Contains(stdout, "/dev/") {
		t.Errorf("-tt: exit code %d, %q", code, stdout)
	}
}
