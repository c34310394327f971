package e2e_test

import (
	"crypto/tls"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/relayctl/relayctl/test/lab"
)

// The tests here follow guides that people set machines up by, by hand and to
// the letter, and then have relayctl take over. Where a guide fetches something
// that the lab can't reach, something of the same kind and name stands in.

// newHandMade boots hosts that nobody has set up yet; the first is the proxy.
func newHandMade(t *testing.T, specs ...lab.Spec) *site {
	t.Helper()
	s := emptySite(t)
	hosts := s.BootAll(specs...)
	s.Edge, s.Workers = hosts[0], hosts[1:]
	s.Name(domain, s.Edge)
	s.know(hosts...)
	t.Cleanup(s.searchForSecrets)
	return s
}

// The user's own secrets, made with openssl as the guides have it.
const (
	guideVLLMKey      = "6d1f0c7a52e94b38a1d07e65c3f98b24706e5d1c8fa2430be97d614f5a83c0e2"
	guideWorkerSecret = "e0a94c5d7b2f4681935c0d7ea1b86f24"
)

// guideNginx is a site as the guide on TLS for a relay describes it.
const guideNginx = `server {
    listen 80;
    server_name DOMAIN;
    return 301 https://$host$request_uri;
}
server {
    listen 443 ssl;
    server_name DOMAIN;
    ssl_certificate     /etc/letsencrypt/live/DOMAIN/fullchain.pem;
    ssl_certificate_key /etc/letsencrypt/live/DOMAIN/privkey.pem;
    location /v1/worker/connect {
        proxy_pass http://127.0.0.1:8080;
        proxy_http_version 1.1;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection "upgrade";
        proxy_set_header Host $host;
        proxy_read_timeout 86400s;
        proxy_send_timeout 86400s;
    }
    location /v1/ {
        proxy_pass http://127.0.0.1:8080;
        proxy_set_header Host $host;
        proxy_buffering off;
        proxy_cache off;
        proxy_read_timeout 300s;
    }
}
`

// guideUnit runs a program by hand, as the guide starts it, at every boot.
const guideUnit = `[Unit]
Description=%[1]s
[Service]
EnvironmentFile=/etc/%[1]s.env
ExecStart=/usr/local/bin/%[1]s%[2]s
Restart=always
RestartSec=1
[Install]
WantedBy=multi-user.target
`

