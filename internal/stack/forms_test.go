package stack_test

import (
	"strings"
	"testing"
	"time"

	"github.com/relayctl/relayctl/internal/stack"
)

// edited is a stack with one argument set; where names the block.
func edited(where, argument, value string) string {
	set := func(block string) string {
		if block != where {
			return ""
		}
		return "  " + argument + " = " + value + "\n"
	}
	or := func(name, line string) string {
		if name == argument {
			return ""
		}
		return line
	}
	return "stack \"home\" {}\nssh {\n" + set("ssh") + "}\nproxy \"edge\" {\n" + or("domain", "  domain = \"llm.example.com\"\n") +
		"  address = \"203.0.113.10\"\n" + set("proxy") + "  tls \"internal\" {}\n  relay {\n" + set("relay") + "  }\n}\n" +
		"worker \"gpu-1\" {\n" + or("address", "  address = \"10.0.0.21\"\n") + set("worker") + "  model \"a\" {\n" +
		or("backend", "    backend = \"http://127.0.0.1:11434\"\n") + set("model") + "  }\n}\napi_key \"x\" {\n" + set("api_key") + "}\n"
}

const publicKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"

// fingerprintOfIt is what ssh-keygen -l prints of publicKey; typed has its type.
const (
	fingerprintOfIt = "SHA256:ZkAslGjFiUHdGf/WUL8rQvkib4PTvQatUV0OUQSncCA"
	typed           = "ssh-ed25519 " + fingerprintOfIt
)

// securityKey is the public key of one that a device keeps.
const securityKey = "sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4fAAAABHNzaDo="

