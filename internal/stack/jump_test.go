package stack_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/relayctl/relayctl/internal/stack"
)

// site is a stack whose blocks are given their ssh blocks: "file", "edge",
// "gpu-1", "gpu-2" and "here", which is this machine.
func site(ssh map[string]string) string {
	block := func(name, indent string) string {
		if ssh[name] == "" {
			return ""
		}
		return indent + "ssh {\n" + indent + "  " + strings.ReplaceAll(ssh[name], "\n", "\n  "+indent) + "\n" + indent + "}\n"
	}
	text := "stack \"home\" {}\n" + block("file", "") +
		"proxy \"edge\" {\n  address = \"203.0.113.10\"\n  domain = \"llm.example.com\"\n" + block("edge", "  ") + "  tls \"internal\" {}\n}\n"
	for _, w := range [][2]string{{"gpu-1", "10.0.0.21"}, {"gpu-2", "10.0.0.22"}, {"here", "local"}} {
		text += fmt.Sprintf("worker %q {\n  address = %q\n%s  model \"a\" {\n    backend = \"http://127.0.0.1:11434\"\n  }\n}\n", w[0], w[1], block(w[0], "  "))
	}
	return text
}

func loadText(text string) (*stack.Stack, *stack.Sources, []string) {
	s, src, diags := stack.Load("stack.hcl", stack.Options{NeedValues: true, Env: fixtureEnv, Home: "/home/ops", ReadFile: files{"stack.hcl": text}.read})
	var details []string
	for _, d := range diags {
		details = append(details, d.Summary+": "+d.Detail)
	}
	return s, src, details
}

// wayTo is how a host of a stack is reached: its hops, each with what is known
// of it, behind "directly" where nothing else leads to the first.
func wayTo(s *stack.Stack, name string) string {
	for _, h := range s.Hosts() {
		if h.Name != name {
			continue
		}
		hops, direct := h.SSH.Way()
		var texts []string
		if direct {
			texts = append(texts, "directly")
		}
		for _, hop := range hops {
			text := hop.String()
			if hop.IdentityFile != "" {
				text += " by " + hop.IdentityFile
			}
			texts = append(texts, text)
		}
		return strings.Join(texts, " > ")
	}
	return "no host"
}

// What ssh's -J takes comes out as it is dialled.
func TestJumpForms(t *testing.T) {
	for value, want := range map[string]string{
		`"bastion"`:                              "bastion",
		`"Bastion"`:                              "Bastion", // an alias of ssh's configuration
		`"bastion.example.com."`:                 "bastion.example.com",
		`"ops@bastion.example.com:2222"`:         "ops@bastion.example.com:2222",
		`"bastion:22"`:                           "bastion:22",
		`"john@corp.example.com@bastion"`:        "john@corp.example.com@bastion",
		`"CORP\\john.doe@bastion"`:               `CORP\john.doe@bastion`,
		`"[2001:DB8::1]"`:                        "[2001:db8::1]",
		`"ops@[2001:db8::1]:2222"`:               "ops@[2001:db8::1]:2222",
		`"[fe80::1%eth0]:22"`:                    "[fe80::1%eth0]:22",
		`"198.51.100.1:2222"`:                    "198.51.100.1:2222",
		`"localhost:2222"`:                       "localhost:2222", // a tunnel that begins here
		`"ssh://ops@bastion:2222/"`:              "ops@bastion:2222",
		`"ssh://bastion"`:                        "bastion",
		`"büro"`:                                 "xn--bro-hoa",
		`"a@one:1,b@two:2"`:                      "a@one:1 > b@two:2", // fabric#2203: one account for all
		`"one, two ,three"`:                      "one > two > three", // asyncssh#635, netmiko#908: one host of this name, or in the wrong order
		`["one", "two"]`:                         "one > two",
		`["one,two", "three"]`:                   "one > two > three",
		`[for n in ["one", "two"] : "ops@${n}"]`: "ops@one > ops@two",
		`"none"`:                                 "directly", // net-ssh#893, paramiko#2285, pyinfra#1445, fabric#2354: a host of this name
		`"NONE"`:                                 "directly",
		`["none"]`:                               "directly",
		`[]`:                                     "directly",
		`null`:                                   "",
		`"edge"`:                                 "edge",
		`["bastion", "edge"]`:                    "bastion > edge",
		`["ssh://edge"]`:                         "edge",
	} {
		s, _, problems := loadText(site(map[string]string{"gpu-1": "jump = " + value}))
		if s == nil {
			t.Errorf("jump = %s is refused: %s", value, problems)
			continue
		}
		if got := wayTo(s, "gpu-1"); got != want {
			t.Errorf("jump = %s is %q, want %q", value, got, want)
		}
		first := s.Workers[0].SSH
		again, err := s.SSHFor("10.0.0.99", 0, first.JumpText())
		if err != nil || !slices.Equal(again.Jump, first.Jump) || again.Direct != first.Direct {
			t.Errorf("jump = %s is read again as %+v, %v", value, again, err)
		}
	}
}

