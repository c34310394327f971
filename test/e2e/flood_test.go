package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/relayctl/relayctl/test/lab"
)

// TestFloodsOfThePublicPort: what anybody on the network can send to the public port, much of
// it, for a while. A good client is served meanwhile and afterwards, memory
// stays bounded and nothing restarts.
func TestFloodsOfThePublicPort(t *testing.T) {
	s := appliedSite(t)
	f := &flood{site: s, ca: s.mustRelayctl("ca"), key: s.key("laptop")}
	f.client = s.clientThatTrusts(f.ca)
	f.start = map[string]string{"relay-server": f.invocation("relay-server"), "caddy": f.invocation("caddy")}
	for _, attack := range []struct {
		name string
		run  func(ctx context.Context) (sent int)
	}{
		{"paths", f.paths},
		{"rapid resets", f.rapidResets},
		{"CONTINUATION without end", f.continuations},
		{"odd frames", f.oddFrames},
		{"slow heads", f.slowHeads},
		{"slow bodies", f.slowBodies},
		{"idle connections", f.idle},
	} {
		s.step(attack.name, func() { f.attack(attack.run) })
	}
	s.mustBeDone()
}

// flood attacks one site.
type flood struct {
	*site
	ca, key string
	client  *http.Client
	start   map[string]string
}

// mostMemory is how much a program may come to have in memory, in MiB.
const mostMemory = 300

// floodTime bounds each attack.
const floodTime = 6 * time.Second

// attack runs one while a good client asks again and again.
func (f *flood) attack(run func(ctx context.Context) int) {
	t := f.t
	before := f.memory()
	ctx, cancel := context.WithTimeout(t.Context(), floodTime)
	defer cancel()
	over := make(chan struct{})
	asked, longest := 0, time.Duration(0)
	var client sync.WaitGroup
	client.Go(func() {
		for done := false; !done; asked++ {
			select {
			case <-over:
				done = true // once more, afterwards
			default:
			}
			began := time.Now()
			f.mustAnswer(f.client, f.key, "stub")
			longest = max(longest, time.Since(began))
		}
	})
	sent := run(ctx)
	during := f.memory()
	close(over)
	client.Wait()
	t.Logf("%d sent; meanwhile %d good requests were answered, the slowest in %v; memory in MiB: %v, then %v", sent, asked, longest.Round(time.Millisecond), before, during)
	if sent == 0 || asked == 0 {
		t.Error("nothing was sent, or asked")
	}
	for name, start := range f.start {
		if during[name] > mostMemory || during[name] == 0 {
			t.Errorf("%s has %d MiB", name, during[name])
		}
		if now := f.invocation(name); now != start {
			t.Errorf("%s was started again", name)
		}
	}
}

func (f *flood) invocation(unit string) string {
	return lab.MustRun(f.t, f.Edge, "systemctl show --value --property=InvocationID "+unit)
}

// memory is how much each program has resident, in MiB.
func (f *flood) memory() map[string]int {
	f.t.Helper()
	all := map[string]int{}
	for _, unit := range []string{"relay-server", "caddy"} {
		out := lab.MustRun(f.t, f.Edge, "awk '/^VmRSS/ {print $2}' /proc/$(systemctl show --value --property=MainPID "+unit+")/status")
		kib, err := strconv.Atoi(strings.TrimSpace(out))
		if err != nil {
			f.t.Errorf("memory of %s: %v", unit, err)
		}
		all[unit] = kib >> 10
	}
	return all
}

// dial opens a connection to the public port of the lab's own proxy.
func (f *flood) dial(ctx context.Context, protocol string) (*tls.Conn, error) {
	conn, err := f.Dial(ctx, "tcp", net.JoinHostPort(domain, "443"))
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(f.ca))
	over := tls.Client(conn, &tls.Config{RootCAs: roots, ServerName: domain, NextProtos: []string{protocol}})
	if err := over.HandshakeContext(ctx); err != nil {
		conn.Close()
		return nil, err
	}
	over.SetDeadline(time.Now().Add(floodTime))
	return over, nil
}

