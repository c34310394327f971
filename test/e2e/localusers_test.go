package e2e_test

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/relayctl/relayctl/test/lab"
)

// Where apply makes things on a host.
const madeBelow = "/etc/relay /etc/caddy /etc/systemd/system/relay-*.service /run/relay /usr/local/lib/relayctl /var/lib/caddy /var/lib/relayctl"

// What everybody may read on each host, and nobody but root may write: nothing
// of it is secret, and services start from it.
const (
	edgeForAll = `/etc/caddy
/etc/caddy/Caddyfile
/etc/systemd/system/relay-server.service
/usr/local/lib/relayctl
/usr/local/lib/relayctl/relay-host
/usr/local/lib/relayctl/relay-host/RELEASE
/usr/local/lib/relayctl/relay-host/RELEASE/relay-host
/usr/local/lib/relayctl/relay-host/current
/usr/local/lib/relayctl/relay-server
/usr/local/lib/relayctl/relay-server/RELEASE
/usr/local/lib/relayctl/relay-server/RELEASE/relay-server
/usr/local/lib/relayctl/relay-server/current
`
	workerForAll = `/etc/systemd/system/relay-worker.service
/usr/local/lib/relayctl
/usr/local/lib/relayctl/relay-host
/usr/local/lib/relayctl/relay-host/RELEASE
/usr/local/lib/relayctl/relay-host/RELEASE/relay-host
/usr/local/lib/relayctl/relay-host/current
/usr/local/lib/relayctl/relay-worker
/usr/local/lib/relayctl/relay-worker/RELEASE
/usr/local/lib/relayctl/relay-worker/RELEASE/relay-worker
/usr/local/lib/relayctl/relay-worker/current
`
)

// mayOn is what a user of a host may read and write of what apply made.
type mayOn struct{ host, user, read, write string }

var localUsers = []mayOn{
	{"edge", "nobody", edgeForAll, ""},
	{"edge", "relay", edgeForAll + `/etc/relay
/etc/relay/keys.json
/etc/relay/relay.json
/etc/relay/workers.d
/etc/relay/workers.d/gpu-1.json
/etc/relay/workers.d/gpu-2.json
/run/relay
/run/relay/admin.sock
`, "/run/relay\n/run/relay/admin.sock\n"},
	{"edge", "caddy", edgeForAll + `/etc/caddy/relayctl
/etc/caddy/relayctl/ca.crt
/etc/caddy/relayctl/ca.key
/var/lib/caddy
/var/lib/caddy/relayctl
/var/lib/caddy/relayctl/admin.sock
`, "/var/lib/caddy\n/var/lib/caddy/relayctl\n/var/lib/caddy/relayctl/admin.sock\n"},
	{"gpu-1", "nobody", workerForAll, ""},
	{"gpu-1", "relay", workerForAll + `/etc/relay
/etc/relay/backends
/etc/relay/backends/stub.key
/etc/relay/ca.pem
/etc/relay/worker.json
/etc/relay/worker.secret
`, ""},
}

// What listens on a host.
var (
	edgeListens   = "*:443\n*:80\n0.0.0.0:22\n127.0.0.1:8080\n127.0.0.1:8081\n[::]:22"
	workerListens = "0.0.0.0:22\n127.0.0.1:18000\n127.0.0.1:8000\n[::]:22" // 18000 is the lab's, to see to its engine
)

// asking connects to everything that takes orders, or might, as whoever runs it.
const asking = `import socket
for where in ("127.0.0.1", 2019), "/var/lib/caddy/relayctl/admin.sock", "/run/relay/admin.sock":
    s = socket.socket(socket.AF_UNIX if isinstance(where, str) else socket.AF_INET)
    s.settimeout(10)
    try:
        s.connect(where)
        s.sendall(b"GET /config/ HTTP/1.0\r\nHost:\r\n\r\n")
        print(where, s.recv(12).decode())
    except OSError as e:
        print(where, e.strerror)
`

const (
	nobodyAsks = "('127.0.0.1', 2019) Connection refused\n/var/lib/caddy/relayctl/admin.sock Permission denied\n/run/relay/admin.sock Permission denied"
	relayAsks  = "('127.0.0.1', 2019) Connection refused\n/var/lib/caddy/relayctl/admin.sock Permission denied\n/run/relay/admin.sock HTTP/1.0 404"
	caddyAsks  = "('127.0.0.1', 2019) Connection refused\n/var/lib/caddy/relayctl/admin.sock HTTP/1.0 200\n/run/relay/admin.sock Permission denied"
	rootAsks   = "('127.0.0.1', 2019) Connection refused\n/var/lib/caddy/relayctl/admin.sock HTTP/1.0 200\n/run/relay/admin.sock HTTP/1.0 404"
)

