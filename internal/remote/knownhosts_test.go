package remote_test

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/relayctl/relayctl/internal/remote"
	"github.com/relayctl/relayctl/internal/remote/remotetest"
)

// keyText is a key's type and the key, as known_hosts has them.
func keyText(key ssh.PublicKey) string {
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
}

// brokenLines are lines about other hosts that x/crypto can't read, by what
// bit whom.
func brokenLines(key ssh.PublicKey) map[string]string {
	text := keyText(key)
	return map[string]string{
		"cut key":                  "other " + text[:len(text)-9] + "\n",
		"cut before the key":       "other ssh-ed25519\n",
		"cut before the type":      "other\n",
		"no base64":                "other ssh-ed25519 no-base64!\n",
		"protocol 1":               "marla 1024 35 143272250049166269737933547513323306924766577123720650722107527190659497169427080068806092731824\n", // git-bug#1485
		"two lines run together":   "vmi/myfedora.default " + text + "192.168.122.99 " + text + "\n",                                                   // kubevirt#7357
		"conflict":                 "<<<<<<< HEAD\n||||||| base\n=======\n>>>>>>> theirs\n",
		"broken authority":         "@cert-authority *.example.com ssh-ed25519 AAAA\n",
		"authority without key":    "@cert-authority\n",
		"broken revocation":        "@revoked * \n",
		"unknown marker":           "@trusted other " + text + "\n",
		"two markers":              "@revoked @cert-authority other " + text + "\n",
		"unknown type":             "other ssh-ed448 " + base64.StdEncoding.EncodeToString([]byte("\x00\x00\x00\x09ssh-ed448\x00\x00\x00\x02ab")) + "\n",
		"type of another":          "other ssh-rsa " + strings.Fields(text)[1] + "\n",
		"overlong":                 "other " + text + " " + strings.Repeat("x", 1<<20) + "\n",
		"overlong name":            strings.Repeat("other,", 1<<16) + "other " + text + "\n",
		"binary":                   "\x7fELF\x00\x01\xff\xfe\x00\x00 \x80\x81\n",
		"only NUL":                 strings.Repeat("\x00", 4096) + "\n",
		"malformed hash":           "|1|c2FsdA==|aGFzaA== " + text + "\n", // orca#15345
		"hash without end":         "|1|c2FsdA== " + text + "\n",
		"hash of an unknown kind":  "|2|c2FsdA==|aGFzaA== " + text + "\n",
		"negation of nothing":      "! " + text + "\n",
		"bracket without end":      "[other " + text + "\n",
		"bracket without port":     "[other] " + text + "\n",
		"a great many wildcards":   strings.Repeat("*a", 200) + "* " + text + "\n",
		"spaces and tabs":          " \t \n\t\n",
		"UTF-16 of PowerShell":     "\xff\xfeo\x00t\x00h\x00e\x00r\x00\n",
		"HTML in place of a list":  "<html><body>404 not found</body></html>\n",
		"shell's prompt in a copy": "$ ssh-keyscan other\n# other:22 SSH-2.0-OpenSSH_9.2p1\n",
	}
}

// One line that can't be read stops no host that it isn't about.
func TestLineThatCannotBeRead(t *testing.T) {
	s := remotetest.Start(t, remotetest.Options{})
	for name, line := range brokenLines(public(t, remotetest.NewKey(t, "ed25519"))) {
		t.Run(name, func(t *testing.T) {
			dial(t, strict(t, line, listed(s, s.HostKeys[0])), target(s))
			dial(t, strict(t, listed(s, s.HostKeys[0]), line), target(s))
			dial(t, strict(t, strings.ReplaceAll(line+listed(s, s.HostKeys[0]), "\n", "\r\n")), target(s))
			pinned := target(s)
			pinned.HostKey = ssh.FingerprintSHA256(s.HostKeys[0])
			dial(t, strict(t, line), pinned)
			d := strict(t, line)
			d.AcceptNewHostKeys = true
			dial(t, d, target(s))
		})
	}
}

// What was skipped and may be about the host is told when its key is not known.
func TestSkippedLineIsTold(t *testing.T) {
	s := remotetest.Start(t, remotetest.Options{})
	host := fmt.Sprintf("[127.0.0.1]:%d", s.Port())
	text := keyText(s.HostKeys[0])
	other := keyText(public(t, remotetest.NewKey(t, "ed25519")))
	tests := map[string]struct {
		lines string
		want  string // of what was skipped, after the file's name; "": nothing is told
	}{
		"its key is cut":         {"# mine\n" + host + " " + text[:len(text)-9] + "\n", ":2: it can't be read"},
		"cut before its key":     {host + "\n", ":1: it can't be read"},
		"protocol 1":             {host + " 1024 35 143272250049166269737933547513323306924\n", ":1: it can't be read"},
		"unknown marker":         {"@trusted " + host + " " + text + "\n", ":1: it can't be read"},
		"two markers":            {"@revoked @revoked " + host + " " + text + "\n", ":1: it can't be read"},
		"another type":           {host + " ssh-rsa " + strings.Fields(text)[1] + "\n", ":1: it can't be read"},
		"by a pattern":           {"[127.*]:* ssh-ed25519 AAAA\n", ":1: it can't be read"},
		"nobody knows about who": {"|1|c2FsdA==|aGFzaA== " + text + "\n", ""},
		"several":                {strings.Repeat(host+"\n", 9), ":5: it can't be read"},
		"about another":          {"other " + text[:len(text)-9] + "\nmarla 1024 35 14\n<<<<<<< HEAD\n", ""},
		"another key is listed":  {host + " " + other + "\n" + host + " ssh-ed25519 AAAA\n", ":2: it can't be read"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			d := strict(t, test.lines)
			_, err := d.Dial(t.Context(), target(s))
			if err == nil {
				t.Fatal("Dial worked")
			}
			advice := as[*remote.Error](t, err).Advice()
			want := "skipped  " + d.KnownHosts[0] + test.want + "\n"
			if test.want == "" && strings.Contains(advice, "skipped") || test.want != "" && !strings.Contains(advice, want) || strings.Count(advice, "\n") > 8 {
				t.Errorf("advice is:\n%s\nwant in it: %s", advice, want)
			}
		})
	}
}

