package e2e_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/relayctl/relayctl/test/lab"
)

// guideCaddyfile is what the guide on HTTPS for vLLM has for internal networks,
// with some lines before and after it.
const guideCaddyfile = `%[2]s
https://%[1]s {
	tls internal
	encode zstd gzip
	header {
		Strict-Transport-Security "max-age=31536000; includeSubDomains; preload"
		X-Content-Type-Options "nosniff"
		Referrer-Policy "no-referrer"
	}
	handle /v1/* {
		reverse_proxy 127.0.0.1:8000 {
			transport http {
				read_timeout 3600s
				write_timeout 3600s
			}
		}
	}
}
%[3]s`

const guideOptions = "{\n\tauto_https disable_redirects\n}\n"

const guideVLLMUnit = `[Unit]
Description=vLLM
After=network-online.target
[Service]
User=vllm
Group=vllm
EnvironmentFile=/etc/vllm/vllm.env
ExecStart=/opt/vllm/start-vllm.sh
Restart=on-failure
[Install]
WantedBy=multi-user.target
`

// TestGuideVLLMBehindCaddy follows the guide on HTTPS for vLLM on one machine
// that clients know by its address, and makes that machine proxy and worker.
func TestGuideVLLMBehindCaddy(t *testing.T) {
	s := newHandMade(t, lab.Spec{Name: "edge", Suite: lab.Bookworm})
	s.followVLLMGuide()
	s.writeStack(s.onOneMachine())
	s.writeHome("secrets.vars", fmt.Sprintf("vllm_key = %q\n", guideVLLMKey))
	s.mustAnswerAt("by hand", guideVLLMKey, &tls.Config{InsecureSkipVerify: true})
	theirs, firewall := s.vllmFiles(), s.firewall(s.Edge)
	caddyfile := lab.MustRun(t, s.Edge, "cat /etc/caddy/Caddyfile")

	s.step("plan", func() {
		said := s.looksOnly("plan", "--diff", "--var-file", "secrets.vars")
		want(s.t, said, "! file /etc/caddy/Caddyfile", "not made by relayctl", "-	tls internal", "-		reverse_proxy 127.0.0.1:8000 {",
			"stops apply; --adopt takes it over and keeps the original", "1 thing is in the way", "apply --adopt")
		for _, left := range []string{"vllm.service", "unit vllm", "ufw", "out of service"} {
			if strings.Contains(said, left) {
				s.t.Errorf("%q is none of the stack's business", left)
			}
		}
	})
	s.step("apply without --adopt", func() {
		s.stops([]string{"apply", "--yes", "--keys-out", "keys", "--var-file", "secrets.vars"},
			"Error: edge: file /etc/caddy/Caddyfile: not made by relayctl")
	})
	s.step("with sites of their own", func() { s.withOtherSites(caddyfile) })
	s.step("taken over", func() {
		want(s.t, s.apply("--adopt", "--var-file", "secrets.vars"), "~ file /etc/caddy/Caddyfile", "phi-4-mini answered through https://"+s.Edge.Addr)
		s.servesOnOneMachine(theirs, firewall)
		want(s.t, s.mustRelayctl("history", "--var-file", "secrets.vars"), "file /etc/caddy/Caddyfile, by apply 1",
			"cp -a /var/lib/relayctl/generations/0/etc/caddy/Caddyfile /etc/caddy/Caddyfile")
	})
	s.step("after a reboot", func() {
		if err := s.Edge.Reboot(s.t.Context()); err != nil {
			s.t.Fatal(err)
		}
		s.await(s.t, "the worker to come back", func() bool {
			return strings.Contains(s.relayctl("status", "--var-file", "secrets.vars").out, "all well")
		})
		s.servesOnOneMachine(theirs, firewall)
	})
	s.step("back", func() {
		s.mustRelayctl("destroy", "--yes", "--purge", "--var-file", "secrets.vars")
		s.mustAnswerAt("by hand", guideVLLMKey, &tls.Config{InsecureSkipVerify: true})
		if got := lab.MustRun(s.t, s.Edge, "cat /etc/caddy/Caddyfile"); got != caddyfile {
			s.t.Errorf("the Caddyfile is now:\n%s", got)
		}
		if diff := cmp.Diff(theirs, s.vllmFiles()); diff != "" {
			s.t.Errorf("vLLM has other files (-before +after):\n%s", diff)
		}
	})
	s.step("a Caddyfile that is a link, of a Caddy that takes no orders", func() {
		s.linkOfADeafCaddy(caddyfile, func() { s.servesOnOneMachine(theirs, firewall) })
	})
}