// sandboxed has a unit like relay-server's, with all that shuts it in, ask.
const sandboxed = `sed -e 's#^ExecStart=.*#ExecStart=/usr/bin/python3 /srv/asking.py#' -e 's/^Type=.*/Type=oneshot/' -e '/^Restart/d;/^RuntimeDirectory/d;/^ExecReload/d' \
  /etc/systemd/system/relay-server.service > /run/systemd/system/asking.service
systemctl daemon-reload && systemctl start asking && journalctl --sync && journalctl -u asking _COMM=python3 -o cat --no-pager -q`

// asWorker are the headers of a worker that comes without a secret, for curl.
const asWorker = "-H 'Connection: Upgrade' -H 'Upgrade: websocket' -H 'Sec-WebSocket-Version: 13' " +
	"-H 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==' -H 'Sec-WebSocket-Protocol: relay.v1' "

// TestLocalUsers holds what users of a host can do with what apply made there:
// nobody in particular, the user of the relay and of the worker, and Caddy's.
func TestLocalUsers(t *testing.T) {
	s := appliedSite(t)
	s.step("what is read and written", func() {
		for _, may := range localUsers {
			h := s.host(may.host)
			equal(s, may.host+": "+may.user+" reads", may.read, s.finds(h, may.user, "-readable"))
			equal(s, may.host+": "+may.user+" writes", may.write, s.finds(h, may.user, "-writable"))
		}
	})
	s.step("what listens", func() {
		const listening = "ss --no-header --listening --tcp --numeric | awk '{print $4}' | sort -u"
		equal(s, "edge", edgeListens, lab.MustRun(s.t, s.Edge, "export LC_ALL=C; "+listening))
		equal(s, "gpu-1", workerListens, lab.MustRun(s.t, s.Workers[0], "export LC_ALL=C; "+listening))
		const sockets = "ss --no-header --listening --unix | awk '{print $5}' | grep -v -e '^@' -e '^/run/systemd/' -e '^/run/dbus/' -e '^/run/ssh-unix-local/' -e '^/run/user/' | sort"
		equal(s, "edge", "/run/relay/admin.sock\n/var/lib/caddy/relayctl/admin.sock", lab.MustRun(s.t, s.Edge, sockets))
		equal(s, "gpu-1", "", lab.MustRun(s.t, s.Workers[0], sockets))
	})
	s.step("orders", func() {
		s.put(s.Edge, "/srv/asking.py", asking)
		for user, answers := range map[string]string{"nobody": nobodyAsks, "relay": relayAsks, "caddy": caddyAsks, "root": rootAsks} {
			equal(s, user, answers, lab.MustRun(s.t, s.Edge, "runuser -u "+user+" -- python3 /srv/asking.py"))
		}
		equal(s, "the relay's sandbox", relayAsks, lab.MustRun(s.t, s.Edge, sandboxed))
	})
	s.step("what is open to all", func() {
		for line, want := range map[string]string{
			"http://127.0.0.1:8080/v1/models":                           "401",
			"http://127.0.0.1:8080/v1/status":                           "404",
			"http://127.0.0.1:8080/v1/worker/connect":                   "426",
			asWorker + "http://127.0.0.1:8080/v1/worker/connect":        "401",
			"-X POST http://127.0.0.1:8080/v1/drain":                    "404",
			"http://127.0.0.1:8081/metrics":                             "200",
			"http://127.0.0.1:8081/v1/status":                           "404",
			"-X POST http://127.0.0.1:8081/v1/drain":                    "404",
			"-X POST --data-binary @/srv/asking.py http://127.0.0.1:80": "308",
		} {
			equal(s, line, want, lab.MustRun(s.t, s.Edge, "runuser -u nobody -- curl -s -o /dev/null -w '%{http_code}' "+line))
		}
		s.said.WriteString(lab.MustRun(s.t, s.Edge, "curl -s http://127.0.0.1:8081/metrics")) // it is searched for secrets
	})
	s.step("sandboxes", func() {
		s.mustBeShutIn(s.Edge, "relay-server")
		s.mustBeShutIn(s.Workers[0], "relay-worker") // of Debian 12
		s.mustBeShutIn(s.Workers[1], "relay-worker") // of Debian 13
	})
	s.step("what its user puts in a service's folder", s.plantedInFolders)
}