// A hop travels to ssh's command line and into commands of its configuration:
// what a shell or ssh would act on is no host (CVE-2017-1000117,
// CVE-2023-51385), and what is meant otherwise is told.
func TestJumpsThatAreRefused(t *testing.T) {
	for value, want := range map[string]string{
		`""`:                             `holds an empty text: "none" is directly`,
		`" "`:                            "holds an empty text",
		`"one,,two"`:                     "holds an empty text",
		`"one,"`:                         "holds an empty text",
		`["one", null]`:                  "holds null",
		`["none", "one"]`:                `holds "none" beside others`,
		`"one,none"`:                     `holds "none" beside others`,
		`["one", "one"]`:                 `names "one" twice`,
		`"a,b,c,d,e,f,g,h,i,j,k"`:        "names 11 hosts, and may name 10",
		`"one two"`:                      `"one two", which is not [user@]host[:port]`,
		`"2001:db8::1"`:                  "an IPv6 address stands in brackets", // net-ssh-multi#9, sshkit#403: its end is taken for a port
		`"ops@2001:db8::1:22"`:           "an IPv6 address stands in brackets",
		`"bastion:0"`:                    "whose port is not",
		`"bastion:"`:                     "whose port is not",
		`"bastion:ssh"`:                  "whose port is not",
		`"bastion:65536"`:                "whose port is not",
		`"bastion:+22"`:                  "whose port is not",
		`"bastion:22:22"`:                "which is not [user@]host[:port]",
		`"@bastion"`:                     "whose user is not",
		`"ops@"`:                         "which is not [user@]host[:port]",
		`"%r@bastion"`:                   "whose user is not", // net-ssh#809
		`"%h.gw"`:                        "which is not [user@]host[:port]",
		`"ops:hunter2@bastion"`:          "holds a password",
		`"ssh://ops:hunter2@bastion"`:    "holds a password",
		`"-oProxyCommand=id"`:            "which is not [user@]host[:port]",
		`"-l@bastion"`:                   "whose user is not",
		`"$(id)@bastion"`:                "whose user is not",
		"\"`id`\"":                       "which is not [user@]host[:port]",
		`"bastion;id"`:                   "which is not [user@]host[:port]",
		`"bastion|id"`:                   "which is not [user@]host[:port]",
		`"bastion\nid"`:                  "which is not [user@]host[:port]",
		`"$${HOME}"`:                     "which is not [user@]host[:port]",
		`"a'b"`:                          "which is not [user@]host[:port]",
		`"[bastion"`:                     "which is not [user@]host[:port]",
		`"http://bastion"`:               "whose port is not",
		`"0.0.0.0"`:                      "which is not [user@]host[:port]",
		`"10.0.0"`:                       "which is not [user@]host[:port]",
		`"123"`:                          "is no proxy or worker of this stack, and elsewhere no host can have this name",
		`"local"`:                        "this machine is no hop",
		`"LOCAL"`:                        "this machine is no hop",
		`"ops@local"`:                    "this machine is no hop",
		`"ops@edge"`:                     "edge is a proxy of this stack",
		`"gpu-2:22"`:                     "gpu-2 is a worker of this stack",
		`{ host = "bastion" }`:           "jump takes ",
		`true`:                           "jump takes ",
		`["one", ["two"]]`:               "jump takes ",
		`"${env("OLD_KEY")} ;"`:          "The value of jump is not ",
		`"${env("EMPTY")}ops@gpu-2"`:     "The value of jump is not ",
		`"${substr(env("HOME"),1,2)},;"`: "The value of jump is not ",
	} {
		s, src, diags := stack.Load("stack.hcl", stack.Options{NeedValues: true, Env: fixtureEnv, Home: "/home/ops",
			ReadFile: files{"stack.hcl": site(map[string]string{"gpu-1": "user = \"root\"\njump = " + value})}.read})
		all := strings.Join(strings.Fields(printed(t, src, diags)), " ")
		if s != nil || len(diags) != 1 || !strings.Contains(all, want) || !strings.Contains(all, `worker "gpu-1", ssh:`) {
			t.Errorf("jump = %s: want %q in one error:\n%s", value, want, all)
		}
		if strings.Contains(all, "hunter2") || strings.Contains(all, oldKey) {
			t.Errorf("jump = %s: a password is shown:\n%s", value, all)
		}
	}
}

