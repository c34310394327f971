package machine_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/relayctl/relayctl/internal/host/machine"
)

func TestParseOSRelease(t *testing.T) {
	got := machine.ParseOSRelease("# a comment\nID=debian\nVERSION_ID=\"12\"\nPRETTY_NAME=\"a \\\"b\\\" \\$c\"\nHOME='x y'\n\nnonsense\n")
	want := map[string]string{"ID": "debian", "VERSION_ID": "12", "PRETTY_NAME": `a "b" $c`, "HOME": "x y"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func FuzzParseOSRelease(f *testing.F) {
	f.Add("ID=debian\n")
	f.Add("ID=\"")
	f.Add("ID='\\")
	f.Fuzz(func(t *testing.T, text string) {
		for name, value := range machine.ParseOSRelease(text) {
			if strings.ContainsAny(name+value, "\n") {
				t.Errorf("%q has the value %q, over two lines", name, value)
			}
		}
	})
}

func TestParseDpkg(t *testing.T) {
	versions, conffiles := machine.ParseDpkg("caddy\tii \t2.6.2-5\n" +
		" /etc/caddy/Caddyfile 0123456789abcdef0123456789abcdef\n" +
		" /etc/with space 0123456789abcdef0123456789abcdee obsolete\n" +
		" /etc/new newconffile\n\n" +
		"gone\trc \t1.0\n\n" + "held\thi \t3\n\n" + "half\tiU \t4\n\n" + "broken\n")
	if diff := cmp.Diff(map[string]string{"caddy": "2.6.2-5", "held": "3"}, versions); diff != "" {
		t.Error(diff)
	}
	want := map[string]string{
		"/etc/caddy/Caddyfile": "0123456789abcdef0123456789abcdef", "/etc/with space": "0123456789abcdef0123456789abcdee",
	}
	if diff := cmp.Diff(want, conffiles); diff != "" {
		t.Error(diff)
	}
}

func FuzzParseDpkg(f *testing.F) {
	f.Add("caddy\tii \t2.6.2-5\n /etc/caddy/Caddyfile 0123456789abcdef0123456789abcdef\n")
	f.Add(" a 0123456789abcdef0123456789abcdef 0123456789abcdef0123456789abcdef\n")
	f.Fuzz(func(t *testing.T, output string) {
		versions, conffiles := machine.ParseDpkg(output)
		for name := range versions {
			if strings.ContainsAny(name, "\t\n") || strings.HasPrefix(name, " ") {
				t.Errorf("a package %q", name)
			}
		}
		for path, sum := range conffiles {
			if !strings.HasPrefix(path, "/") || len(sum) != 32 || !strings.Contains(output, path+" "+sum) {
				t.Errorf("a file %q with the sum %q", path, sum)
			}
		}
	})
}

func TestParseAccounts(t *testing.T) {
	parsed := machine.ParseAccounts(
		"root:x:0:0:root:/root:/bin/bash\nrelay:x:998:997::/nonexistent:/usr/sbin/nologin\nbad:x:a:1::/:/\nshort:x\nroot:x:5:5::/other:/\n:x:1:1::/:/\n",
		"root:x:0:\nrelay:x:997:a,b\nbad:x:-1:\n")
	wantUsers := map[string]machine.Account{
		"root": {Name: "root", Home: "/root", Shell: "/bin/bash"}, "relay": {Name: "relay", UID: 998, GID: 997, Home: "/nonexistent", Shell: "/usr/sbin/nologin"},
	}
	if diff := cmp.Diff(wantUsers, parsed.Users); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]int{"root": 0, "relay": 997}, parsed.Groups); diff != "" {
		t.Error(diff)
	}
}

func FuzzParseAccounts(f *testing.F) {
	f.Add("root:x:0:0:root:/root:/bin/bash\n", "root:x:0:\n")
	f.Fuzz(func(t *testing.T, passwd, group string) {
		parsed := machine.ParseAccounts(passwd, group)
		for name, user := range parsed.Users {
			if name == "" || name != user.Name || user.UID < 0 || user.GID < 0 || strings.ContainsAny(name, ":\n") {
				t.Errorf("%q is %+v", name, user)
			}
		}
		for name, gid := range parsed.Groups {
			if name == "" || gid < 0 {
				t.Errorf("%q is %d", name, gid)
			}
		}
	})
}