// finds lists what a user may read or write of what apply made. What Caddy keeps
// in its home is its own.
func (s *site) finds(h *lab.Host, user, how string) string {
	s.t.Helper()
	found := lab.MustRun(s.t, h, "export LC_ALL=C; runuser -u "+user+" -- find "+madeBelow+" "+how+" -print 2>/dev/null | grep -v '^/var/lib/caddy/\\.' | sort; true")
	return regexp.MustCompile(`/[^/\n]+-[0-9a-f]{12}\b`).ReplaceAllString(found, "/RELEASE")
}

func (s *site) host(name string) *lab.Host {
	s.t.Helper()
	for _, h := range s.hosts() {
		if h.Name == name {
			return h
		}
	}
	s.t.Fatalf("no host %s", name)
	return nil
}

// equal compares lines, in any order.
func equal(s *site, what, want, got string) {
	s.t.Helper()
	lines := func(text string) []string {
		return slices.Sorted(slices.Values(strings.Split(strings.TrimSpace(text), "\n")))
	}
	if diff := cmp.Diff(lines(want), lines(got)); diff != "" {
		s.t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// mustBeShutIn fails where systemd rates a unit above 2.0, of 10.
func (s *site) mustBeShutIn(h *lab.Host, unit string) {
	s.t.Helper()
	said := lab.MustRun(s.t, h, "systemd-analyze security --no-pager "+unit+".service | tail -n 1")
	rated := regexp.MustCompile(`: ([0-9.]+) `).FindStringSubmatch(said)
	if rated == nil {
		s.t.Fatalf("%s on %s: %s", unit, h.Name, said)
	}
	if exposure, err := strconv.ParseFloat(rated[1], 64); err != nil || exposure > 2 {
		s.t.Errorf("%s on %s: %s", unit, h.Name, said)
	}
}

// plantedInFolders has the services' users put links and pipes where root looks.
func (s *site) plantedInFolders() {
	as := func(user, line string) {
		s.t.Helper()
		lab.MustRun(s.t, s.Edge, "runuser -u "+user+" -- sh -c '"+line+"'")
	}
	const admin = "/run/relay/admin.sock"
	for what, plant := range map[string]string{
		"a symbolic link": "ln -s /run/systemd/private " + admin,
		"a special file":  "mkfifo " + admin,
		"a file":          "touch " + admin,
	} {
		as("relay", "mv "+admin+" /run/relay/moved && "+plant)
		r := s.relayctl("status")
		if r.code != 1 {
			s.t.Errorf("status with %s there: exit code %d, want 1", what, r.code)
		}
		want(s.t, r.out, "ask the relay for its status: relay-host: ask "+admin+": not the service's own socket: "+admin+" is "+what)
		as("relay", "rm "+admin+" && mv /run/relay/moved "+admin)
	}
	s.mustBeDone()
	const orders, autosave = "/var/lib/caddy/relayctl/admin.sock", "/var/lib/caddy/.config/caddy/autosave.json"
	for what, plant := range map[string]string{
		"a link":           "ln -s " + admin + " " + orders,
		"a link to root's": "ln -s /run/systemd/private " + orders,
		"a pipe, twice":    "mkfifo " + orders + " && rm " + autosave + " && mkfifo " + autosave,
	} {
		as("caddy", "rm "+orders+" && "+plant)
		want(s.t, s.looksOnly("plan"), "↻ reload caddy", "runs without the present /etc/caddy/Caddyfile")
		as("caddy", "test -p "+autosave+" && rm "+autosave+"; true")
		want(s.t, s.apply(), "stub answered through https://"+domain)
		s.t.Log(what)
		s.mustBeDone()
	}
	as("caddy", "cd /var/lib/caddy && mv relayctl moved && ln -s moved relayctl")
	want(s.t, s.mustRelayctl("plan"), "! directory /var/lib/caddy/relayctl", "a symbolic link stands in its place")
	as("caddy", "cd /var/lib/caddy && rm relayctl && mv moved relayctl")
	s.mustBeDone()
}
