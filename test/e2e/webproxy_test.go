package e2e_test

import (
	"encoding/base64"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/relayctl/relayctl/test/lab"
)

// The password of the web proxy, as it is and as a URL has it.
const (
	webProxyPassword = "s3cret w0rd"
	webProxyLogin    = "apt:s3cret%20w0rd"
)

// webProxy is a forward proxy that lets in who has the password, on the lab's
// bridge.
type webProxy struct {
	address string       // host:port
	closed  atomic.Bool  // nobody is let in
	passed  atomic.Int64 // requests that it passed on
}

// TestWebProxy has the proxy host reach its package sources through a web proxy
// alone. Apply goes through it where a login would: by /etc/environment.
func TestWebProxy(t *testing.T) {
	s := newSite(t)
	web := s.startWebProxy()
	s.cutOffPackages()

	s.step("known to a shell's profile alone", func() {
		lab.MustRun(s.t, s.Edge, "echo export http_proxy=http://"+webProxyLogin+"@"+web.address+" > /etc/profile.d/proxy.sh")
		out := s.fails("Error: edge: install package caddy: apt can't fetch from deb.debian.org", "not from a shell's profile",
			"getent hosts deb.debian.org", "env -i apt-get update")
		s.failsByHand("env -i apt-get update", out)
	})
	s.step("that lets nobody in", func() {
		// 0600: logins read it as root. What pam_env passes over is in it, too.
		lab.MustRun(s.t, s.Edge, `umask 077; rm /etc/profile.d/proxy.sh /etc/environment; cat > /etc/environment <<'E'
# http_proxy=http://127.0.0.1:9
PATH="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SOMETHING_ELSE=http://127.0.0.1:9
export http_proxy="http://`+webProxyLogin+"@"+web.address+`"
no proxy=x
no_proxy=localhost,127.0.0.1,\
  .lab.test
HTTP_PROXY='http://`+webProxyLogin+"@"+web.address+`'
E`)
		web.closed.Store(true)
		out := s.fails("Error: edge: install package caddy: apt can't fetch from deb.debian.org: 407 Proxy Authentication Required",
			"by http_proxy, HTTP_PROXY, no_proxy in /etc/environment", "env -i sh -ac '. /etc/environment; apt-get update'")
		s.failsByHand("env -i sh -ac '. /etc/environment; apt-get update'", out)
		web.closed.Store(false)
	})
	s.step("that does its work", func() {
		lab.MustRun(s.t, s.Edge, `cat > /etc/apt/apt.conf.d/99watch <<'E'
DPkg::Pre-Invoke { "env > /run/watched-env; cat /proc/[0-9]*/cmdline > /run/watched-argv"; };
E`)
		before := web.passed.Load()
		s.apply()
		s.mustBeDone()
		if web.passed.Load() == before {
			s.t.Error("nothing went through the web proxy")
		}
		s.mustAnswer(s.client(), s.key("laptop"), "stub")
		login := lab.MustRun(s.t, s.Edge, "env -i su -c env | grep -i _proxy= | sort")
		if diff := cmp.Diff(login, lab.MustRun(s.t, s.Edge, "grep -i _proxy= /run/watched-env | sort")); diff != "" || strings.Count(login, "\n") != 2 {
			s.t.Errorf("what apt had (-login +apt):\n%s", diff)
		}
		if got := lab.MustRun(s.t, s.Edge, "grep -c SOMETHING_ELSE /run/watched-env; true"); got != "0" {
			s.t.Error("apt had more of /etc/environment than the web proxy")
		}
	})
	s.step("its password", func() {
		argv := lab.MustRun(s.t, s.Edge, "tr '\\0' '\\n' < /run/watched-argv")
		want(s.t, argv, "apt-get", "install")
		journal := lab.MustRun(s.t, s.Edge, "journalctl --no-pager --output=cat; cat /var/lib/relayctl/journal.jsonl")
		want(s.t, journal, "install package caddy")
		said := s.said.String() + s.mustRelayctl("history")
		for name, secret := range map[string]string{
			"the password": webProxyPassword, "the login": webProxyLogin,
			"the login in base64": base64.StdEncoding.EncodeToString([]byte("apt:" + webProxyPassword)),
		} {
			for where, text := range map[string]string{"relayctl": said, "a command line": argv, "the journal": journal} {
				if strings.Contains(text, secret) {
					s.t.Errorf("%s shows %s", where, name)
				}
			}
		}
	})
}

// failsByHand holds that a command which was named to the operator fails by
// hand as it did for relay-host.
func (s *site) failsByHand(command, out string) {
	s.t.Helper()
	want(s.t, out, command)
	said := lab.MustRun(s.t, s.Edge, command+" 2>&1; echo; echo exit code $?")
	want(s.t, said, "deb.debian.org")
	if !strings.Contains(said, "Err:") {
		s.t.Errorf("by hand it says:\n%s", said)
	}
}

// cutOffPackages leaves the proxy host with no way to its package sources but
// a web proxy: neither a route nor names, nor what was downloaded before.
func (s *site) cutOffPackages() {
	s.t.Helper()
	lab.MustRun(s.t, s.Edge, `rm -f /var/cache/apt/archives/*.deb
printf '#clear Acquire::http::Proxy;\nAcquire::Retries "0";\n' > /etc/apt/apt.conf.d/99zz
echo nameserver 127.0.0.2 > /etc/resolv.conf
ip route del default`)
}

// startWebProxy starts a web proxy on this machine's end of the lab's bridge.
// It reaches package sources as the lab's hosts do.
func (s *site) startWebProxy() *webProxy {
	s.t.Helper()
	host := netip.MustParseAddr(s.Edge.Addr).As4()
	host[3] = 1
	listener, err := net.Listen("tcp", netip.AddrPortFrom(netip.AddrFrom4(host), 0).String())
	if err != nil {
		s.t.Fatal(err)
	}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment}
	if outer := lab.MustRun(s.t, s.Edge, "apt-config shell P Acquire::http::Proxy | cut -d\\' -f2"); outer != "" {
		address, err := url.Parse(outer)
		if err != nil {
			s.t.Fatal(err)
		}
		transport.Proxy = http.ProxyURL(address)
	}
	web := &webProxy{address: listener.Addr().String()}
	server := httptest.NewUnstartedServer(web.handler(transport))
	server.Listener.Close()
	server.Listener = listener
	server.Start()
	s.t.Cleanup(func() {
		server.Close()
		transport.CloseIdleConnections()
	})
	return web
}

func (web *webProxy) handler(way http.RoundTripper) http.Handler {
	admitted := "Basic " + base64.StdEncoding.EncodeToString([]byte("apt:"+webProxyPassword))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if web.closed.Load() || r.Header.Get("Proxy-Authorization") != admitted {
			w.Header().Set("Proxy-Authenticate", `Basic realm="lab"`)
			w.WriteHeader(http.StatusProxyAuthRequired)
			return
		}
		request := r.Clone(r.Context())
		request.RequestURI = ""
		request.Header.Del("Proxy-Authorization")
		response, err := way.RoundTrip(request)
		if err != nil {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer response.Body.Close()
		web.passed.Add(1)
		for name, values := range response.Header {
			w.Header()[name] = values
		}
		w.WriteHeader(response.StatusCode)
		io.Copy(w, response.Body) // apt tells where it ends too early
	})
}
