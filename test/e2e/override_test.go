package e2e_test

import (
	"crypto/tls"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/relayctl/relayctl/test/lab"
)

// A shop that Caddy serves, not by its Caddyfile but by a drop-in.
const (
	shopConfig = `{"apps":{"http":{"servers":{"mine":{"listen":[":443",":80"],"routes":[{"match":[{"host":["llm.lab.test"]}],` +
		`"handle":[{"handler":"static_response","body":"my shop\n"}]}],"automatic_https":{"disable_redirects":true}}}},` +
		`"tls":{"automation":{"policies":[{"subjects":["llm.lab.test"],"issuers":[{"module":"internal"}]}]}}}}`
	shopDropIn = "[Service]\nExecStart=\nExecStart=/usr/bin/caddy run --environ --config /etc/caddy/caddy.json\n" +
		"ExecReload=\nExecReload=/usr/bin/caddy reload --config /etc/caddy/caddy.json --force\n"
	shopDropInPath = "/etc/systemd/system/caddy.service.d/override.conf"
	shopOriginal   = "/var/lib/relayctl/generations/0" + shopDropInPath
)

// TestOverride has units run something else than their own files say, before
// the first apply and after it.
func TestOverride(t *testing.T) {
	s := newSite(t)
	lab.MustRun(t, s.Edge, "apt-get -q -y --no-install-recommends install caddy")
	s.put(s.Edge, "/etc/caddy/caddy.json", shopConfig)
	s.put(s.Edge, shopDropInPath, shopDropIn)
	lab.MustRun(t, s.Edge, "systemctl daemon-reload && systemctl restart caddy")
	s.mustServeShop()

	says := []string{"file " + shopDropInPath, "not made by relayctl; by it unit caddy starts caddy --environ --config /etc/caddy/caddy.json"}
	s.step("in the way", func() {
		want(s.t, s.looksOnly("plan"), append(says, "stops apply; --adopt takes it over and keeps the original", "1 thing is in the way")...)
		want(s.t, s.looksOnly("plan", "--diff"), "-ExecStart=/usr/bin/caddy run --environ --config /etc/caddy/caddy.json")
		s.stops([]string{"apply", "--yes", "--keys-out", "keys"}, append(says, `proxy "edge" {`, "relayctl apply --adopt stack.hcl")...)
		s.mustServeShop()
	})
	s.step("taken over", func() {
		want(s.t, s.apply("--adopt"), "- file "+shopDropInPath, "taken over; the original is kept on the host", "↻ restart caddy", "stub answered through")
		s.servesItself()
		if diff := cmp.Diff(shopDropIn, lab.MustRun(s.t, s.Edge, "cat "+shopOriginal)+"\n"); diff != "" {
			s.t.Errorf("the original is not kept (-want +got):\n%s", diff)
		}
		want(s.t, s.mustRelayctl("history"), "cp -a "+shopOriginal+" "+shopDropInPath)
	})
	s.step("put back behind relayctl's back", func() {
		lab.MustRun(s.t, s.Edge, "cp -a "+shopOriginal+" "+shopDropInPath+" && systemctl daemon-reload && systemctl restart caddy")
		want(s.t, s.looksOnly("plan"), says...)
		if r := s.relayctl("status"); r.code != 1 || !strings.Contains(r.out, shopDropInPath) {
			s.t.Errorf("status: exit code %d, want 1 and the drop-in named", r.code)
		}
		s.stops([]string{"apply", "--yes"}, says...)
		s.apply("--adopt")
		s.servesItself()
	})
	for _, row := range s.overrides() {
		s.step(row.name, func() {
			lab.MustRun(s.t, row.host, row.line)
			want(s.t, s.looksOnly("plan"), row.plan...)
			if row.clear != "" {
				s.stops([]string{"apply", "--yes", "--adopt"}, "stops apply, also with --adopt")
				lab.MustRun(s.t, row.host, row.clear)
			}
			s.apply(row.args...)
			s.servesItself()
		})
	}
	s.step("left alone", func() {
		s.put(s.Edge, "/etc/systemd/system/caddy.service.d/limits.conf", "[Unit]\nAfter=ssh.service\n[Service]\nLimitNOFILE=4096\nRestart=always\nOOMScoreAdjust=-500\n")
		s.put(s.Workers[1], "/etc/systemd/system/relay-worker.service.d/log.conf", "[Service]\nEnvironment=LOG_LEVEL=debug\n")
		lab.MustRun(s.t, s.Workers[0], "systemctl set-property relay-worker MemoryMax=1G")
		s.mustBeDone()
		lab.MustRun(s.t, s.Edge, "systemctl daemon-reload")
		s.mustBeDone()
		s.servesItself()
		lab.MustRun(s.t, s.Edge, "test -e /etc/systemd/system/caddy.service.d/limits.conf")
	})
	s.step("back", func() {
		const dropIn = "/etc/systemd/system/caddy.service.d/override.conf"
		line := "cp -a /var/lib/relayctl/generations/0" + dropIn
		want(s.t, s.mustRelayctl("history"), line+".2 "+dropIn) // the last that was taken over; the shop's is the first
		line += " " + dropIn
		lab.MustRun(s.t, s.Edge, "set -e; systemctl disable --now relay-server caddy; "+line+"; systemctl daemon-reload; systemctl enable --now caddy")
		s.mustServeShop()
	})
}