// speak begins HTTP/2 on a connection of its own, whose answers are read and
// forgotten.
func (f *flood) speak(ctx context.Context, talk func(*http2.Framer) error) {
	conn, err := f.dial(ctx, "h2")
	if err != nil {
		f.t.Errorf("dial: %v", err)
		return
	}
	defer conn.Close()
	var reading sync.WaitGroup
	defer reading.Wait()
	defer conn.Close()
	reading.Go(func() { io.Copy(io.Discard, conn) })
	io.WriteString(conn, http2.ClientPreface)
	framer := http2.NewFramer(conn, nil)
	if err := framer.WriteSettings(); err != nil {
		return
	}
	for ctx.Err() == nil && talk(framer) == nil {
	}
}

// head is the head of a request, in HPACK.
func (f *flood) head(path, key string) []byte {
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	for _, field := range [][2]string{{":method", "POST"}, {":scheme", "https"}, {":authority", domain}, {":path", path}, {"authorization", "Bearer " + key}} {
		encoder.WriteField(hpack.HeaderField{Name: field[0], Value: field[1]})
	}
	return block.Bytes()
}

// rapidResets opens streams and gives them up at once, with a key that is good
// and one that is not.
func (f *flood) rapidResets(ctx context.Context) int {
	const connections, each = 8, 1000
	var sent atomic.Int32
	var running sync.WaitGroup
	for i := range connections {
		key := []string{f.key, "wrong"}[i%2]
		running.Go(func() {
			id := uint32(1)
			f.speak(ctx, func(framer *http2.Framer) error {
				if id > 2*each {
					return io.EOF
				}
				block := f.head("/v1/chat/completions", key) // each has a table of its own, and so the whole of it
				if err := framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block, EndHeaders: true}); err != nil {
					return err
				}
				sent.Add(1)
				err := framer.WriteRSTStream(id, http2.ErrCodeCancel)
				id += 2
				return err
			})
		})
	}
	running.Wait()
	return int(sent.Load())
}

// continuations sends heads that never end.
func (f *flood) continuations(ctx context.Context) int {
	var sent atomic.Int32
	var running sync.WaitGroup
	filler := bytes.Repeat([]byte{0x00, 0x01, 'x', 0x01, 'y'}, 3000) // literal fields, not indexed
	for range 4 {
		running.Go(func() {
			begun, frames := false, 0
			f.speak(ctx, func(framer *http2.Framer) error {
				if !begun {
					begun = true
					return framer.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: f.head("/v1/models", "x")})
				}
				if frames++; frames > 1000 {
					return io.EOF
				}
				sent.Add(1)
				return framer.WriteContinuation(1, false, filler)
			})
		})
	}
	running.Wait()
	return int(sent.Load())
}

// oddFrames floods with PING, SETTINGS, PRIORITY, empty DATA and windows.
func (f *flood) oddFrames(ctx context.Context) int {
	var sent atomic.Int32
	var running sync.WaitGroup
	for _, write := range []func(*http2.Framer) error{
		func(framer *http2.Framer) error { return framer.WritePing(false, [8]byte{}) },
		func(framer *http2.Framer) error {
			return framer.WriteSettings(http2.Setting{ID: http2.SettingHeaderTableSize, Val: 1 << 31})
		},
		func(framer *http2.Framer) error { return framer.WritePriority(1, http2.PriorityParam{StreamDep: 3}) },
		func(framer *http2.Framer) error { return framer.WriteWindowUpdate(0, 1<<31-1) },
		func(framer *http2.Framer) error { return framer.WriteData(0, false, nil) },
		func(framer *http2.Framer) error { return framer.WriteRawFrame(0x77, 0xff, 0, make([]byte, 1000)) },
	} {
		running.Go(func() {
			frames := 0
			f.speak(ctx, func(framer *http2.Framer) error {
				if frames++; frames > 1000 {
					return io.EOF
				}
				sent.Add(1)
				return write(framer)
			})
		})
	}
	running.Wait()
	return int(sent.Load())
}