const procTCP = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 17420 1 0000000000000000 100 0 0 10 0
   1: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000   998        0 20001 1 0000000000000000 100 0 0 10 0
   2: 0A0A0A0A:0016 0B0A0A0A:C350 01 00000000:00000000 02:000A8C1B 00000000     0        0 17500 4 0000000000000000 20 4 31 10 -1
`

const procTCP6 = `  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000000000000000000000000000:01BB 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 20002 1 0000000000000000 100 0 0 10 0
   1: 00000000000000000000000001000000:07E3 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 20003 1 0000000000000000 100 0 0 10 0
`

func TestParseListening(t *testing.T) {
	if diff := cmp.Diff([]string{"0.0.0.0 17420", "127.0.0.1 20001"}, machine.ParseListening(procTCP)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{":: 20002", "::1 20003"}, machine.ParseListening(procTCP6)); diff != "" {
		t.Error(diff)
	}
}

func FuzzParseListening(f *testing.F) {
	f.Add(procTCP)
	f.Add(procTCP6)
	f.Add("0: 0100007F:FFFFF 0 0A 0 0 0 0 0 1\n")
	f.Fuzz(func(t *testing.T, table string) {
		if got := machine.ParseListening(table); len(got) > strings.Count(table, "\n")+1 {
			t.Errorf("more sockets than lines: %v", got)
		}
	})
}

func TestHasCandidate(t *testing.T) {
	for policy, want := range map[string]bool{
		"caddy:\n  Installed: (none)\n  Candidate: 2.6.2-5\n  Version table:\n": true,
		"caddy:\n  Installed: (none)\n  Candidate: (none)\n":                    false,
		"":                       false,
		"caddy:\n  Candidate:\n": false,
	} {
		if got := machine.HasCandidate(policy); got != want {
			t.Errorf("%q: %v", policy, got)
		}
	}
}

func TestServiceOf(t *testing.T) {
	for groups, want := range map[string]string{
		"0::/system.slice/caddy.service\n":                                            "caddy.service",
		"0::/system.slice/system-vllm.slice/vllm@llama3.service\n":                    "vllm@llama3.service",
		"0::/system.slice/docker.service/sub\n":                                       "docker.service",
		"0::/user.slice/user-1000.slice/user@1000.service/app.slice/ollama.service\n": "",
		"0::/init.scope\n": "",
		"12:pids:/x.service\n1:name=systemd:/system.slice/ssh.service\n0::/\n":     "ssh.service",
		"0::/machine.slice/libpod-1f.scope/container/system.slice/nginx.service\n": "",
		"0::/machine.slice/x\n":             "",
		"":                                  "",
		"0::/system.slice/a$(id).service\n": "",
	} {
		if got := machine.ServiceOf(groups); got != want {
			t.Errorf("%q: %q instead of %q", groups, got, want)
		}
	}
}

func TestNewUnitState(t *testing.T) {
	got := machine.NewUnitState(map[string]any{
		"LoadState": "loaded", "FragmentPath": "/lib/systemd/system/x.service", "UnitFileState": "enabled",
		"ActiveState": "active", "SubState": "running", "InvocationID": []byte{0xab, 0x01}, "MainPID": uint32(12),
		"NRestarts": uint32(2), "ExecMainCode": int32(1), "ExecMainStatus": int32(3), "Result": "success",
		"StatusText": "settings x", "NeedDaemonReload": true, "InactiveExitTimestamp": uint64(1_700_000_000_000_000),
	})
	if !got.Exists || !got.Running() || !got.Enabled() || got.Invocation != "ab01" || got.MainPID != 12 || got.Restarts != 2 ||
		got.ExitStatus != 3 || !got.NeedsReload || got.StatusText != "settings x" || got.Began.Unix() != 1_700_000_000 {
		t.Errorf("the state is %+v", got)
	}
	if machine.NewUnitState(map[string]any{"LoadState": "not-found", "ActiveState": "inactive"}).Exists {
		t.Error("a unit that is not there exists")
	}
}

// A socket unit may take datagrams at the port of somebody else's stream.
func TestListens(t *testing.T) {
	got := machine.Listens([][]any{{"Datagram", "[::]:443"}, {"Stream", "[::]:80"}, {"Stream", "/run/x"}, {"Stream"}, {"FIFO", "/run/y"}})
	if diff := cmp.Diff([]string{"[::]:80", "/run/x"}, got); diff != "" {
		t.Errorf("listens (-want +got):\n%s", diff)
	}
}