// A host is reached as its own block says, and a hop as its own: nothing of the
// one counts for the other.
func TestWays(t *testing.T) {
	for name, c := range map[string]struct {
		ssh  map[string]string
		want map[string]string
	}{
		"nothing said": {nil, map[string]string{"edge": "", "gpu-1": "", "here": ""}},
		"for all hosts": {
			map[string]string{"file": `jump = "bastion"`},
			map[string]string{"edge": "bastion", "gpu-1": "bastion", "gpu-2": "bastion"},
		},
		"a host's own replaces the file's": {
			map[string]string{"file": `jump = ["bastion", "inner"]`, "gpu-1": `jump = "other"`, "gpu-2": `jump = null`},
			map[string]string{"edge": "bastion > inner", "gpu-1": "other", "gpu-2": "bastion > inner"},
		},
		"a host's own none": {
			map[string]string{"file": `jump = "bastion"`, "gpu-1": `jump = "none"`, "gpu-2": `jump = []`},
			map[string]string{"edge": "bastion", "gpu-1": "directly", "gpu-2": "directly"},
		},
		"other arguments leave it": {
			map[string]string{"file": `jump = "bastion"`, "gpu-1": `port = 2222`},
			map[string]string{"gpu-1": "bastion"},
		},
		// pyinfra#728, mina-sshd#609, fabric#1850: through the bastion to itself, without end.
		"the file's own bastion is reached without itself": {
			map[string]string{"file": `jump = "edge"`, "edge": `port = 2200`, "gpu-1": `port = 2222`},
			map[string]string{"edge": "", "gpu-1": "edge", "gpu-2": "edge"},
		},
		"also by its address": {
			map[string]string{"file": `jump = "203.0.113.10"`},
			map[string]string{"edge": "", "gpu-1": "203.0.113.10"},
		},
		"another port of its address is another host": {
			map[string]string{"file": `jump = "203.0.113.10:2222"`},
			map[string]string{"edge": "203.0.113.10:2222", "gpu-1": "203.0.113.10:2222"},
		},
		"a later hop of the file is reached by those before it": {
			map[string]string{"file": `jump = ["bastion", "edge", "gpu-2"]`},
			map[string]string{"edge": "bastion", "gpu-2": "bastion > edge", "gpu-1": "bastion > edge > gpu-2"},
		},
		"unless it says otherwise": {
			map[string]string{"file": `jump = "edge"`, "edge": `jump = "bastion"`},
			map[string]string{"edge": "bastion", "gpu-1": "bastion > edge"},
		},
		"directly, to the bastion": {
			map[string]string{"file": `jump = "edge"`, "edge": `jump = "none"`},
			map[string]string{"edge": "directly", "gpu-1": "directly > edge"},
		},
		// mina-sshd#318, open-remote-ssh#109: only the host's own hops count.
		"hops of hops": {
			map[string]string{"edge": `jump = "bastion"`, "gpu-1": `jump = "edge"`, "gpu-2": `jump = "gpu-1"`},
			map[string]string{"gpu-1": "bastion > edge", "gpu-2": "bastion > edge > gpu-1"},
		},
		// As ssh does it: -J a,b reaches b through a alone.
		"a list leads to all but its first": {
			map[string]string{"edge": `jump = "bastion"`, "gpu-1": `jump = "edge"`, "gpu-2": `jump = ["vpn", "gpu-1"]`},
			map[string]string{"gpu-2": "vpn > gpu-1"},
		},
		"a list may say what its hosts say": {
			map[string]string{"edge": `jump = "bastion"`, "gpu-1": `jump = ["bastion", "edge"]`},
			map[string]string{"gpu-1": "bastion > edge"},
		},
		"this machine is no hop": {
			map[string]string{"file": `jump = "here"`, "gpu-2": `jump = ["gpu-1"]`},
			map[string]string{"edge": "directly", "gpu-1": "directly", "gpu-2": "directly > gpu-1", "here": ""},
		},
		"nothing leads to this machine": {
			map[string]string{"file": `jump = "edge"`, "edge": `jump = "bastion"`},
			map[string]string{"here": "", "gpu-1": "bastion > edge"},
		},
		"nor does its own": {
			map[string]string{"here": `jump = ["bastion", "edge"]`, "gpu-1": `jump = "here"`},
			map[string]string{"here": "", "gpu-1": "directly"},
		},
		"nor what comes before it": {
			map[string]string{"gpu-1": `jump = ["bastion", "here", "edge"]`},
			map[string]string{"gpu-1": "directly > edge"},
		},
		// kubeone#644: one user for both; open-remote-ssh#337: the target's port.
		"nothing of the host is the hop's": {
			map[string]string{"gpu-1": "user = \"root\"\nport = 2222\nhost_key = \"" + typed + "\"\nsudo = \"none\"\njump = \"bastion\""},
			map[string]string{"gpu-1": "bastion"},
		},
		"the key of the block that names the hop": {
			map[string]string{"file": "identity_file = \"~/id\"\njump = \"bastion\"", "gpu-1": "identity_file = \"~/other\"", "gpu-2": "identity_file = \"~/other\"\njump = \"inner\""},
			map[string]string{"edge": "bastion by /home/ops/id", "gpu-1": "bastion by /home/ops/id", "gpu-2": "inner by /home/ops/other"},
		},
		"a hop of the stack has its own": {
			map[string]string{"file": "identity_file = \"~/id\"\njump = \"edge\""},
			map[string]string{"gpu-1": "edge"},
		},
	} {
		s, src, diags := stack.Load("stack.hcl", stack.Options{Home: "/home/ops", ReadFile: files{"stack.hcl": site(c.ssh)}.read})
		if s == nil {
			t.Errorf("%s:\n%s", name, printed(t, src, diags))
			continue
		}
		for host, want := range c.want {
			if got := wayTo(s, host); got != want {
				t.Errorf("%s: the way to %s is %q, want %q", name, host, got, want)
			}
		}
	}
}