// Whatever works behind the door is let in, and comes out in the form that is
// used there.
func TestFormsTakeWhatWorks(t *testing.T) {
	get := map[string]func(*stack.Stack) string{
		"user":          func(s *stack.Stack) string { return s.Proxy.SSH.User },
		"identity_file": func(s *stack.Stack) string { return s.Proxy.SSH.IdentityFile },
		"host_key":      func(s *stack.Stack) string { return s.Proxy.SSH.HostKey },
		"address":       func(s *stack.Stack) string { return s.Workers[0].Address },
		"domain":        func(s *stack.Stack) string { return s.Proxy.Domain },
		"listen":        func(s *stack.Stack) string { return s.Proxy.Relay.Listen.String() },
		"idle_timeout":  func(s *stack.Stack) string { return s.Proxy.Relay.IdleTimeout.String() },
		"backend":       func(s *stack.Stack) string { return s.Workers[0].Models[0].Backend },
		"backend_key":   func(s *stack.Stack) string { return s.Workers[0].Models[0].BackendKey.Reveal() },
		"upstream":      func(s *stack.Stack) string { return s.Workers[0].Models[0].Upstream },
		"expires":       func(s *stack.Stack) string { return s.APIKeys[0].Expires.Format(time.RFC3339Nano) },
	}
	for _, c := range []struct{ where, argument, value, want string }{
		{"model", "upstream", "/srv/my models/small", ""},
		{"model", "upstream", "Qwen2.5 32B (AWQ)", ""},
		{"model", "upstream", "模型-7b é 🦙", ""},
		{"model", "upstream", `C:\models\it's "this" & <that> %h {x} $y`, ""},
		{"model", "upstream", strings.Repeat("x", 1024), ""},
		{"model", "upstream", "-m", ""},
		{"model", "backend", "http://127.0.0.1:11434/v1", "http://127.0.0.1:11434"},
		{"model", "backend", "http://127.0.0.1:11434/v1/", "http://127.0.0.1:11434"},
		{"model", "backend", "https://10.0.0.5/ollama", "https://10.0.0.5/ollama"},
		{"model", "backend", "https://10.0.0.5/my engine/v1", "https://10.0.0.5/my%20engine"},
		{"model", "backend", "http://my_vllm:8000", ""},
		{"model", "backend", "http://LOCALHOST:8000", "http://localhost:8000"},
		{"model", "backend", "http://engine.lan.:8000", "http://engine.lan:8000"},
		{"model", "backend", "http://[::1]:8000", ""},
		{"model", "backend", "http://[fe80::1%25wlP2p]:8000", ""},
		{"model", "backend", "HTTP://engine", "http://engine"},
		{"model", "backend", "http://büro.example:1", "http://xn--bro-hoa.example:1"},
		{"model", "backend_key", "a key with spaces", ""},
		{"model", "backend_key", `sk-"'$\{}~!@#`, ""},
		{"ssh", "user", "john.doe", ""},
		{"ssh", "user", "Administrator", ""},
		{"ssh", "user", "svc_deploy-2", ""},
		{"ssh", "user", `CORP\john.doe`, ""},
		{"ssh", "user", "john@corp.example.com", ""},
		{"ssh", "user", "machine$", ""},
		{"ssh", "user", "jörg", ""},
		{"ssh", "identity_file", "/home/ops/my keys/id (new)", ""},
		{"ssh", "identity_file", "/home/jörg/it's & id#1;", ""},
		{"ssh", "identity_file", "~/my keys/id", "/home/ops/my keys/id"},
		{"ssh", "host_key", fingerprintOfIt, ""},
		{"ssh", "host_key", fingerprintOfIt + "=", fingerprintOfIt},
		{"ssh", "host_key", publicKey, typed},
		{"ssh", "host_key", publicKey + " root@gpu-1\n", typed},
		{"ssh", "host_key", "10.0.0.21 " + publicKey, typed},
		{"ssh", "host_key", "[10.0.0.21]:2222 " + publicKey, typed},
		{"ssh", "host_key", "|1|c2FsdA==|aGFzaA== " + publicKey + " comment", typed},
		{"ssh", "host_key", typed, ""},
		{"ssh", "host_key", typed + " root@gpu-1 (RSA)", typed},
		{"ssh", "host_key", "256 " + fingerprintOfIt + " root@gpu-1 (ED25519)", typed},
		{"ssh", "host_key", "256 " + fingerprintOfIt + " no comment (ECDSA)", "ecdsa-sha2-nistp256 " + fingerprintOfIt},
		{"ssh", "host_key", "384 " + fingerprintOfIt + " (new) host (ECDSA)", "ecdsa-sha2-nistp384 " + fingerprintOfIt},
		{"ssh", "host_key", "521 " + fingerprintOfIt + " x (ECDSA)", "ecdsa-sha2-nistp521 " + fingerprintOfIt},
		{"ssh", "host_key", "3072 " + fingerprintOfIt + " x (RSA)", "ssh-rsa " + fingerprintOfIt},
		{"ssh", "host_key", "256 " + fingerprintOfIt + " x (ED25519-SK)", "sk-ssh-ed25519@openssh.com " + fingerprintOfIt},
		{"ssh", "host_key", "256 " + fingerprintOfIt + " x (ECDSA-SK)", "sk-ecdsa-sha2-nistp256@openssh.com " + fingerprintOfIt},
		{"ssh", "host_key", "256 " + fingerprintOfIt + " x (ED25519-CERT)", fingerprintOfIt},
		{"ssh", "host_key", "300 " + fingerprintOfIt + " x (ECDSA)", fingerprintOfIt},
		{"ssh", "host_key", securityKey, "sk-ssh-ed25519@openssh.com SHA256:/p0CbeE3dk2SyW1OXXsThGc12ezDVD8eGw2/vtztDfk"},
		{"worker", "address", "GPU-Box", ""},
		{"worker", "address", "my_gpu", ""},
		{"worker", "address", "gpu.example.com.", "gpu.example.com"},
		{"worker", "address", "[2001:DB8::1]", "2001:db8::1"},
		{"worker", "address", "fe80::1%eth0", ""},
		{"worker", "address", "0b1", ""},
		{"worker", "address", "gpu.0b1", ""},
		{"worker", "address", "Local", "local"},
		{"worker", "address", "localhost", ""},
		{"worker", "address", "büro", "xn--bro-hoa"},
		{"proxy", "domain", "LLM.Example.COM", "llm.example.com"},
		{"proxy", "domain", "llm.example.com.", "llm.example.com"},
		{"proxy", "domain", "llm", ""},
		{"proxy", "domain", "my_llm.lan", ""},
		{"proxy", "domain", "xn--mnchen-3ya.example", ""},
		{"proxy", "domain", "München.example", "xn--mnchen-3ya.example"},
		{"proxy", "domain", "[2001:db8::1]", "2001:db8::1"},
		{"relay", "listen", "localhost:8090", "127.0.0.1:8090"},
		{"relay", "idle_timeout", "90s", "1m30s"},
		{"relay", "idle_timeout", "1h30m", "1h30m0s"},
		{"relay", "idle_timeout", "1H 30M", "1h30m0s"},
		{"relay", "idle_timeout", "90 s", "1m30s"},
		{"relay", "idle_timeout", "1.5h", "1h30m0s"},
		{"api_key", "expires", "2027-06-30T12:00:00+02:00", "2027-06-30T10:00:00Z"},
		{"api_key", "expires", "2027-06-30t12:00:00z", "2027-06-30T12:00:00Z"},
		{"api_key", "expires", "9999-12-31", "9999-12-31T23:59:59Z"},
	} {
		text := edited(c.where, c.argument, `file("value")`)
		s, src, diags := stack.Load("/stack/stack.hcl", stack.Options{
			NeedValues: true, Env: fixtureEnv, Home: "/home/ops", ReadFile: files{"/stack/stack.hcl": text, "/stack/value": c.value}.read,
		})
		if s == nil {
			t.Errorf("%s = %q is refused:\n%s", c.argument, c.value, printed(t, src, diags))
			continue
		}
		if c.want == "" {
			c.want = c.value
		}
		if got := get[c.argument](s); got != c.want {
			t.Errorf("%s = %q became %q, want %q", c.argument, c.value, got, c.want)
		}
	}
}