// TestOverrideByAPI has Caddy serve a shop that stands in no file but the one
// that Caddy writes itself, and goes back to it.
func TestOverrideByAPI(t *testing.T) {
	s := newSite(t)
	lab.MustRun(t, s.Edge, "apt-get -q -y --no-install-recommends install caddy")
	s.put(s.Edge, "/root/shop.json", shopConfig)
	load := "curl -sS --fail -X POST -H 'Content-Type: application/json' --data @/root/shop.json http://127.0.0.1:2019/load"
	lab.MustRun(t, s.Edge, load)
	s.mustServeShop()

	s.step("loaded into the one unit", func() {
		s.stops([]string{"apply", "--yes", "--keys-out", "keys"}, "file "+autosave, "unit caddy runs it, and not /etc/caddy/Caddyfile")
		s.apply("--adopt")
		s.servesItself()
		want(s.t, s.mustRelayctl("history"), "cp -a /var/lib/relayctl/generations/0"+autosave+" "+autosave)
		lab.MustRun(s.t, s.Edge, "set -e; systemctl disable --now relay-server caddy; systemctl enable --now caddy; "+
			"caddy reload --address unix//var/lib/caddy/relayctl/admin.sock --config /var/lib/relayctl/generations/0"+autosave)
		s.mustServeShop()
		s.follow(s.Edge, "with it. On the host itself, remove what relayctl made")
		lab.MustRun(s.t, s.Edge, "apt-get -y purge caddy && rm -rf /etc/caddy /var/lib/caddy")
	})
	s.step("resumed by the other", func() {
		lab.MustRun(s.t, s.Edge, "apt-get -q -y --no-install-recommends install caddy && systemctl disable --now caddy && systemctl enable --now caddy-api && "+load)
		s.mustServeShop()
		s.stops([]string{"apply", "--yes", "--keys-out", "keys"}, "unit caddy-api: not ours; holds port", "runs in the place of caddy", "file "+autosave, "unit caddy-api resumes it")
		s.apply("--adopt")
		s.servesItself()
		s.mustBeOff("caddy-api")
		lab.MustRun(s.t, s.Edge, "systemctl disable --now relay-server caddy")
		lab.MustRun(s.t, s.Edge, "cp -a /var/lib/relayctl/generations/0"+autosave+" "+autosave+" && systemctl enable --now caddy-api")
		s.mustServeShop()
	})
}

// autosave is where Caddy writes down what it runs.
const autosave = "/var/lib/caddy/.config/caddy/autosave.json"

// override is a way to have a unit run something else, after an apply.
type override struct {
	name  string
	host  *lab.Host
	line  string
	plan  []string
	clear string // what clears it on the host; empty: apply does
	args  []string
}

