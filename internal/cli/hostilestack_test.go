package cli_test

import (
	"os"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/relayctl/relayctl/internal/cli"
)

// canary is what commands hidden in strings would make.
const canary = "/tmp/relayctl-cli-canary"

// hostile are strings that mean something to a shell, a template, a unit file,
// a Caddyfile, JSON, HTTP, a terminal, ssh's command line or a file system.
var hostile = []string{
	"a;reboot", "$(id)", "$(touch " + canary + ")", "`touch " + canary + "`", "a|touch " + canary, "a&&reboot", ">" + canary,
	"-oProxyCommand=touch " + canary, "--", "-rf", "a b", " ", "", "a\nreboot", "a\r\nX-Evil: 1", "a\tb", "a\x00b",
	"{", "}", "{{.Stack}}", "{$HOME}", "{env.HOME}", "${HOME}", "%n%H", "%{if true}", "\"", "'", "\\", "\\n", "#", "*", "?", "~",
	"../../etc/passwd", "/etc/passwd", ".", "..", "a/../b", "\x1b[2J", "\u202e", "é", "\xff\xfe", "<script>", "null", "true",
	"local", "127.0.0.1", "0.0.0.0", "[::1]", "@", "a@b", "a:b", "a=b", "a,b", strings.Repeat("a", 5000),
}

// hostileStack has a place for a string wherever the language takes one.
const hostileStack = `
variable "secret" {
  type        = string
  sensitive   = true
  description = "<description>"
}
stack "<stack>" {}
ssh {
  user          = "<user>"
  identity_file = "<identity_file>"
}
proxy "<proxy>" {
  address = "<address>"
  domain  = "<domain>"
  server  = "<server>"
  ssh {
    host_key = "<host_key>"
    sudo     = "<sudo>"
    jump     = "<jump>"
  }
  tls "<tls>" {}
  relay {
    listen        = "<listen>"
    queue_timeout = "<queue_timeout>"
  }
}
worker "<worker>" {
  address = "<worker address>"
  model "<model>" {
    backend     = "<backend>"
    backend_key = var.secret
    upstream    = "<upstream>"
    kind        = "<kind>"
  }
}
api_key "<api_key>" {
  value   = var.secret
  expires = "<expires>"
}
api_key "other" {
  models = ["<models>"]
}
`

// harmless is what stands in the places that are not tried just now.
var harmless = map[string]string{
	"description": "a key", "stack": "lab", "user": "ops", "identity_file": "id_ed25519", "proxy": "edge", "address": "192.0.2.1",
	"domain": "llm.example.com", "server": "caddy", "host_key": "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU", "sudo": "auto", "jump": "bastion",
	"tls": "internal", "listen": "127.0.0.1:8080", "queue_timeout": "30s", "worker": "gpu-1", "worker address": "192.0.2.2",
	"model": "stub", "backend": "http://127.0.0.1:8000", "upstream": "stub", "kind": "chat", "api_key": "laptop",
	"expires": "2199-12-31", "models": "stub",
}

// anyText are the places whose text nothing reads but whom it is meant for:
// an engine that is told a name in JSON, a system call that opens a file. They
// take all but what is no text, and what says nothing.
var anyText = map[string]func(string) bool{
	"upstream": func(text string) bool { return strings.TrimSpace(text) != "" },
	"identity_file": func(text string) bool {
		return text != "" && !strings.HasPrefix(text, "~") && !strings.HasPrefix(text, "$")
	},
}

// isText reports whether a string has nothing in it that can't be seen.
func isText(text string) bool {
	return utf8.ValidString(text) && len(text) < 4096 && !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == '\u202e' })
}

// mayBe are the hostile strings that a place takes, since they mean there what
// they say.
var mayBe = map[string][]string{
	"stack":          {"null", "true", "local"},
	"proxy":          {"null", "true", "local"},
	"worker":         {"null", "true", "local"},
	"api_key":        {"null", "true", "local"},
	"user":           {"null", "true", "local", "127.0.0.1", "0.0.0.0", "a@b", "é"},
	"jump":           {"null", "true", "127.0.0.1", "[::1]", "a@b", "a,b", "é"},
	"address":        {"null", "true", "local", "127.0.0.1", "[::1]", "é"},
	"worker address": {"null", "true", "local", "127.0.0.1", "[::1]", "é"},
	"domain":         {"null", "true", "local", "127.0.0.1", "[::1]", "é"},
	"model":          {"null", "true", "local", "127.0.0.1", "0.0.0.0", "a:b"},
}

// TestHostileStrings tries every hostile string in every place of a stack file
// that takes one: it is refused, or is one of those that mean no harm there.
func TestHostileStrings(t *testing.T) {
	places := 0
	for place := range harmless {
		for _, text := range hostile {
			code, out := validateWith(t, place, text)
			accepted := place == "description" && code == 0 || slices.Contains(mayBe[place], text)
			if takes := anyText[place]; takes != nil {
				accepted = isText(text) && takes(text)
			}
			if want := map[bool]int{true: 0, false: 1}[accepted]; code != want {
				t.Errorf("%q as %s: exit code %d, want %d\n%s", text, place, code, want, out)
			}
			if strings.ContainsAny(out, "\x00\x1b\u202e\r") {
				t.Errorf("%q as %s reaches the terminal as it is: %q", text, place, out)
			}
			places++
		}
	}
	for _, text := range hostile {
		if strings.Contains(text, "\x00") {
			continue // not in an environment
		}
		visible := !strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) && !strings.HasPrefix(text, " ")
		text += strings.Repeat("s", 32)
		code, out := validateWith(t, "secret", text)
		if want := map[bool]int{true: 0, false: 1}[visible && len(text) <= 4096]; code != want {
			t.Errorf("%q as a secret: exit code %d, want %d\n%s", text, code, want, out)
		}
		if strings.Contains(out, "ssss") {
			t.Errorf("a secret is shown:\n%s", out)
		}
		places++
	}
	if places == 0 {
		t.Fatal("nothing was tried")
	}
	if _, err := os.Lstat(canary); err == nil {
		t.Error("a string was run as a command")
	}
}

// validateWith runs relayctl validate on a stack file with a string in one
// place.
func validateWith(t *testing.T, place, text string) (code int, out string) {
	t.Helper()
	secret := strings.Repeat("k", 32)
	if place == "secret" {
		secret = text
	}
	var pairs []string
	for name, value := range harmless {
		if name == place || name == "models" && place == "model" {
			value = text
		}
		pairs = append(pairs, "<"+name+">", inHCL(value))
	}
	c := newConsole(t, "", "validate").piped()
	if err := os.WriteFile("stack.hcl", []byte(strings.NewReplacer(pairs...).Replace(hostileStack)), 0o600); err != nil {
		t.Fatal(err)
	}
	c.Env = func(name string) (string, bool) {
		if name == "RELAYCTL_VAR_secret" {
			return secret, true
		}
		return os.LookupEnv(name)
	}
	code = cli.Run(c.System)
	return code, c.stdout.String() + c.stderr.String()
}

// inHCL writes a string so that HCL reads it as it is.
func inHCL(text string) string {
	return strings.NewReplacer(`"`, `\"`, `\`, `\\`, "\n", `\n`, "\r", `\r`, "\t", `\t`, "\x00", `\u0000`, "\x1b", `\u001b`,
		"${", "$${", "%{", "%%{").Replace(text)
}
