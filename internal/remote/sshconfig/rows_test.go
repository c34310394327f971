package sshconfig

import "strings"

// host is whom the rows ask about where they don't say.
var host = Query{Address: "edge"}

// row is a configuration and what it says. In brackets is where people met it:
// a tool that reads ssh's configuration, and the issue.
type row struct {
	name  string
	query Query
	text  string
	want  string // beyond the defaults
	error string // part of it
}

var rows = []row{
	{name: "nothing"},
	{name: "every keyword", text: `
		HostName Edge.Example.com
		User ops
		Port 2222
		IdentityFile ~/.ssh/edge
		IdentitiesOnly yes
		IdentityAgent ~/agent.sock
		CertificateFile ~/.ssh/edge-cert.pub
		HostKeyAlias edge-of-everything
		HostKeyAlgorithms ssh-ed25519,rsa-sha2-512
		UserKnownHostsFile ~/.ssh/a /b
		GlobalKnownHostsFile /c /d
		HashKnownHosts yes
		PreferredAuthentications publickey,password
		PubkeyAuthentication no
		PasswordAuthentication no
		KbdInteractiveAuthentication no
		BatchMode yes
		ConnectTimeout 10
		AddressFamily inet6
		BindAddress 10.1.1.1
		ProxyJump ops@bastion:2200,inner`,
		want: "hostname edge.example.com; user ops; port 2222; identityfile ~/.ssh/edge; identitiesonly yes; " +
			"identityagent ~/agent.sock; certificatefile ~/.ssh/edge-cert.pub; hostkeyalias edge-of-everything; " +
			"hostkeyalgorithms ssh-ed25519,rsa-sha2-512; userknownhostsfile ~/.ssh/a /b; globalknownhostsfile /c /d; " +
			"hashknownhosts yes; preferredauthentications publickey,password; pubkeyauthentication no; " +
			"passwordauthentication no; kbdinteractiveauthentication no; batchmode yes; connecttimeout 10; " +
			"addressfamily inet6; bindaddress 10.1.1.1; proxyjump ops@bastion:2200,inner"},
	{name: "former names", text: "ChallengeResponseAuthentication no\nDSAAuthentication no\n",
		want: "pubkeyauthentication no; kbdinteractiveauthentication no"},
	{name: "words of switches", text: "PubkeyAuthentication host-bound\nBatchMode TRUE\nAddressFamily INET\nHashKnownHosts false\n",
		want: "pubkeyauthentication host-bound; batchmode yes; addressfamily inet"},
	{name: "other keywords are passed over", text: "ForwardAgent yes\nSendEnv LANG LC_*\nControlMaster auto\nGSSAPIAuthentication yes\nLocalForward 1 a:2\n"},

	// How a line is written.
	{name: "keywords in any case (jsch 76, paramiko 2389)", text: "HOST edge\n hostname A\n USER ops\nmatch HOST *\n pORT 7\n",
		want: "hostname a; user ops; port 7"},
	{name: "an equals sign (net-ssh 642)", text: "Port=7\nUser = ops\nHostName\t=\ta\nIdentityFile=x=y\nHostKeyAlias==b\nProxyCommand = nc =x %h\n",
		want: "hostname a; user ops; port 7; identityfile x=y; hostkeyalias =b; proxycommand nc =x %h"},
	{name: "quotes (paramiko 157, sshm 59)", text: `
		IdentityFile "~/a key/%h"
		IdentityFile '~/other key'
		IdentityFile ~/one\ more
		IdentityFile x"y z"w
		IdentityFile "a\"b"
		User "op"s`,
		want: `user ops; identityfile ~/a key/%h, ~/other key, ~/one more, xy zw, a"b`},
	{name: "comments (sshs 121, trzsz-ssh 92)", text: "# one\n   # two\nHost edge # three\n User ops # four\n HostName a#b\n ProxyCommand nc 'x#1' %h # five\n Port 7 #\n",
		want: "hostname a#b; user ops; port 7; proxycommand nc 'x#1' %h # five"},
	{name: "spaces at the end, lines of Windows (kevinburke 42, paramiko 653)", text: "Host edge  \r\n\tUser ops \t\r\n  Port 7\r\n\r\n",
		want: "user ops; port 7"},
	{name: "not closed", text: `User "ops`, error: "config line 1: a quote is not closed"},
	{name: "nothing behind it", text: "\nUser\n", error: "config line 2: nothing stands behind user"},
	{name: "nothing in quotes", text: `User ""`, error: "there is no value"},
	{name: "too much (storm 100)", text: "IdentityFile ~/a key\n", error: `"key" is too much`},
	{name: "no keyword", text: "\uFEFFHost other\nUser ops\n", error: "is no keyword"},
	{name: "no port", text: "Port 65536\n", error: `"65536" is no port`},
	{name: "no switch", text: "BatchMode perhaps\n", error: `"perhaps" is neither yes nor no`},
	{name: "no time", text: "ConnectTimeout 1.5\n", error: `"1.5" is no time`},

	// Which value holds.
	{name: "the first value (paramiko 261, ssh2-config 21)", text: "Host *\n Port 22\n User first\nHost edge\n Port 23\n User second\n",
		want: "user first"},
	{name: "before any Host (sshs 57)", text: "Port 7\nHost other\n Port 8\n", want: "port 7"},
	{name: "identities add up, once each", text: "IdentityFile a\nHost edge\n IdentityFile b\n IdentityFile a\n CertificateFile x\nHost *\n IdentityFile c\n CertificateFile y\n",
		want: "identityfile a, b, c; certificatefile x, y"},
	{name: "no identity", text: "IdentityFile none\nCertificateFile none\n", want: "identityfile none; certificatefile none"},
	{name: "the command line", query: Query{Address: "edge", User: "root2", Port: 44}, text: "User ops\nPort 7\nMatch user root2\n HostName a\n",
		want: "hostname a; user root2; port 44"},
	{name: "times", text: "ConnectTimeout 1m30\n", want: "connecttimeout 90"},
	{name: "longer times", text: "ConnectTimeout 1W2d3h4M5s\n", want: "connecttimeout 788645"},
	{name: "no time at all is no value", text: "ConnectTimeout none\nConnectTimeout 5\n", want: "connecttimeout 5"},
	{name: "a port with zeros", text: "Port 0077\n", want: "port 77"},

	// Jumps: what comes first, holds for both.
	{name: "ProxyCommand none (paramiko 415)", text: "ProxyCommand none\nProxyCommand nc %h %p\nProxyJump a\n"},
	{name: "ProxyJump none", text: "ProxyJump none\nProxyJump a\n"},
	{name: "ProxyJump none, then a command", text: "ProxyJump none\nProxyCommand nc %h %p\n", want: "proxycommand nc %h %p"},
	{name: "a jump, then a command", text: "ProxyJump a\nProxyCommand nc %h %p\n", want: "proxyjump a"},
	{name: "a command, then a jump", text: "ProxyCommand nc %h %p\nProxyJump a\n", want: "proxycommand nc %h %p"},
	{name: "a jump's comment", text: "ProxyJump a # to get in\n", want: "proxyjump a"},
	{name: "a jump to an address", text: "ProxyJump ops@10.0.0.1:22\n", want: "proxyjump ops@10.0.0.1:22"},
	{name: "a jump's URI", text: "ProxyJump ssh://ops@bastion:2200\n", want: "proxyjump ssh://ops@bastion:2200"},

	{name: "a jump to a port that is none", text: "ProxyJump b,a:x1\n", error: `"x1" is no port`},
	{name: "a jump to nowhere", text: "ProxyJump b,,a\n", error: "a hop without a host"},
	{name: "jumps to addresses", text: "ProxyJump [fe80::1]:22,[fe80::2],b:2\n", want: "proxyjump [fe80::1]:22,[fe80::2],b:2"},

	// Host.
	{name: "patterns", text: "Host a,edge ed\n Port 1\nHost e?ge\n User ops\nHost e*\n HostName a\n", want: "hostname a; user ops"},
	{name: "no pattern is a range", text: "Host [e]dge edge. e.ge\n Port 1\n"},
	{name: "negation (net-ssh 150, jsch 564)", text: "Host !other\n Port 1\nHost * !e*\n User no\nHost !x * # both\n HostName a\n", want: "hostname a"},
	{name: "several spaces (mina-sshd 196)", text: "Host  a\t  edge   b\n User ops\n", want: "user ops"},
	{name: "quoted patterns", text: "Host \"a b\" 'edge'\n User ops\n", want: "user ops"},
	{name: "Host of a port is none (rig 87)", query: Query{Address: "edge", Port: 33}, text: "Host edge:33\n User no\n", want: "port 33"},
	{name: "capitals in Host", query: Query{Address: "Edge"}, text: "Host edge\n Port 1\nHost Edge\n User ops\n", want: "user ops"},
	{name: "an alias in capitals", query: Query{Address: "Edge"}, text: "Host Edge\n HostName %h.Example.COM\n", want: "hostname edge.example.com"},
	{name: "a Host without any", text: "Host\nUser ops\n", error: "nothing stands behind Host"},

	{name: "tokens in HostName", text: "HostName %h.%h.x%%y\n", want: "hostname edge.edge.x%y"},
	{name: "an address of a link", query: Query{Address: "FE80::1%eth0"}, text: "User ops\n", want: "user ops"},
	{name: "Host goes by the name asked for", text: "Host edge\n HostName other\nHost other\n User no\n", want: "hostname other"},

	// Match.
	{name: "Match host goes by HostName (net-ssh 581)", text: "Match host edge\n HostName a.x\nMatch host a.x\n User ops\nMatch originalhost edge\n Port 7\nMatch originalhost a.x\n Port 8\n",
		want: "hostname a.x; user ops; port 7"},
	{name: "Match all of several (paramiko 1297)", text: "Match Host 10.0.*.* User ops\n User no\nMatch host edge user no\n Port 1\nMatch host *,!edge\n Port 2\nMatch host a,EDGE\n Port 3\n",
		want: "port 3"},
	{name: "Match with an equals sign (paramiko 2522, storm 94)", text: "Match host=edge originalhost=*\n User ops\nMatch host=edge user=ops # x\n Port 7\n",
		want: "user ops; port 7"},
	{name: "Match negated (net-ssh 593)", text: "Match !host other\n User ops\nMatch !host edge\n Port 1\nMatch !all\n Port 2\nMatch !user ops !originalhost x\n Port 3\nMatch !host x user ops\n Port 4\n",
		want: "user ops; port 4"},
	{name: "Match all with a comment (ssh-config 73)", text: "Match all # CLOUDFLARE SETUP\n User ops\nMatch host edge # x\n Port 7\n", want: "user ops; port 7"},
	{name: "Match ends the Host before it (EternalTerminal 287)", text: "Host edge\n User ops\nMatch host other\n Port 1\n IdentityFile no\n", want: "user ops"},
	{name: "Match user and localuser", text: "Match localuser *,!nobody-at-all\n Port 7\nMatch localuser nobody-at-all\n HostName no\nUser x\nMatch user nobody-at-all\n HostName no\n",
		want: "port 7"},
	{name: "Match without any", text: "Match # all\nUser ops\n", error: "nothing stands behind Match"},
	{name: "Match without a pattern", text: "Match host\nUser ops\n", error: "nothing stands behind Match host"},

	// The second reading.
	{name: "Match final", text: "Match final host edge.x\n User ops\nMatch canonical\n Port 7\nHost edge\n HostName %h.X\nHost edge.x\n HostKeyAlias second\nMatch !final\n HostKeyAlias first\n",
		want: "hostname edge.x; user ops; port 7; hostkeyalias first"},
	{name: "Match canonical alone", text: "Match canonical all\n Port 1\n"},
	{name: "Match final sets no other HostName", text: "Match final\n HostName no\n User ops\n", want: "user ops"},
	{name: "identities are not read twice", text: "IdentityFile b\nMatch final all\n IdentityFile a\n", want: "identityfile b, a"},

	// Include.
	{name: "Include", text: "Include DIR/a* DIR/nowhere \"DIR/with space\"\nHost edge\n Port 2\n-- a2 --\nUser second\nHost other\n Port 3\n-- a1 --\nUser first\n-- with space --\nHostName a\n",
		want: "hostname a; user first; port 2"},
	{name: "Include in a Host (ssh-config 42, sshs 27)", text: "Host edge\n Include DIR/a\n Port 7\nHost other\n Include DIR/b\n Port 8\n-- a --\nUser ops\nHost x\n Port 1\n-- b --\nHostName no\nHost edge\n HostName no\nMatch all\n HostName no\n",
		want: "user ops; port 7"},
	{name: "Include leaves a Host as it was (devpod 1180)", text: "Host other\n User no\nInclude DIR/a\nPort 1\n-- a --\nHost edge\n User no\n"},
	{name: "Include of an Include", text: "Include DIR/a\nPort 7\n-- a --\nMatch all\nInclude DIR/b # c\n-- b --\nUser ops\n", want: "user ops; port 7"},
	{name: "Include of a folder and of hidden files", text: "Include DIR/d/* DIR/d\n-- d/sub/x --\nUser no\n-- d/.hidden --\nUser no\n-- d/a --\nPort 7\n", want: "port 7"},
	{name: "Include of hidden files by name", text: "Include DIR/d/.h* DIR/.e/*\n-- d/.hidden --\nUser ops\n-- .e/a --\nPort 7\n", want: "user ops; port 7"},
	{name: "Include of itself (sshpilot 340)", text: "Include DIR/config\n", error: "more than 16 deep"},
	{name: "Include without any", text: "Include\n", error: "nothing stands behind Include"},
	{name: "an error in an Include", text: "Include DIR/a\n-- a --\n\nPort x\n", error: "/a line 2: \"x\" is no port"},
	{name: "Match final in an Include", text: "Include DIR/a\nHost edge.x\n Port 7\nMatch all\n HostName edge.x\n-- a --\nMatch final all\nUser ops\n", want: "hostname edge.x; user ops; port 7"},

	// Lists of algorithms.
	{name: "one algorithm more", text: "HostKeyAlgorithms +ssh-rsa,ssh-ed25519\n", want: "hostkeyalgorithms " + strings.Join(hostKeyAlgorithms, ",") + ",ssh-rsa"},
	{name: "some algorithms less", text: "HostKeyAlgorithms -*ecdsa*,rsa*,sk-*\n", want: "hostkeyalgorithms ssh-ed25519-cert-v01@openssh.com,ssh-ed25519"},
	{name: "an algorithm first", text: "HostKeyAlgorithms ^rsa-sha2-256,ssh-rsa*\n",
		want: "hostkeyalgorithms rsa-sha2-256,ssh-rsa,ssh-rsa-cert-v01@openssh.com," + strings.TrimSuffix(strings.Join(hostKeyAlgorithms, ","), ",rsa-sha2-256")},

	// What systems bring along.
	{name: "Fedora (boring 20, waveterm 654, paramiko 2361)", text: fedora, want: "hostname edge.x"},
	{name: "Fedora, and systemd", query: Query{Address: "vsock/3"}, text: fedora, want: "proxycommand /usr/lib/systemd/systemd-ssh-proxy %h %p"},
	{name: "Debian", text: "Include DIR/ssh_config.d/*.conf\n\nHost *\n    SendEnv LANG LC_*\n    HashKnownHosts yes\n    GSSAPIAuthentication yes\n", want: "hashknownhosts yes"},
}