// What can't work is refused, with the reason.
func TestFormsSayWhyNot(t *testing.T) {
	for _, c := range []struct{ where, argument, value, want string }{
		{"model", "upstream", `""`, "leave it out"},
		{"model", "upstream", `"a\nb"`, "control character"},
		{"model", "upstream", `"a\n"`, "trimspace()"},
		{"model", "upstream", `"a\u202eb"`, "control character"},
		{"model", "upstream", `"a\u0000b"`, "control character"},
		{"model", "backend", `"http://127.0.0.1:8000/v1/chat/completions"`, "what comes behind /v1"},
		{"model", "backend", `"http://127.0.0.1:8000/a%2fb"`, "is not an engine's URL"},
		{"model", "backend", `"http://0.0.0.0:8000"`, "127.0.0.1"},
		{"model", "backend", `"http://[::]:8000"`, "127.0.0.1"},
		{"model", "backend", `"ftp://127.0.0.1"`, "is not an engine's URL"},
		{"model", "backend_key", `"${env("OLD_KEY")}\u00e9"`, "outside ASCII"},
		{"model", "backend_key", `"Bearer ${env("OLD_KEY")}"`, "Bearer"},
		{"model", "backend_key", `"${env("OLD_KEY")}\tx"`, "control character"},
		{"ssh", "user", `"john doe"`, "is not a user name"},
		{"ssh", "user", `"-l"`, "is not a user name"},
		{"ssh", "user", `"a$(id)"`, "is not a user name"},
		{"ssh", "user", `"a\\"`, "is not a user name"},
		{"ssh", "identity_file", `"~ops/.ssh/id"`, "whole path"},
		{"ssh", "identity_file", `"$HOME/.ssh/id"`, "env("},
		{"ssh", "identity_file", `""`, "is empty"},
		{"ssh", "host_key", `"MD5:16:27:ac:a5:76:28:2d:36:63:1b:56:4d:eb:df:a6:48"`, "MD5"},
		{"ssh", "host_key", `"` + publicKey[:40] + `"`, "is not a host key"},
		{"ssh", "host_key", `"` + publicKey + `\n` + publicKey + `"`, "more than one line"},
		{"worker", "address", `"10.0.0.21:2222"`, "a port go into an ssh block"},
		{"worker", "address", `"ops@10.0.0.21"`, "A user and"},
		{"worker", "address", `"ops:hunter2@10.0.0.21"`, `address "ops:(secret)@10.0.0.21" is not`},
		{"worker", "address", `"ssh://10.0.0.21"`, "is not a host name"},
		{"worker", "address", `"10.0.0.21/24"`, "is not a host name"},
		{"worker", "address", `"0.0.0.0"`, "is not a host name"},
		{"worker", "address", `"224.0.0.1"`, "is not a host name"},
		{"proxy", "domain", `"llm.example.com:8443"`, "443"},
		{"proxy", "domain", `"*.example.com"`, "is not a host name"},
		{"proxy", "domain", `"llm.example.com/v1"`, "is not a host name"},
		{"proxy", "domain", `"fe80::1%eth0"`, "is not a host name"},
		{"relay", "listen", `"127.0.0.1:80"`, "a port from 1024"},
		{"relay", "listen", `":8080"`, "is not a loopback address"},
		{"relay", "idle_timeout", "300", `"300" is not a duration such as "90s"`},
		{"relay", "idle_timeout", `"5 minutes"`, "a duration such as"},
		{"relay", "idle_timeout", `"99999999999d"`, "a duration such as"},
		{"api_key", "expires", `"2027-06-30T12:00:00"`, "T12:00:00Z"},
		{"api_key", "expires", `"30.06.2027"`, "a date such as"},
	} {
		text := edited(c.where, c.argument, c.value)
		s, src, diags := stack.Load("stack.hcl", stack.Options{NeedValues: true, Env: fixtureEnv, Home: "/home/ops", ReadFile: files{"stack.hcl": text}.read})
		all := strings.Join(strings.Fields(printed(t, src, diags)), " ")
		if s != nil || len(diags) != 1 || !strings.Contains(all, c.want) {
			t.Errorf("%s = %s: want %q in one error:\n%s", c.argument, c.value, c.want, all)
		}
	}
}

