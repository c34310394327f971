package remote_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/relayctl/relayctl/internal/remote"
	"github.com/relayctl/relayctl/internal/remote/remotetest"
)

// What comes of a host's key.
const (
	known   = "known"
	unknown = "unknown"
	changed = "changed"
	revoked = "revoked"
)

// verdict is what relayctl makes of a server's key.
func verdict(t *testing.T, d *remote.Dialer, to remote.Target) string {
	t.Helper()
	host, err := d.Dial(t.Context(), to)
	if err == nil {
		host.Close()
		return known
	}
	for kind, says := range map[remote.Kind]string{remote.HostKeyUnknown: unknown, remote.HostKeyChanged: changed, remote.HostKeyRevoked: revoked} {
		if errors.Is(err, kind) {
			return says
		}
	}
	return err.Error()
}

// verdictOfSSH is what ssh makes of it, with these files of known hosts and
// options; "" where there is no ssh.
func verdictOfSSH(t *testing.T, files []string, to remote.Target, options ...string) string {
	t.Helper()
	program, err := exec.LookPath("ssh")
	if err != nil {
		return ""
	}
	args := []string{"-F", "none", "-p", fmt.Sprint(to.Port), "-i", to.IdentityFile}
	options = append(options, "BatchMode=yes", "StrictHostKeyChecking=yes", "IdentitiesOnly=yes", "IdentityAgent=none",
		"UserKnownHostsFile="+strings.Join(files, " "), "GlobalKnownHostsFile=none")
	for _, option := range options {
		args = append(args, "-o", option)
	}
	out, err := exec.Command(program, append(args, "ops@"+to.Address, "uname", "-sm")...).CombinedOutput()
	text := string(out)
	switch {
	case strings.Contains(text, "WARNING: REVOKED HOST KEY DETECTED"):
		return revoked
	case strings.Contains(text, "WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED"):
		return changed
	case strings.Contains(text, "host key is known for"):
		return unknown
	case err == nil:
		return known
	}
	return fmt.Sprintf("%v: %s", err, text)
}

// knownHostsRow is what lines of known_hosts mean to ssh about a host. In them
// HOST and PORT are the server's, KEY its key, OTHER and RSA other keys, BLOB
// the server's key without its type, and HASH(NAME) the hash of a name.
type knownHostsRow struct {
	name    string
	lines   string
	want    string
	alias   string // ssh's HostKeyAlias; PORT is the server's
	address string // "" is HOST
	ssh     string // what ssh says, where relayctl is meant to be stricter
}