// guideProgram puts a program of the relay's on a host under the guide's name,
// with its environment, and starts it. Ours stand in: they take the same.
func (s *site) guideProgram(h *lab.Host, name, of, args string, env ...string) {
	s.t.Helper()
	program, err := os.ReadFile(filepath.Join("../../bin/programs/amd64", of))
	if err != nil {
		s.t.Fatal(err)
	}
	if err := h.WriteFile(s.t.Context(), "/usr/local/bin/"+name, program, 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := h.WriteFile(s.t.Context(), "/etc/"+name+".env", []byte(strings.Join(env, "\n")+"\n"), 0o600); err != nil {
		s.t.Fatal(err)
	}
	s.put(h, "/etc/systemd/system/"+name+".service", fmt.Sprintf(guideUnit, name, args))
	lab.MustRun(s.t, h, "systemctl daemon-reload && systemctl enable --now "+name)
}

// guideFirewall is the first part of the guide on HTTPS for vLLM.
func (s *site) guideFirewall(h *lab.Host) {
	s.t.Helper()
	lab.MustRun(s.t, h, `apt-get -q -y --no-install-recommends install ufw
ufw allow 22/tcp comment 'SSH'
ufw allow 80/tcp comment 'HTTP'
ufw allow 443/tcp comment 'HTTPS'
ufw --force enable`)
}

// firewall is all that UFW is and says on a host.
func (s *site) firewall(h *lab.Host) string {
	s.t.Helper()
	return lab.MustRun(s.t, h, "ufw status verbose; find /etc/ufw /etc/default/ufw -type f | sort | xargs sha256sum; systemctl is-enabled ufw")
}

// selfSigned puts a certificate of nobody where certbot would have put one.
func (s *site) selfSigned(h *lab.Host) {
	s.t.Helper()
	lab.MustRun(s.t, h, strings.ReplaceAll(`mkdir -p /etc/letsencrypt/live/DOMAIN && cd /etc/letsencrypt/live/DOMAIN &&
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=DOMAIN -addext subjectAltName=DNS:DOMAIN \
  -keyout privkey.pem -out fullchain.pem 2>/dev/null`, "DOMAIN", domain))
}

// oldAnswers reports whether the set-up as it was made by hand answers.
func (s *site) oldAnswers() bool {
	s.t.Helper()
	return s.answers(s.HTTPClient(&tls.Config{InsecureSkipVerify: true}), "", "stub")
}

// TestGuideRelayBehindNginx follows the guide on TLS for a relay, its first
// option: nginx with certbot's certificate in front of the relay that somebody
// started by hand, beside a site that was there before.
func TestGuideRelayBehindNginx(t *testing.T) {
	s := newHandMade(t, lab.Spec{Name: "edge", Suite: lab.Trixie}, lab.Spec{Name: "gpu-1", Suite: lab.Bookworm})
	worker := s.Workers[0]
	engine, err := worker.StartStubEngine(t.Context(), lab.StubOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s.writeHome(worker.Name+".key", engine.Key)
	s.secrets = append(s.secrets, engine.Key)
	s.writeStack(s.stack())

	lab.MustRun(t, s.Edge, "apt-get -q -y --no-install-recommends install nginx")
	s.step("nginx as the package brings it", func() {
		said := s.mustRelayctl("plan")
		want(s.t, said, "! unit nginx", "not ours; holds port 80, which caddy needs", "--adopt stops and disables it")
		if strings.Contains(said, "443") {
			s.t.Error("nothing holds port 443")
		}
	})

	s.followNginxGuide(worker, engine)
	s.await(t, "an answer of the set-up by hand", s.oldAnswers)
	site, firewall := s.nginxFiles(), s.firewall(s.Edge)

	s.step("plan", func() {
		said := s.looksOnly("plan", "--diff")
		want(s.t, said, "! unit nginx", "not ours; holds ports 80 and 443, which caddy needs",
			"takes out of service: blog.lab.test stops apply",
			"! unit modelrelay-server", "holds port 8080, which relay-server needs",
			"2 things are in the way: apply would stop", "relayctl apply --adopt stack.hcl")
	})
	s.step("apply without --adopt", func() {
		s.stops([]string{"apply", "--yes", "--keys-out", "keys"},
			"Error: edge: unit nginx: not ours; holds ports 80 and 443", "Error: edge: unit modelrelay-server: not ours; holds port 8080",
			`proxy "edge" {`, "relayctl apply --adopt stack.hcl")
		if !s.oldAnswers() {
			s.t.Error("the set-up by hand does not answer")
		}
	})
	s.step("killed once nginx is off", s.killedOnceNginxIsOff)
	s.step("taken over", func() {
		want(s.t, s.apply("--adopt"), "stub answered through https://"+domain)
		s.servesAfterNginx(site, firewall)
	})
	s.step("after a reboot", func() {
		s.reboot()
		s.servesAfterNginx(site, firewall)
		want(s.t, s.apply(), "stub answered")
		s.servesAfterNginx(site, firewall)
	})
	s.step("back", func() { s.backToNginx(site) })
	// As the guide has it, the engine's key is in this one's environment.
	lab.MustRun(t, worker, "systemctl stop modelrelay-worker")
}

// killedOnceNginxIsOff ends relayctl in the middle of taking over.
func (s *site) killedOnceNginxIsOff() {
	s.t.Helper()
	if r := s.struck(blow{line: "unit nginx: ", fall: s.killRelayctl}, "--adopt"); r.code == 0 {
		s.t.Fatal("not killed: exit code 0")
	}
	s.await(s.t, "relay-host to end", func() bool { return lab.MustRun(s.t, s.Edge, "pgrep --exact relay-host || true") == "" })
	said := s.mustRelayctl("plan")
	want(s.t, said, "was cut off")
	s.mustBeOff("nginx")
	want(s.t, s.mustRelayctl("history"), "nginx", "modelrelay-server")
}

// backToNginx goes back to the set-up by hand.
func (s *site) backToNginx(site string) {
	s.t.Helper()
	want(s.t, s.mustRelayctl("destroy", "--yes", "--purge"), "~ unit nginx", "~ unit modelrelay-server", "as it was before apply")
	s.await(s.t, "an answer of the set-up by hand", s.oldAnswers)
	if diff := cmp.Diff(site, s.nginxFiles()); diff != "" {
		s.t.Errorf("nginx has other files (-before +after):\n%s", diff)
	}
	want(s.t, s.mustRelayctl("plan"), "edge", ": new", "! unit nginx", "! unit modelrelay-server")
}

// reboot restarts the proxy host, and waits until the stack answers again.
func (s *site) reboot() {
	s.t.Helper()
	if err := s.Edge.Reboot(s.t.Context()); err != nil {
		s.t.Fatal(err)
	}
	client, key := s.client(), s.key("laptop")
	s.await(s.t, "the worker to come back", func() bool { return s.answers(client, key, "stub") })
}

// looksOnly runs relayctl, which has to go well and to change nothing at all.
func (s *site) looksOnly(args ...string) string {
	s.t.Helper()
	before, services := s.snapshots(), s.services()
	said := s.mustRelayctl(args...)
	if diff := cmp.Diff(before, s.snapshots()); diff != "" {
		s.t.Errorf("a host was changed (-before +after):\n%s", diff)
	}
	if diff := cmp.Diff(services, s.services()); diff != "" {
		s.t.Errorf("services changed (-before +after):\n%s", diff)
	}
	return said
}

// followNginxGuide sets the two machines up by hand.
func (s *site) followNginxGuide(worker *lab.Host, engine lab.StubEngine) {
	s.t.Helper()
	s.guideFirewall(s.Edge)
	s.guideProgram(s.Edge, "modelrelay-server", "relay-server", "",
		"LISTEN_ADDR=127.0.0.1:8080", "WORKER_SECRET="+guideWorkerSecret, "REQUEST_TIMEOUT_SECS=300")
	s.selfSigned(s.Edge)
	s.put(s.Edge, "/var/www/html/index.html", "my own site\n")
	s.put(s.Edge, "/etc/nginx/conf.d/blog.conf", "server {\n    listen 80;\n    server_name blog.lab.test;\n    root /var/www/html;\n}\n")
	s.put(s.Edge, "/etc/systemd/system/nginx.service.d/limits.conf", "[Service]\nLimitNOFILE=65536\n")
	s.put(s.Edge, "/etc/nginx/sites-available/modelrelay.conf", strings.ReplaceAll(guideNginx, "DOMAIN", domain))
	lab.MustRun(s.t, s.Edge, `ln -s /etc/nginx/sites-available/modelrelay.conf /etc/nginx/sites-enabled/
nginx -t && systemctl daemon-reload && systemctl restart nginx`)
	certificate := lab.MustRun(s.t, s.Edge, "cat /etc/letsencrypt/live/"+domain+"/fullchain.pem")
	s.put(worker, "/etc/modelrelay-ca.pem", certificate+"\n")
	s.guideProgram(worker, "modelrelay-worker", "relay-worker", " --models stub",
		"PROXY_URL=https://"+domain, "PROXY_CA=/etc/modelrelay-ca.pem", "WORKER_SECRET="+guideWorkerSecret,
		"BACKEND_URL=http://localhost:8000", "BACKEND_KEY="+engine.Key)
}

// nginxFiles is everything that belongs to nginx and the relay set up by hand.
func (s *site) nginxFiles() string {
	s.t.Helper()
	return lab.MustRun(s.t, s.Edge, `find /etc/nginx /var/www /etc/letsencrypt /etc/systemd/system/nginx.service.d /etc/modelrelay-server.env \
  /etc/systemd/system/modelrelay-server.service /usr/local/bin/modelrelay-server -printf '%M %u:%g %p %l %T@\n' | sort`)
}

// servesAfterNginx holds that the stack took over and touched nothing else.
func (s *site) servesAfterNginx(site, firewall string) {
	s.t.Helper()
	s.mustBeDone()
	s.mustAnswer(s.client(), s.key("laptop"), "stub")
	s.mustBeOff("nginx")
	s.mustBeOff("modelrelay-server")
	if diff := cmp.Diff(site, s.nginxFiles()); diff != "" {
		s.t.Errorf("nginx has other files (-before +after):\n%s", diff)
	}
	if diff := cmp.Diff(firewall, s.firewall(s.Edge)); diff != "" {
		s.t.Errorf("the firewall is another (-before +after):\n%s", diff)
	}
}

// follow runs what the pages for operators say below a line of text: the next
// block of commands.
func (s *site) follow(h *lab.Host, text string) {
	s.t.Helper()
	var pages strings.Builder
	for _, name := range []string{"taking-over.md", "operations.md"} {
		page, err := os.ReadFile("../../docs/" + name)
		if err != nil {
			s.t.Fatal(err)
		}
		pages.Write(page)
	}
	block := regexp.MustCompile("(?s)\n" + regexp.QuoteMeta(text) + ".*?\n\n```sh\n(.*?)```").FindStringSubmatch(pages.String())
	if block == nil {
		s.t.Fatalf("no page has commands below %q", text)
	}
	lab.MustRun(s.t, h, "set -e\n"+block[1])
}