// fedora is what a Fedora system has in /etc/ssh, behind an operator's own.
const fedora = `
Host edge
    HostName edge.x
Host *
    Include DIR/etc/ssh_config
-- etc/ssh_config --
# This is the ssh client system-wide configuration file.
Include DIR/etc/ssh_config.d/*.conf
-- etc/ssh_config.d/20-systemd-ssh-proxy.conf --
Host unix/* unix%* vsock/* vsock%* machine/* machine%*
    ProxyCommand /usr/lib/systemd/systemd-ssh-proxy %h %p
    ProxyUseFdpass yes
    CheckHostIP no

Host .host
    ProxyCommand /usr/lib/systemd/systemd-ssh-proxy unix/run/ssh-unix-local/socket %p
    ProxyUseFdpass yes
    CheckHostIP no
-- etc/ssh_config.d/50-redhat.conf --
# The options here are in the "Match final block" to be applied as the last
Match final all
	# Follow system-wide Crypto Policy, if defined:
	Include DIR/etc/crypto-policies/back-ends/openssh.config

	GSSAPIAuthentication yes
	ForwardX11Trusted yes

# Host *.local
-- etc/crypto-policies/back-ends/openssh.config --
Ciphers aes256-gcm@openssh.com,chacha20-poly1305@openssh.com,aes256-ctr
MACs hmac-sha2-256-etm@openssh.com,hmac-sha2-512
KexAlgorithms curve25519-sha256,ecdh-sha2-nistp256
PubkeyAcceptedAlgorithms ecdsa-sha2-nistp256,ssh-ed25519,rsa-sha2-256
CASignatureAlgorithms ecdsa-sha2-nistp256,ssh-ed25519,rsa-sha2-256
RequiredRSASize 2048
`