// slowly opens many connections, says something on each, and goes on with a
// byte now and then.
func (f *flood) slowly(ctx context.Context, connections int, first, then string) int {
	var running sync.WaitGroup
	var sent atomic.Int32
	gate := make(chan struct{}, 16) // handshakes at once
	for range connections {
		running.Go(func() {
			gate <- struct{}{}
			conn, err := f.dial(ctx, "http/1.1")
			<-gate
			if err != nil {
				return // its time is over
			}
			defer conn.Close()
			sent.Add(1)
			io.WriteString(conn, first)
			tick := time.NewTicker(500 * time.Millisecond)
			defer tick.Stop()
			for {
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
					if _, err := io.WriteString(conn, then); err != nil {
						return
					}
				}
			}
		})
	}
	running.Wait()
	return int(sent.Load())
}

func (f *flood) slowHeads(ctx context.Context) int {
	return f.slowly(ctx, 200, "POST /v1/chat/completions HTTP/1.1\r\nHost: "+domain+"\r\nX: ", "x")
}

func (f *flood) slowBodies(ctx context.Context) int {
	return f.slowly(ctx, 200, "POST /v1/chat/completions HTTP/1.1\r\nHost: "+domain+"\r\nAuthorization: Bearer "+f.key+"\r\nContent-Length: 30000000\r\n\r\n{", " ")
}

func (f *flood) idle(ctx context.Context) int { return f.slowly(ctx, 500, "", "") }

// paths tries spellings that Caddy and the relay could read otherwise than each
// other: none of them is served.
func (f *flood) paths(ctx context.Context) int {
	tried := 0
	for _, path := range []string{
		"/", "/health", "/metrics", "/v1", "/v1/", "/v1/status", "/v1/drain", "/v1/models/../../metrics", "/v1/models/%2e%2e/%2e%2e/metrics", "/v1/models/..%2f..%2fmetrics", "//v1/models", "/v1//models", "/./v1/models",
		"/x/../v1/models", "/x/..;/v1/models", "/v1/models/", "/v1/models;a=b", "/v1/models%00", "/v1/models%0d%0aX:%20y", "/v1/models%3fx", "/v1/models%23", "/%76%31/models", "/v1%2fmodels", "/V1/MODELS", "/v1/Models",
		"/v1/models/\\..\\..\\metrics", "/v1/chat/completions/", "/v1/chat/completions/../../../health", "/v1/chat%2fcompletions", "/v1/chat/completions%20", "/v1/chat/completions/%2e", "/v1/worker/connect/", "/v1/worker/../../health",
		"/v1/worker%2fconnect", "/" + strings.Repeat("x", 20_000), "/v1/models" + strings.Repeat("/", 5000), "/config/", "/reverse_proxy/upstreams", "/debug/pprof/", "/.well-known/acme-challenge/x", "http://127.0.0.1:8081/metrics",
		"http://" + domain + ":8080/health", "http://other/v1/models", "*",
	} {
		for _, method := range []string{"GET", "POST", "TRACE", "CONNECT", "PRI", "OPTIONS", "get"} {
			f.mustNotServe(ctx, method+" "+path+" HTTP/1.1\r\nHost: "+domain)
			tried++
		}
	}
	for _, host := range []string{"", "other.example", "127.0.0.1:8080", domain + ".evil.example", "x@" + domain, domain + "/..", "[::1]", domain + "\r\nHost: other", "\x00"} {
		f.mustNotServe(ctx, "GET /v1/models HTTP/1.1\r\nHost: "+host)
		tried++
	}
	return tried
}

// mustNotServe sends one request with a good key, byte for byte.
func (f *flood) mustNotServe(ctx context.Context, request string) {
	conn, err := f.dial(ctx, "http/1.1")
	if err != nil {
		f.t.Errorf("%.60q: %v", request, err)
		return
	}
	defer conn.Close()
	fmt.Fprintf(conn, "%s\r\nAuthorization: Bearer %s\r\nConnection: close\r\n\r\n", request, f.key)
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return // it hung up: that is no answer
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(response.Body)
	if strings.HasPrefix(request, "OPTIONS * ") && len(body) == 0 {
		return // Caddy answers that itself: it is there
	}
	if response.StatusCode < 400 || strings.Contains(string(body), `"stub"`) || strings.Contains(string(body), "relay_requests") {
		f.t.Errorf("%.80q is answered: %s %.200s", request, response.Status, body)
	}
}