// withOtherSites plans with a Caddyfile that serves more than the stack will,
// and puts the guide's back.
func (s *site) withOtherSites(caddyfile string) {
	s.t.Helper()
	s.put(s.Edge, "/etc/caddy/sites/wiki.caddy", "https://wiki.lab.test {\n\ttls internal\n\trespond \"wiki\"\n}\n")
	s.put(s.Edge, "/etc/caddy/Caddyfile", fmt.Sprintf(guideCaddyfile, s.Edge.Addr, guideOptions+"import sites/*.caddy",
		"\nhttps://blog.lab.test, blog.lab.test:8443 {\n\ttls internal\n\trespond \"blog\"\n}\n"))
	lab.MustRun(s.t, s.Edge, "systemctl reload caddy")
	want(s.t, s.mustRelayctl("plan", "--var-file", "secrets.vars"),
		"takes out of service: https://blog.lab.test and blog.lab.test:8443",
		"and the sites of what it imports, which stays: sites/*.caddy")
	s.put(s.Edge, "/etc/caddy/Caddyfile", caddyfile+"\n")
	lab.MustRun(s.t, s.Edge, "rm -r /etc/caddy/sites && systemctl reload caddy")
}

// linkOfADeafCaddy takes over a Caddyfile that is a link and turns Caddy's
// admin endpoint off, and puts it back.
func (s *site) linkOfADeafCaddy(caddyfile string, mustServe func()) {
	s.t.Helper()
	s.put(s.Edge, "/srv/caddy/Caddyfile", strings.Replace(caddyfile, "auto_https", "admin off\n\tauto_https", 1))
	lab.MustRun(s.t, s.Edge, "ln -sf /srv/caddy/Caddyfile /etc/caddy/Caddyfile && systemctl restart caddy")
	want(s.t, s.mustRelayctl("plan", "--var-file", "secrets.vars"), "! file /etc/caddy/Caddyfile", "symbolic link to /srv/caddy/Caddyfile", "whatever else it serves")
	s.apply("--adopt", "--var-file", "secrets.vars")
	mustServe()
	s.mustRelayctl("destroy", "--yes", "--var-file", "secrets.vars")
	if got := lab.MustRun(s.t, s.Edge, "readlink /etc/caddy/Caddyfile"); got != "/srv/caddy/Caddyfile" {
		s.t.Errorf("the Caddyfile leads to %q", got)
	}
}

// followVLLMGuide sets a machine up by hand; the stub engine stands in for vLLM.
func (s *site) followVLLMGuide() {
	s.t.Helper()
	stub, err := s.Edge.StartStubEngine(s.t.Context(), lab.StubOptions{Port: 8900})
	if err != nil {
		s.t.Fatal(err)
	}
	s.put(s.Edge, "/etc/vllm/vllm.env", "VLLM_API_KEY="+guideVLLMKey+"\n")
	s.put(s.Edge, "/opt/vllm/start-vllm.sh", "#!/bin/bash\nexec /usr/local/bin/stubengine -listen 127.0.0.1:8000 -models phi-4-mini "+
		"-api-key-file <(printf %s \"$VLLM_API_KEY\")\n")
	s.put(s.Edge, "/etc/systemd/system/vllm.service", guideVLLMUnit)
	lab.MustRun(s.t, s.Edge, `systemctl disable --now `+stub.Unit+`
useradd --system --home-dir /opt/vllm --shell /usr/sbin/nologin vllm
chown -R vllm:vllm /opt/vllm && chmod 0750 /opt/vllm/start-vllm.sh
chown root:vllm /etc/vllm/vllm.env && chmod 0640 /etc/vllm/vllm.env
systemctl daemon-reload && systemctl enable --now vllm`)
	s.guideFirewall(s.Edge)
	lab.MustRun(s.t, s.Edge, "apt-get -q -y --no-install-recommends install caddy")
	s.put(s.Edge, "/etc/caddy/Caddyfile", fmt.Sprintf(guideCaddyfile, s.Edge.Addr, guideOptions, ""))
	lab.MustRun(s.t, s.Edge, "systemctl enable caddy && systemctl restart caddy")
	s.awaitListening(443, 8000)
}