var knownHostsRows = []knownHostsRow{
	{name: "by address and port", lines: "[HOST]:PORT KEY", want: known},
	{name: "no final newline, a comment", lines: "[HOST]:PORT KEY me@here", want: known},
	{name: "indented, with tabs", lines: "\t [HOST]:PORT\t\tKEY", want: known},
	{name: "lines end in CR, too", lines: "# mine\r\n[HOST]:PORT KEY\r", want: known},
	{name: "CR in front", lines: "\r[HOST]:PORT KEY", want: unknown},
	{name: "byte-order mark in front", lines: "\ufeff[HOST]:PORT KEY", want: unknown},
	{name: "a very long comment", lines: "[HOST]:PORT KEY " + strings.Repeat("x", 1<<20), want: known},
	{name: "a great many names", lines: strings.Repeat("other,", 1<<14) + "[HOST]:PORT KEY", want: known},
	{name: "commented out", lines: "#[HOST]:PORT KEY", want: unknown},
	{name: "another key", lines: "[HOST]:PORT OTHER", want: changed},
	{name: "both keys", lines: "[HOST]:PORT OTHER\n[HOST]:PORT KEY", want: known}, // golang/go#28870
	{name: "a key of another type", lines: "[HOST]:PORT RSA", want: changed},
	{name: "a key of another type, too", lines: "[HOST]:PORT RSA\n[HOST]:PORT KEY", want: known}, // golang/go#29286
	{name: "another port", lines: "[HOST]:1 KEY", want: unknown},
	{name: "ssh's own port", lines: "[HOST]:22 KEY", want: unknown},
	{name: "brackets alone", lines: "[HOST] KEY", want: unknown},
	{name: "without the port", lines: "HOST KEY", want: known},
	{name: "without the port, another key", lines: "HOST OTHER", want: unknown},
	{name: "without the port, behind one with it", lines: "HOST KEY\n[HOST]:PORT OTHER", want: changed},
	{name: "with and without the port on one line", lines: "[HOST]:PORT,HOST OTHER\nHOST KEY", want: changed},
	{name: "without the port, beside one that can't be read", lines: "[HOST]:PORT ssh-ed25519 AAAA\nHOST KEY", want: known},
	{name: "without the port, beside an authority", lines: "@cert-authority [HOST]:PORT RSA\nHOST KEY", want: known},
	{name: "everybody", lines: "* KEY", want: known},
	{name: "everybody, another key", lines: "* OTHER", want: changed},
	{name: "any port", lines: "[HOST]:* KEY", want: known},
	{name: "one character each", lines: "[127.?.?.?]:PORT KEY", want: known},
	{name: "a star for nothing", lines: "[HOST]:PORT* KEY", want: known},
	{name: "among others", lines: "a,b*,[HOST]:PORT,c KEY", want: known},
	{name: "commas for nothing", lines: ",[HOST]:PORT, KEY", want: known},
	{name: "negated", lines: "*,!HOST,![HOST]:PORT KEY", want: unknown},
	{name: "negated in front", lines: "!HOST,![HOST]:PORT,* KEY", want: unknown},
	{name: "named and negated", lines: "[HOST]:PORT,![HOST]:PORT KEY", want: unknown},
	{name: "negated with the port only", lines: "*,![HOST]:PORT KEY", want: known},
	{name: "another key is negated", lines: "* KEY\n![HOST]:PORT,* OTHER", want: known},
	{name: "another is negated", lines: "!other,* KEY", want: known},
	{name: "only negated", lines: "!other KEY", want: unknown},
	{name: "hashed", lines: "HASH([HOST]:PORT) KEY", want: known},
	{name: "hashed, another key", lines: "HASH([HOST]:PORT) OTHER", want: changed},
	{name: "hashed, several types", lines: "HASH([HOST]:PORT) RSA\nHASH([HOST]:PORT) KEY", want: known}, // kamal#1814
	{name: "hashed without the port", lines: "HASH(HOST) KEY", want: known},                             // ansible-modules-extras#2651
	{name: "hashed among others", lines: "other,HASH([HOST]:PORT) KEY", want: unknown},
	{name: "negated hash", lines: "!HASH([HOST]:PORT) KEY", want: unknown},
	{name: "revoked", lines: "[HOST]:PORT KEY\n@revoked * KEY", want: revoked},
	{name: "revoked and not listed", lines: "@revoked [HOST]:PORT KEY", want: revoked},
	{name: "revoked without the port", lines: "@revoked HOST KEY", want: revoked},
	{name: "revoked without the port, listed with it", lines: "@revoked HOST KEY\n[HOST]:PORT KEY", want: revoked, ssh: known},
	{name: "another key is revoked", lines: "[HOST]:PORT KEY\n@revoked * OTHER", want: known},
	{name: "revoked for another host", lines: "[HOST]:PORT KEY\n@revoked other KEY", want: known},
	{name: "revoked by hash", lines: "@revoked HASH([HOST]:PORT) KEY\n[HOST]:PORT KEY", want: revoked},
	{name: "revoked twice", lines: "@revoked @revoked [HOST]:PORT KEY", want: unknown},
	{name: "a tab behind the marker", lines: "@revoked\t[HOST]:PORT KEY", want: revoked, ssh: unknown},
	{name: "an unknown marker", lines: "@trusted [HOST]:PORT OTHER\n[HOST]:PORT KEY", want: known},
	{name: "an authority is no host", lines: "@cert-authority * KEY", want: unknown},
	{name: "an authority beside", lines: "@cert-authority * OTHER\n[HOST]:PORT KEY", want: known}, // skeema/knownhosts#16
	{name: "an authority beside another key", lines: "@cert-authority * KEY\n[HOST]:PORT OTHER", want: changed},
	{name: "the type's short name", lines: "[HOST]:PORT ed25519 BLOB", want: unknown},
	{name: "a type of key that Go does not know", lines: "[HOST]:PORT XMSS", want: unknown},
	{name: "a type of key that Go does not know, too", lines: "[HOST]:PORT XMSS\n[HOST]:PORT KEY", want: known}, // mina-sshd#636
	{name: "a DSA key too long for Go", lines: "[HOST]:PORT DSA2048\n[HOST]:PORT KEY", want: known},             // unxed/f4#979
	{name: "more behind the key", lines: "[HOST]:PORT ssh-ed25519 BLOB#comment", want: unknown},
	{name: "no-break space", lines: "[HOST]:PORT\u00a0KEY", want: unknown},

	{name: "alias", lines: "edge KEY", want: known, alias: "edge"},
	{name: "alias, capitals in the file", lines: "EDGE.example.com KEY", want: known, alias: "edge.example.com"},
	{name: "alias, capitals in a pattern", lines: "edge.EXAMPLE.* KEY", want: known, alias: "Edge.Example.com"},
	{name: "alias in capitals, hashed", lines: "HASH(edge) KEY", want: known, alias: "Edge"},
	{name: "alias in capitals, hashed so", lines: "HASH(Edge) KEY", want: unknown, alias: "Edge"},
	{name: "alias, listed with the port", lines: "[edge]:PORT KEY", want: unknown, alias: "edge"},
	{name: "alias with a port", lines: "[edge]:PORT KEY", want: known, alias: "[edge]:PORT"},
	{name: "alias with a port, another key", lines: "[edge]:PORT OTHER", want: changed, alias: "[edge]:PORT"},
	{name: "alias with a port, listed without", lines: "edge KEY", want: unknown, alias: "[edge]:PORT"},
	{name: "alias with ssh's own port", lines: "[edge]:22 KEY", want: known, alias: "[edge]:22"},
	{name: "alias with ssh's own port, listed without", lines: "edge KEY", want: unknown, alias: "[edge]:22"},
	{name: "IPv6 in capitals", lines: "2001:DB8::1 KEY", want: known, alias: "2001:db8::1"},
	{name: "IPv6 in brackets", lines: "[2001:db8::1] KEY", want: unknown, alias: "2001:db8::1"}, // upterm#135
	{name: "IPv6 written otherwise", lines: "2001:0db8::1 KEY", want: unknown, alias: "2001:db8::1"},
	{name: "IPv6 with a zone", lines: "fe80::1%eth0 KEY", want: known, alias: "fe80::1%eth0"},
	{name: "IPv6 without its zone", lines: "fe80::1 KEY", want: unknown, alias: "fe80::1%eth0"},
	{name: "IPv6 with zone and port", lines: "[fe80::1%eth0]:2222 KEY", want: known, alias: "[fe80::1%eth0]:2222"},

	{name: "by name", lines: "[localhost]:PORT KEY", want: known, address: "localhost"},
	{name: "by name in capitals", lines: "[localhost]:PORT KEY", want: known, address: "LocalHost"},
	{name: "by name, its address has another key", lines: "[localhost]:PORT KEY\n[127.0.0.1]:PORT OTHER", want: known, address: "localhost"},
	{name: "only its address is listed", lines: "[127.0.0.1]:PORT KEY", want: unknown, address: "localhost"},
}