// A way that never ends is refused at a line that makes it, once.
func TestJumpsInACircle(t *testing.T) {
	for name, c := range map[string]struct {
		ssh  map[string]string
		want string
		in   string
	}{
		"itself":               {map[string]string{"gpu-1": `jump = "gpu-1"`}, "gpu-1 is reached through gpu-1.", `worker "gpu-1", ssh`},
		"behind another":       {map[string]string{"gpu-1": `jump = ["bastion", "gpu-1"]`}, "gpu-1 is reached through gpu-1.", `worker "gpu-1", ssh`},
		"each other":           {map[string]string{"edge": `jump = "gpu-1"`, "gpu-1": `jump = "edge"`}, "edge is reached through gpu-1, which is reached through edge.", `proxy "edge", ssh`},
		"three":                {map[string]string{"edge": `jump = "gpu-1"`, "gpu-1": `jump = "gpu-2"`, "gpu-2": `jump = "edge"`}, "edge is reached through gpu-1, which is reached through gpu-2, which is reached through edge.", `proxy "edge", ssh`},
		"by the file's":        {map[string]string{"file": `jump = "edge"`, "edge": `jump = "gpu-1"`}, "edge is reached through gpu-1, which is reached through edge.", `proxy "edge", ssh`},
		"of others":            {map[string]string{"edge": `jump = "gpu-1"`, "gpu-1": `jump = "gpu-2"`, "gpu-2": `jump = "gpu-1"`}, "gpu-1 is reached through gpu-2, which is reached through gpu-1.", `worker "gpu-1", ssh`},
		"later in a list":      {map[string]string{"edge": `jump = ["gpu-1", "gpu-2"]`, "gpu-1": `jump = ["bastion", "edge"]`}, "edge is reached through gpu-1, which is reached through edge.", `proxy "edge", ssh`},
		"before this machine":  {map[string]string{"edge": `jump = ["gpu-1", "here"]`, "gpu-1": `jump = "edge"`}, "edge is reached through gpu-1, which is reached through edge.", `proxy "edge", ssh`},
		"each by a longer way": {map[string]string{"gpu-1": `jump = ["bastion", "gpu-2"]`, "gpu-2": `jump = ["bastion", "gpu-1"]`}, "", ""},
		"this machine's own":   {map[string]string{"here": `jump = "gpu-1"`, "gpu-1": `jump = "here"`}, "", ""},
	} {
		s, src, diags := stack.Load("stack.hcl", stack.Options{ReadFile: files{"stack.hcl": site(c.ssh)}.read})
		if all := strings.Join(strings.Fields(printed(t, src, diags)), " "); c.want == "" {
			if s == nil {
				t.Errorf("%s is refused: %s", name, all)
			}
		} else if len(diags) != 1 || diags[0].Summary != "Jumps in a circle" || !strings.Contains(all, c.want) || !strings.Contains(all, "in "+c.in) {
			t.Errorf("%s: want %q in %s:\n%s", name, c.want, c.in, all)
		}
	}
}