// Files that can't be read list nothing, and stop nobody.
func TestKnownHostsFilesThatCannotBeRead(t *testing.T) {
	s := remotetest.Start(t, remotetest.Options{})
	folder := t.TempDir()
	loop, pipe := filepath.Join(folder, "loop"), filepath.Join(folder, "pipe")
	if err := os.Symlink(loop, loop); err != nil {
		t.Fatal(err)
	}
	makePipe(t, pipe)
	for name, file := range map[string]string{
		"missing": filepath.Join(folder, "missing"), "folder": folder, "loop": loop, "pipe": pipe,
		"below a file": filepath.Join(s.KeyFile, "known_hosts"), "device": os.DevNull,
	} {
		t.Run(name, func(t *testing.T) {
			d := strict(t, listed(s, s.HostKeys[0]))
			good := d.KnownHosts[0]
			d.KnownHosts = []string{file, good, file}
			dial(t, d, target(s))
			d.KnownHosts = []string{file}
			err := dialErrorOf(t, remote.HostKeyUnknown, d, target(s))
			if told := strings.Contains(err.Advice(), "skipped") && strings.Contains(err.Advice(), file); told != (name != "missing" && name != "device") {
				t.Errorf("error is %v", err)
			}
			pinned := target(s)
			pinned.HostKey = ssh.FingerprintSHA256(s.HostKeys[0])
			dial(t, d, pinned)
		})
	}
}

// An RSA key may stand there by the name of its signatures.
func TestKnownHostsNameRSAByItsSignatures(t *testing.T) {
	s := remotetest.Start(t, remotetest.Options{HostKeys: []string{"rsa", "ed25519"}})
	for _, name := range []string{"rsa-sha2-256", "rsa-sha2-512", "ssh-rsa"} {
		dial(t, strict(t, strings.Replace(listed(s, s.HostKeys[0]), "ssh-rsa", name, 1)), target(s))
	}
}

// A host is known by what its authority signed; whatever is wrong with that,
// its plain key still counts.
func TestHostCertificates(t *testing.T) {
	authority := signer(t, remotetest.NewKey(t, "ecdsa"))
	trusted := "@cert-authority * " + keyText(authority.PublicKey()) + "\n"
	for name, test := range map[string]struct {
		names []string
		lines string
		plain bool // the plain key is listed as well
		works bool
		says  string
	}{
		"signed":                          {[]string{"127.0.0.1"}, trusted, false, true, ""},
		"signed, several types of key":    {[]string{"127.0.0.1"}, trusted, true, true, ""},
		"made out for another":            {[]string{"other"}, trusted, false, false, "the host's certificate: "},
		"for another, the key is listed":  {[]string{"other"}, trusted, true, true, ""},
		"no authority, the key is listed": {[]string{"127.0.0.1"}, "", true, true, ""},
		"broken authority":                {[]string{"127.0.0.1"}, "@cert-authority * ecdsa-sha2-nistp256 AAAA\n", false, false, ":1: "},
		"nobody's":                        {[]string{"127.0.0.1"}, strings.Replace(trusted, "\n", "x\n", 1) + "@cert-authority 127.* " + keyText(public(t, remotetest.NewKey(t, "rsa"))) + "\n", false, false, "its authority " + described(authority.PublicKey()) + " is not listed for this host"},
		"authority for other hosts":       {[]string{"127.0.0.1"}, strings.Replace(trusted, "*", "*.example.com", 1), false, false, ""},
		"authority is revoked":            {[]string{"127.0.0.1"}, trusted + strings.Replace(trusted, "@cert-authority", "@revoked", 1), false, false, "revoked"},
	} {
		t.Run(name, func(t *testing.T) {
			s := remotetest.Start(t, remotetest.Options{HostKeys: []string{"rsa", "ed25519"}, HostAuthority: authority, HostNames: test.names})
			d := strict(t, test.lines)
			if test.plain {
				d = strict(t, test.lines, listed(s, s.HostKeys[1]))
			}
			if test.works {
				dial(t, d, target(s))
				return
			}
			if _, err := d.Dial(t.Context(), target(s)); err == nil || !strings.Contains(err.Error()+as[*remote.Error](t, err).Advice(), test.says) {
				t.Errorf("error is %v, want %q in it", err, test.says)
			}
		})
	}
}

// Whatever stands in the file, it is read soon and without a panic.
func FuzzKnownHosts(f *testing.F) {
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEwgwL9/yYtW+Zklh735vQHMYhYoJxtr4pEsfOqr8Sq7"))
	if err != nil {
		f.Fatal(err)
	}
	for _, line := range brokenLines(key) {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, content string) {
		file := filepath.Join(t.TempDir(), "known_hosts")
		good := "edge " + keyText(key) + "\n"
		if err := os.WriteFile(file, []byte(content+"\n"+good), 0o600); err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		if !remote.Lists(file, "edge", key) {
			t.Errorf("%q hides the line below it", content)
		}
		if took := time.Since(begin); took > 30*time.Second {
			t.Errorf("it took %v", took)
		}
	})
}
