package sshconfig

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestNotFollowed(t *testing.T) {
	tests := []struct {
		text string
		want []string
	}{
		{"", nil},
		{fedora, nil},
		// What changes nothing about which host is reached, and how.
		{"GSSAPIAuthentication yes\nForwardX11Trusted yes\nControlMaster auto\nControlPath ~/.ssh/%C\nSendEnv LANG\nCiphers aes256-ctr\n" +
			"ForwardAgent yes\nLocalCommand x\nServerAliveInterval 3\nCheckHostIP yes\nUpdateHostKeys no\nAddKeysToAgent yes\nRequestTTY yes\n", nil},
		{"StrictHostKeyChecking yes\n", nil},
		{"StrictHostKeyChecking ask\n", nil},
		{"StrictHostKeyChecking no\n", []string{"StrictHostKeyChecking no"}},
		{"StrictHostKeyChecking off\n", []string{"StrictHostKeyChecking no"}},
		{"StrictHostKeyChecking accept-new\n", []string{"StrictHostKeyChecking accept-new"}},
		{"Host other\n StrictHostKeyChecking no\n", nil},
		{"NoHostAuthenticationForLocalhost yes\nVerifyHostKeyDNS ask\n", []string{"NoHostAuthenticationForLocalhost yes", "VerifyHostKeyDNS ask"}},
		{"VerifyHostKeyDNS yes\n", []string{"VerifyHostKeyDNS yes"}},
		{"KnownHostsCommand /bin/keys --token geheim\nRevokedHostKeys /etc/revoked\n", []string{"KnownHostsCommand", "RevokedHostKeys /etc/revoked"}},
		{"KnownHostsCommand none\nRevokedHostKeys none\nPKCS11Provider none\nBindInterface none\n", nil},
		{"HostbasedAuthentication yes\nPKCS11Provider /lib/token.so\n", []string{"HostbasedAuthentication yes", "PKCS11Provider /lib/token.so"}},
		{"ProxyCommand x\nProxyUseFdpass yes\nBindInterface eth7\n", []string{"ProxyUseFdpass yes", "BindInterface eth7"}},
	}
	for _, test := range tests {
		t.Run(test.text, func(t *testing.T) {
			c := layOut(t, test.text)
			conf, err := c.read(host)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, conf.NotFollowed()); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			compare(t, c, host)
		})
	}
}

// What own reading can't tell counts as not there, and is told where it
// matters for the host.
func TestUnread(t *testing.T) {
	tests := []struct {
		text string
		want string
	}{
		{"Match exec \"test -e /x\"\n User no\nHost *\n Port 7\n", "Match exec in DIR/config"},
		{"Match !exec true\n User no\nMatch exec \"a \\\\\" host edge\n User no\nMatch all\nPort 7\n", "Match exec in DIR/config"}, // rig 444, blink 970
		{"Match originalhost other exec true\n User no\nMatch exec true host other\n User no\nMatch all\n Port 7\n", ""},           // paramiko 1582
		{"Match localnetwork 9.8.7.6/32\n User no\nMatch tagged x\n User no\nMatch all\nPort 7\n",
			"Match localnetwork in DIR/config; Match tagged in DIR/config"}, // paramiko 2632
		{"Match final !exec \"nc -z %h %p\"\n User no\nMatch all\nPort 7\n", "Match exec in DIR/config"}, // paramiko 1992
		{"Host other\n Include DIR/a\nHost *\n Port 7\n-- a --\nMatch exec true\nUser no\n", ""},
		{"Include DIR/${X}/a\nInclude %d/a ~other/b\nPort 7\n", "Include DIR/${X}/a in DIR/config; Include %d/a in DIR/config; Include ~other/b in DIR/config"},
		{"CanonicalizeHostname yes\nPort 7\n", "CanonicalizeHostname yes"},
		{"CanonicalizeHostname no\nPort 7\n", ""},
		{"RefuseConnection this host is gone\nPort 7\n", "RefuseConnection this host is gone"},
	}
	for _, test := range tests {
		c := layOut(t, test.text)
		conf, err := c.read(host)
		if err != nil {
			t.Errorf("%s%v", test.text, err)
			continue
		}
		told := strings.ReplaceAll(strings.Join(conf.NotFollowed(), "; "), c.folder, "DIR")
		if told != test.want {
			t.Errorf("%sgot  %s\nwant %s", test.text, told, test.want)
		}
		if said := conf.beyondDefaults("edge"); said != "port 7" {
			t.Errorf("%sgot %s, want only port 7", test.text, said)
		}
	}
}

// Read reads the operator's file, with names that start below ~/.ssh also in
// what it includes, and refuses one that others may write.
func TestReadOfAHome(t *testing.T) {
	home := layOut(t, `
-- .ssh/config --
Include conf.d/* ~/extra
Port 7
-- .ssh/conf.d/a --
Include b
-- .ssh/b --
User ops
-- extra --
HostKeyAlias extra
`).folder
	conf, err := Read(home, "/etc/ssh/ssh_config", "me", host)
	if err != nil {
		t.Fatal(err)
	}
	for keyword, want := range map[string]string{"user": "ops", "port": "7", "hostkeyalias": "extra"} {
		if got := conf.First(keyword, ""); got != want {
			t.Errorf("%s is %q, want %q", keyword, got, want)
		}
	}
	for _, name := range []string{".ssh/b", ".ssh/config"} {
		path := filepath.Join(home, name)
		if err := os.Chmod(path, 0o646); err != nil {
			t.Fatal(err)
		}
		if _, err = Read(home, "/etc/ssh/ssh_config", "me", host); err == nil || !strings.Contains(err.Error(), path+": others may write it") {
			t.Errorf("with %s for all to write the error is %v", name, err)
		}
	}
	if conf, err = Read(t.TempDir(), "/etc/ssh/ssh_config", "me", host); err != nil || conf.First("user", "") != "me" {
		t.Errorf("without a file the user is %q, %v", conf.First("user", ""), err)
	}
}