// One address behind two bastions is two machines, and one behind the same one
// is one.
func TestPlacesBehindHops(t *testing.T) {
	for name, c := range map[string]struct {
		first, second string
		one           bool
	}{
		"no hops":           {"", "", true},
		"the same":          {`jump = "a"`, `jump = ["a"]`, true},
		"others":            {`jump = "a"`, `jump = "b"`, false},
		"another port":      {`jump = "a"`, "port = 2222\njump = \"a\"", false},
		"one of them":       {`jump = "a"`, "", false},
		"by hops of a host": {`jump = "edge"`, `jump = ["bastion", "edge"]`, true},
		"said to be direct": {`jump = "none"`, "", true},
	} {
		text := strings.Replace(site(map[string]string{"gpu-1": c.first, "gpu-2": c.second, "edge": `jump = "bastion"`}), "10.0.0.22", "10.0.0.21", 1)
		_, _, problems := loadText(text)
		if one := len(problems) == 1 && strings.HasPrefix(problems[0], "Two workers on one machine"); one != c.one || !one && len(problems) > 0 {
			t.Errorf("%s: one machine: %v, want %v; %s", name, one, c.one, problems)
		}
	}
}

// A worker on the machine that the file's jump names is not behind it.
func TestWorkerOnTheHopsMachine(t *testing.T) {
	s, _, problems := loadText(strings.Replace(site(map[string]string{"file": `jump = "edge"`}), "10.0.0.22", "203.0.113.10", 1))
	if s == nil {
		t.Fatal(problems)
	}
	if way := wayTo(s, "gpu-2"); way != "" || !s.Workers[1].IsAt(&s.Proxy.Host) || s.Workers[0].IsAt(&s.Proxy.Host) {
		t.Errorf("the way there is %q; one machine: %v", way, s.Workers[1].IsAt(&s.Proxy.Host))
	}
}

// What others call it is known.
func TestOtherNamesOfJump(t *testing.T) {
	for _, name := range []string{"proxyjump", "ProxyJump", "proxy_jump", "jump_host", "bastion", "bastion_host"} {
		if _, _, problems := loadText(site(map[string]string{"file": name + ` = "bastion"`})); len(problems) != 1 || !strings.Contains(problems[0], `Did you mean "jump"?`) {
			t.Errorf("%s: %s", name, problems)
		}
	}
}

// Hops that somebody else remembers are read as those of the file, or not at
// all.
func TestSSHFor(t *testing.T) {
	s, _, problems := loadText(site(map[string]string{"file": "identity_file = \"~/id\"\njump = \"bastion\"", "edge": `jump = "none"`}))
	if s == nil {
		t.Fatal(problems)
	}
	for text, want := range map[string]string{
		"": "bastion by /home/ops/id", "none": "directly", "edge": "directly > edge", "ops@gw:2222,edge": "ops@gw:2222 by /home/ops/id > edge",
		"here": "directly", "-oProxyCommand=id": "an error", "ops@edge": "an error", "local": "an error", "a,,b": "an error", " ": "an error", "a\n": "a by /home/ops/id",
	} {
		ssh, err := s.SSHFor("10.0.0.99", 0, text)
		got := "an error"
		if err == nil {
			s.Workers[0].SSH = ssh
			got = wayTo(s, s.Workers[0].Name)
		}
		if got != want {
			t.Errorf("%q is %q, want %q (%v)", text, got, want, err)
		}
	}
	if ssh, _ := s.SSHFor("bastion", 0, ""); len(ssh.Jump) > 0 || ssh.Direct {
		t.Errorf("the file's own hop is reached through itself: %+v", ssh.Jump)
	}
	if got := s.SSH.JumpText(); got != "bastion" {
		t.Errorf("the file's own became %q", got)
	}
}