// other types of keys, as lines have them.
const (
	xmss = "ssh-xmss@openssh.com"
	dsa  = "ssh-dss"
)

// Each row means to relayctl what it means to ssh, in one file and, line by
// line, in several.
func TestKnownHostsAsSSHReadsThem(t *testing.T) {
	s := remotetest.Start(t, remotetest.Options{})
	key := keyText(s.HostKeys[0])
	keys := []string{
		"BLOB", strings.Fields(key)[1], "KEY", key,
		"OTHER", keyText(public(t, remotetest.NewKey(t, "ed25519"))), "RSA", keyText(public(t, remotetest.NewKey(t, "rsa"))),
		"XMSS", xmss + " " + wire(xmss, "sha2"), "DSA2048", dsa + " " + wire(dsa, "\x01"+strings.Repeat("p", 255), strings.Repeat("q", 20), "g", "y"),
	}
	for _, row := range knownHostsRows {
		t.Run(row.name, func(t *testing.T) {
			to := target(s)
			if row.address != "" {
				to.Address = row.address
			}
			fill := strings.NewReplacer(append([]string{"HOST", "127.0.0.1", "PORT", fmt.Sprint(s.Port())}, keys...)...)
			lines := withHashes(fill.Replace(row.lines))
			var options []string
			d, several := strict(t, lines), strict(t)
			several.KnownHosts = nil
			for _, line := range strings.Split(lines, "\n") {
				several.KnownHosts = append(several.KnownHosts, write(t, filepath.Join(t.TempDir(), "known_hosts"), []byte(line)))
			}
			if alias := fill.Replace(row.alias); alias != "" {
				d.SSH = fakeSSH(t, "hostname 127.0.0.1", "hostkeyalias "+alias)
				several.SSH, options = d.SSH, []string{"HostKeyAlias=" + alias}
			}
			if got := verdict(t, d, to); got != row.want {
				t.Errorf("it is %s, want %s", got, row.want)
			}
			if got := verdict(t, several, to); got != row.want {
				t.Errorf("in several files it is %s, want %s", got, row.want)
			}
			asSSH := row.want
			if row.ssh != "" {
				asSSH = row.ssh
			}
			if got := verdictOfSSH(t, d.KnownHosts, to, options...); got != asSSH && got != "" {
				t.Errorf("to ssh it is %s, want %s", got, asSSH)
			}
		})
	}
}

