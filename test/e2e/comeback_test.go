package e2e_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/relayctl/relayctl/test/lab"
)

// holding is a command that listens on a port until it is stopped; with an
// inherited socket, on that.
func holding(family, address string, port int) string {
	return fmt.Sprintf(`/usr/bin/python3 -c 'import socket,time; s=socket.socket(socket.%s); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); `+
		`s.bind(("%s",%d)); s.listen(); time.sleep(1e6)'`, family, address, port)
}

// Units that would come back if they were just stopped and disabled, by path.
var comingBack = map[string]string{
	// A socket whose service runs: both hold the port.
	"/etc/systemd/system/web.socket": "[Socket]\nListenStream=[::]:443\nBindIPv6Only=ipv6-only\n[Install]\nWantedBy=sockets.target\n",
	"/etc/systemd/system/web.service": "[Unit]\nRequires=web.socket\n[Service]\n" +
		"ExecStart=/usr/bin/python3 -c 'import time; time.sleep(1e6)'\n",
	// A service that a timer starts again and again.
	"/etc/systemd/system/page.timer":   "[Timer]\nOnActiveSec=1s\nOnUnitInactiveSec=1s\nAccuracySec=1s\n[Install]\nWantedBy=timers.target\n",
	"/etc/systemd/system/page.service": "[Service]\nExecStart=" + holding("AF_INET", "127.0.0.1", 8080) + "\n",
	// One that has to be masked: another unit has it start at boot.
	"/etc/systemd/system/site.target":         "[Unit]\nWants=figures.service\n[Install]\nWantedBy=multi-user.target\n",
	"/usr/lib/systemd/system/figures.service": "[Service]\nExecStart=" + holding("AF_INET", "127.0.0.1", 8081) + "\n",
	// One that systemd makes of an init script.
	"/etc/init.d/legacy": "#!/bin/sh\n### BEGIN INIT INFO\n# Provides: legacy\n# Required-Start: $network\n# Required-Stop:\n" +
		"# Default-Start: 2 3 4 5\n# Default-Stop: 0 1 6\n### END INIT INFO\n" +
		"case \"$1\" in\nstart) setsid " + holding("AF_INET", "127.0.0.2", 443) + " </dev/null >/dev/null 2>&1 & ;;\nesac\n",
	// One that was masked while it ran.
	"/usr/lib/systemd/system/hidden.service": "[Service]\nExecStart=" + holding("AF_INET", "127.0.0.1", 443) + "\n[Install]\nWantedBy=multi-user.target\n",
}

// legacyListens lists what the init script started.
const legacyListens = "ss --no-header --listening --tcp 'src 127.0.0.2:443'"

// TestAdoptWhatWouldComeBack takes over units that stopping and disabling alone
// would not keep off, on all the ports that a stack needs.
func TestAdoptWhatWouldComeBack(t *testing.T) {
	s := newHandMade(t, lab.Spec{Name: "edge", Suite: lab.Trixie})
	s.setUpWhatComesBack()
	s.step("one that can't be kept off", func() {
		lab.MustRun(s.t, s.Edge, "mv /usr/lib/systemd/system/figures.service /etc/systemd/system/ && systemctl daemon-reload")
		want(s.t, s.mustRelayctl("plan"), "! unit figures", "site.target would start it again at boot", "stops apply, also with --adopt")
		s.stops([]string{"apply", "--yes", "--keys-out", "keys", "--adopt"}, "Error: edge: unit figures", "site.target would start it again at boot")
		lab.MustRun(s.t, s.Edge, "mv /etc/systemd/system/figures.service /usr/lib/systemd/system/ && systemctl daemon-reload")
	})
	units := []string{"apache2.service", "web.socket", "web.service", "page.timer", "page.service", "figures.service", "legacy.service", "hidden.service"}
	s.step("plan", func() {
		said := s.looksOnly("plan")
		want(s.t, said, "8 things are in the way", "! unit apache2", "holds port 80", "! unit web.socket", "! unit web ", "is started by web.socket",
			"! unit page.timer", "starts page", "! unit figures", "! unit legacy", "! unit hidden")
	})
	off := func() {
		s.t.Helper()
		s.mustBeDone()
		s.mustAnswer(s.client(), s.key("laptop"), "stub")
		active := strings.Fields(lab.MustRun(s.t, s.Edge, "systemctl is-active "+strings.Join(units, " ")+"; true"))
		if slices.Contains(active, "active") || len(active) != len(units) {
			s.t.Errorf("%v are %v", units, active)
		}
	}
	s.step("taken over", func() {
		want(s.t, s.apply("--adopt"), "stub answered through https://"+domain)
		off()
	})
	s.step("after a reboot", func() {
		s.reboot()
		off()
	})
	s.step("back", func() {
		lab.MustRun(s.t, s.Edge, "systemctl disable --now relay-server caddy")
		said := s.mustRelayctl("history")
		web := regexp.MustCompile(`unit web, by apply 1 \([^)]*\): it was ([a-z ]+)`).FindStringSubmatch(strings.Join(strings.Fields(said), " "))
		if web == nil || !strings.HasPrefix(web[1], "running") {
			s.t.Errorf("the service went with its socket, and it ran before: %q", web)
		}
		for line := range strings.Lines(said) {
			if strings.HasPrefix(strings.TrimSpace(line), "systemctl ") {
				lab.MustRun(s.t, s.Edge, line)
			}
		}
		lab.MustRun(s.t, s.Edge, "systemctl start legacy web") // an init script is not started by enabling it, nor a service by its socket
		s.awaitListening(80, 443, 8080, 8081)
		s.await(s.t, "legacy", func() bool { return lab.MustRun(s.t, s.Edge, legacyListens) != "" })
	})
}

// setUpWhatComesBack puts an engine and everything of somebody else on the
// host, and writes the stack file for it.
func (s *site) setUpWhatComesBack() {
	s.t.Helper()
	engine, err := s.Edge.StartStubEngine(s.t.Context(), lab.StubOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	s.writeHome("edge.key", engine.Key)
	s.secrets = append(s.secrets, engine.Key)
	s.writeStack(s.stackOf(s.proxy(), strings.Replace(s.worker(s.Edge), `worker "edge"`, `worker "gpu-1"`, 1), "api_key \"laptop\" {}\n"))
	for path, content := range comingBack {
		s.put(s.Edge, path, content)
	}
	lab.MustRun(s.t, s.Edge, `chmod +x /etc/init.d/legacy
apt-get -q -y --no-install-recommends install apache2
update-rc.d legacy defaults
systemctl daemon-reload
systemctl enable --now web.socket page.timer site.target hidden
systemctl start web legacy page
systemctl disable hidden && systemctl mask hidden`)
	s.awaitListening(80, 443, 8080, 8081)
	s.await(s.t, "legacy", func() bool { return lab.MustRun(s.t, s.Edge, legacyListens) != "" })

}