// Names and numbers that hosts refuse are refused before any host is asked.
func TestLimitsOfWhatStandsBehind(t *testing.T) {
	if _, _, diags := stack.Load("stack.hcl", stack.Options{ReadFile: files{"stack.hcl": whole + "api_key \"relayctl-probe\" {}\n"}.read}); len(diags) != 1 {
		t.Errorf("the name of relayctl's own key: %v", diags)
	}
	models := ""
	for _, a := range "abcdefghijklmnopq" {
		for _, b := range "abcdefghijklmnop" {
			models += "  model \"" + string(a) + string(b) + "\" {\n    backend = \"http://b\"\n  }\n"
		}
	}
	_, _, diags := stack.Load("stack.hcl", stack.Options{ReadFile: files{"stack.hcl": strings.Replace(whole, "  model", models+"  model", 1)}.read})
	if len(diags) != 1 || diags[0].Summary != "Too many models" {
		t.Errorf("273 models: %v", diags)
	}
}

// A key file as editors of other systems save it.
func TestFilesOfKeysInOtherEncodings(t *testing.T) {
	text := strings.Replace(whole, `"laptop" {}`, `"laptop" {`+"\n  value = trimspace(file(\"k\"))\n}", 1)
	s, src, diags := stack.Load("stack.hcl", stack.Options{NeedValues: true, ReadFile: files{"stack.hcl": text, "k": "\ufeff" + oldKey + "\r\n"}.read})
	if s == nil || s.APIKeys[0].Value.Reveal() != oldKey {
		t.Errorf("with a byte order mark:\n%s", printed(t, src, diags))
	}
	_, src, diags = stack.Load("stack.hcl", stack.Options{NeedValues: true, ReadFile: files{"stack.hcl": text, "k": "\xff\xfeh\x00u\x00n\x00t\x00"}.read})
	isOneError(t, src, diags, "Error in function call", 14, "is not UTF-8 text")
}