func (s *site) overrides() []override {
	edge, first, second := s.Edge, s.Workers[0], s.Workers[1]
	adopt := []string{"--adopt"}
	dropIn := func(folder, lines string) string {
		return "mkdir -p " + folder + " && printf '[Service]\\n" + lines + "' > " + folder + "/override.conf && systemctl daemon-reload"
	}
	return []override{{
		name: "a worker's drop-in", host: first, args: adopt,
		line: dropIn("/etc/systemd/system/relay-worker.service.d", `User=root\nGroup=root\nEnvironment=TOKEN=sesame\n`) + " && systemctl restart relay-worker",
		plan: []string{"! file /etc/systemd/system/relay-worker.service.d/override.conf", "it changes Environment, Group, User of unit relay-worker"},
	}, {
		name: "taken back without a restart", host: first,
		line: dropIn("/run/systemd/system/relay-worker.service.d", `User=root\nGroup=root\n`) +
			" && systemctl restart relay-worker && rm -r /run/systemd/system/relay-worker.service.d && systemctl daemon-reload",
		plan: []string{"↻ restart relay-worker", "runs without the present /etc/systemd/system/relay-worker.service"},
	}, {
		name: "until the next boot", host: second, args: adopt,
		line: dropIn("/run/systemd/system/relay-worker.service.d", `EnvironmentFile=-/etc/relay/more.env\n`),
		plan: []string{"! file /run/systemd/system/relay-worker.service.d/override.conf", "it changes EnvironmentFile of unit relay-worker"},
	}, {
		name: "not read by systemd yet", host: edge, args: adopt,
		line: "mkdir -p /etc/systemd/system/relay-server.service.d && printf '[Service]\\nWorkingDirectory=/tmp\\n' > /etc/systemd/system/relay-server.service.d/10.conf",
		plan: []string{"! file /etc/systemd/system/relay-server.service.d/10.conf", "it changes WorkingDirectory of unit relay-server"},
	}, {
		name: "for all services", host: second,
		line:  dropIn("/etc/systemd/system/service.d", `Environment=SSL_CERT_FILE=/srv/ca.pem\n`),
		plan:  []string{"! file /etc/systemd/system/service.d/override.conf", "stops apply, also with --adopt", "ln -s /dev/null"},
		clear: "mkdir -p /etc/systemd/system/relay-worker.service.d && ln -s /dev/null /etc/systemd/system/relay-worker.service.d/override.conf && systemctl daemon-reload",
	}, {
		name: "our unit's file replaced", host: first,
		line: `sed -i 's/^User=relay/User=root/' /etc/systemd/system/relay-worker.service && systemctl daemon-reload && systemctl restart relay-worker`,
		plan: []string{"~ file /etc/systemd/system/relay-worker.service", "edited on the host since apply", "↻ restart relay-worker"},
	}, {
		name: "a file before the package's", host: edge, args: adopt,
		line: `sed 's/Caddyfile/caddy.json/' /usr/lib/systemd/system/caddy.service > /etc/systemd/system/caddy.service && systemctl daemon-reload && systemctl restart caddy`,
		plan: []string{"! file /etc/systemd/system/caddy.service", "by it unit caddy starts caddy --environ --config /etc/caddy/caddy.json"},
	}, {
		name: "a Caddy that resumes", host: edge, args: adopt,
		line: dropIn("/etc/systemd/system/caddy.service.d", `ExecStart=\nExecStart=/usr/bin/caddy run --environ --resume\n`) + " && systemctl restart caddy",
		plan: []string{"! file " + shopDropInPath, "by it unit caddy starts caddy --environ --resume", "autosave.json", "unit caddy resumes it"},
	}, {
		name: "another configuration loaded", host: edge,
		line: "curl -sS --fail -X POST -H 'Host;' -H 'Content-Type: application/json' --data @/etc/caddy/caddy.json --unix-socket /var/lib/caddy/relayctl/admin.sock http://caddy/load",
		plan: []string{"↻ reload caddy", "runs without the present /etc/caddy/Caddyfile"},
	}, {
		name: "another configuration, and its admin API elsewhere", host: edge,
		line: `sed 's/^{/{"admin":{"listen":"127.0.0.1:2020"},/' /etc/caddy/caddy.json > /etc/caddy/other.json && caddy reload --config /etc/caddy/other.json --address unix//var/lib/caddy/relayctl/admin.sock`,
		plan: []string{"↻ reload caddy", "runs without the present /etc/caddy/Caddyfile"},
	}, {
		name: "the other unit of Caddy's package", host: edge, args: adopt,
		line: "systemctl enable caddy-api",
		plan: []string{"! unit caddy-api", "runs in the place of caddy"},
	}}
}

// servesItself holds that the stack is served, and is so after every service was
// started anew.
func (s *site) servesItself() {
	s.t.Helper()
	s.mustBeDone()
	client, key := s.client(), s.key("laptop")
	s.mustAnswer(client, key, "stub")
	lab.MustRun(s.t, s.Edge, "systemctl restart caddy relay-server")
	for _, w := range s.Workers {
		lab.MustRun(s.t, w, "systemctl restart relay-worker")
	}
	s.await(s.t, "an answer after all was started anew", func() bool { return s.answers(client, key, "stub") })
	s.mustBeDone()
}

// mustServeShop holds that the shop is up.
func (s *site) mustServeShop() {
	s.t.Helper()
	client := s.HTTPClient(&tls.Config{InsecureSkipVerify: true})
	s.await(s.t, "the shop", func() bool {
		response, err := client.Get("https://" + domain)
		if err != nil {
			return false
		}
		defer response.Body.Close()
		return response.StatusCode == 200 && response.ContentLength == int64(len("my shop\n"))
	})
}