// onOneMachine is the stack file for it: clients keep the key that they have.
func (s *site) onOneMachine() string {
	return "variable \"vllm_key\" {\n  type      = string\n  sensitive = true\n}\n\n" + s.stackOf(
		strings.Replace(s.proxy(), domain, s.Edge.Addr, 1),
		fmt.Sprintf("worker \"gpu-1\" {\n  address = %q\n\n  model \"phi-4-mini\" {\n    backend     = \"http://127.0.0.1:8000\"\n"+
			"    backend_key = var.vllm_key\n  }\n}\n", s.Edge.Addr),
		"api_key \"clients\" {\n  value = var.vllm_key\n}\n")
}

// mustAnswerAt fails unless the machine answers at its address, once Caddy has
// made itself a certificate: it listens before.
func (s *site) mustAnswerAt(who, key string, config *tls.Config) {
	s.t.Helper()
	s.await(s.t, "a certificate", func() bool {
		conn, err := tls.Dial("tcp", net.JoinHostPort(s.Edge.Addr, "443"), &tls.Config{InsecureSkipVerify: true})
		if err == nil {
			conn.Close()
		}
		return err == nil
	})
	body := `{"model": "phi-4-mini", "messages": [{"role": "user", "content": "Say hello in French"}], "max_tokens": 5, "temperature": 0}`
	request, err := http.NewRequestWithContext(s.t.Context(), http.MethodPost, "https://"+s.Edge.Addr+"/v1/chat/completions", strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+key)
	request.Header.Set("Content-Type", "application/json")
	response, err := s.HTTPClient(config).Do(request)
	if err != nil {
		s.t.Fatalf("%s: %v", who, err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK || !strings.Contains(string(answer), `"finish_reason"`) {
		s.t.Errorf("%s: status %d: %s (%v)", who, response.StatusCode, answer, err)
	}
}

// vllmFiles is everything that belongs to vLLM.
func (s *site) vllmFiles() string {
	s.t.Helper()
	return lab.MustRun(s.t, s.Edge, `find /opt/vllm /etc/vllm /etc/systemd/system/vllm.service -printf '%M %u:%g %p %T@\n' | sort; systemctl is-enabled vllm`)
}

// servesOnOneMachine holds that the stack serves with the clients' old key, and
// touched nothing of vLLM or the firewall.
func (s *site) servesOnOneMachine(theirs, firewall string) {
	s.t.Helper()
	if r := s.relayctl("plan", "--detailed-exitcode", "--diff", "--var-file", "secrets.vars"); r.code != 0 {
		s.t.Fatalf("plan after apply: exit code %d, want 0", r.code)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(s.mustRelayctl("ca", "--var-file", "secrets.vars")))
	s.mustAnswerAt("the stack", guideVLLMKey, &tls.Config{RootCAs: roots})
	if diff := cmp.Diff(theirs, s.vllmFiles()); diff != "" {
		s.t.Errorf("vLLM has other files (-before +after):\n%s", diff)
	}
	if diff := cmp.Diff(firewall, s.firewall(s.Edge)); diff != "" {
		s.t.Errorf("the firewall is another (-before +after):\n%s", diff)
	}
	if strings.Contains(s.said.String(), guideVLLMKey) {
		s.t.Error("relayctl shows the key of vLLM")
	}
}