// wire is a key of a type, in base64.
func wire(kind string, fields ...string) string {
	var blob []byte
	for _, field := range append([]string{kind}, fields...) {
		blob = append(blob, ssh.Marshal(struct{ Field string }{field})...)
	}
	return base64.StdEncoding.EncodeToString(blob)
}

// withHashes replaces each HASH(NAME).
func withHashes(lines string) string {
	for {
		before, rest, found := strings.Cut(lines, "HASH(")
		if !found {
			return lines
		}
		name, after, _ := strings.Cut(rest, ")")
		lines = before + knownhosts.HashHostname(name) + after
	}
}

// A host's certificate proves to relayctl what it proves to ssh. AUTHORITY is
// who signed it.
func TestHostCertificatesAsSSHTakesThem(t *testing.T) {
	safe := signer(t, remotetest.NewKey(t, "ecdsa"))
	sha1, err := ssh.NewSignerWithAlgorithms(signer(t, remotetest.NewKey(t, "rsa")).(ssh.AlgorithmSigner), []string{ssh.KeyAlgoRSA})
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		name      string
		authority ssh.Signer
		names     []string
		lines     string
		alias     string
		want      string
	}{
		{"signed", safe, []string{"other", "127.0.0.1"}, "@cert-authority * AUTHORITY", "", known},
		{"signed, without the port", safe, []string{"127.0.0.1"}, "@cert-authority HOST AUTHORITY", "", known},
		{"signed, another key is listed", safe, []string{"127.0.0.1"}, "@cert-authority * AUTHORITY\n[HOST]:PORT AUTHORITY", "", known},
		{"for every name", safe, nil, "@cert-authority * AUTHORITY", "", known},
		{"for another name", safe, []string{"other"}, "@cert-authority * AUTHORITY", "", unknown},
		{"for a name with the port", safe, []string{"[127.0.0.1]:PORT"}, "@cert-authority * AUTHORITY", "", unknown},
		{"for another name, the key is listed", safe, []string{"other"}, "@cert-authority * AUTHORITY\n[HOST]:PORT KEY", "", known},
		{"for another name, another key is listed", safe, []string{"other"}, "@cert-authority * AUTHORITY\n[HOST]:PORT AUTHORITY", "", changed},
		{"by an alias", safe, []string{"edge"}, "@cert-authority edge AUTHORITY", "Edge", known},
		{"by an alias, for the address", safe, []string{"127.0.0.1"}, "@cert-authority edge AUTHORITY", "edge", unknown},
		{"in capitals", safe, []string{"Edge"}, "@cert-authority edge AUTHORITY", "Edge", unknown},
		{"by an alias with a port", safe, []string{"[edge]:22"}, "@cert-authority * AUTHORITY", "[edge]:22", known},
		{"signed by SHA-1", sha1, []string{"127.0.0.1"}, "@cert-authority * AUTHORITY", "", unknown},
		{"signed by SHA-1, the key is listed", sha1, []string{"127.0.0.1"}, "@cert-authority * AUTHORITY\n[HOST]:PORT KEY", "", known},
		{"the authority as a host", safe, []string{"127.0.0.1"}, "[HOST]:PORT AUTHORITY", "", changed},
		{"the key as an authority", safe, []string{"127.0.0.1"}, "@cert-authority * KEY", "", unknown},
		{"the key is revoked", safe, []string{"127.0.0.1"}, "@cert-authority * AUTHORITY\n@revoked * KEY", "", revoked},
		{"the authority is revoked", safe, []string{"127.0.0.1"}, "@cert-authority * AUTHORITY\n@revoked * AUTHORITY", "", revoked},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := remotetest.Start(t, remotetest.Options{HostAuthority: row.authority, HostNames: row.names})
			lines := strings.NewReplacer("HOST", "127.0.0.1", "PORT", fmt.Sprint(s.Port()), "KEY", keyText(s.HostKeys[0]),
				"AUTHORITY", keyText(row.authority.PublicKey())).Replace(row.lines)
			d := strict(t, lines)
			var options []string
			if row.alias != "" {
				d.SSH, options = fakeSSH(t, "hostname 127.0.0.1", "hostkeyalias "+row.alias), []string{"HostKeyAlias=" + row.alias}
			}
			if got := verdict(t, d, target(s)); got != row.want {
				t.Errorf("it is %s, want %s", got, row.want)
			}
			if got := verdictOfSSH(t, d.KnownHosts, target(s), options...); got != row.want && got != "" {
				t.Errorf("to ssh it is %s, want %s", got, row.want)
			}
		})
	}
}
