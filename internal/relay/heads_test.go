package relay_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/relayctl/relayctl/internal/secret"
)

// canaryText is in all that must not come to be a line of an answer's head, nor
// any part of another's answer.
const canaryText = "canary"

// head is what an engine answers, byte for byte, to one request.
type head struct {
	name  string
	bytes string
	fails bool // it must not pass for an answer: the client hears so from the relay
}

// smuggled is a whole answer, behind or inside of another.
const smuggled = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 6\r\n\r\ncanary"

// oddHeads are answers that somebody reads otherwise than somebody else, and
// such as would speak for the site.
func oddHeads() []head {
	ok, body := "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n", "Content-Length: 2\r\n\r\n{}"
	var all []head
	add := func(name, bytes string, fails bool) { all = append(all, head{name, bytes, fails}) }
	for _, line := range []string{
		"", "\r\n", "\n", "200 OK", "HTTP", "HTTP/1.1", "HTTP/1.1 ", "HTTP/1.1 OK", "HTTP/1.1  200 OK", "HTTP/1.1 20", "HTTP/1.1 2000 OK", "HTTP/1.1 2x0 OK", "HTTP/1.1 -20 OK", "HTTP/1.1 +20 OK", "HTTP/1.1 0200 OK",
		"http/1.1 200 OK", "Http/1.1 200 OK", "HTTP/1,1 200 OK", "HTTP/11 200 OK", "HTTP/1.1.1 200 OK", "HTTP/+1.1 200 OK", "HTTP/0x1.1 200 OK", "XHTTP/1.1 200 OK", " HTTP/1.1 200 OK", "\x00HTTP/1.1 200 OK",
		"\ufeffHTTP/1.1 200 OK", "ICY 200 OK", "RTSP/1.0 200 OK", "SSH-2.0-canary", "<html>canary</html>", "HTTP/1.1\t200 OK", "HTTP/1.1 200", "HTTP/1.1 099 canary", "HTTP/1.1 000 canary",
		"HTTP/1.1 600 canary", "HTTP/1.1 999 canary",
	} {
		add("status line "+line, line+"\r\nContent-Type: application/json\r\n"+body, line != "HTTP/1.1 200" && line != "HTTP/1.1  200 OK")
	}
	for _, line := range []string{"HTTP/1.0 200 OK", "HTTP/1.1 200 canary", "HTTP/1.1 200 \x1b[2J canary", "HTTP/1.1 200 a\tb", "HTTP/1.1 200 \xff\xfe", "HTTP/1.1 200 OK" + strings.Repeat("x", 4000), "HTTP/1.1 201 canary",
		"HTTP/1.1 226 canary", "HTTP/1.1 400 canary", "HTTP/1.1 402 canary", "HTTP/1.1 418 canary", "HTTP/1.1 451 canary", "HTTP/1.1 499 canary"} {
		add("status line "+line, line+"\r\nContent-Type: application/json\r\n"+body, false)
	}
	for _, line := range []string{"HTTP/0.9 200 OK", "HTTP/2.0 200 OK", "HTTP/3 200 OK", "HTTP/1.9 200 OK", "HTTP/9.9 200 OK"} {
		add("version "+line, line+"\r\nContent-Type: application/json\r\n"+body, false)
	}
	for _, status := range []int{300, 301, 302, 303, 304, 305, 306, 307, 308, 399} {
		add(fmt.Sprint("redirect ", status), fmt.Sprintf("HTTP/1.1 %d canary\r\nLocation: http://canary.example/\r\nContent-Length: 0\r\n\r\n", status), true)
	}
	for _, line := range []string{ // they go no further, or are none
		"Set-Cookie: canary=1", "Set-Cookie2: canary=1", "Location: https://canary.example", "Content-Location: /canary", "Refresh: 0; url=//canary", "Upgrade: canary", "Alt-Svc: h3=\"canary:443\"", "Link: <//canary>; rel=preload",
		"Strict-Transport-Security: max-age=0; canary", "Access-Control-Allow-Origin: https://canary", "Content-Security-Policy: canary", "WWW-Authenticate: Basic realm=canary", "Proxy-Authenticate: Basic realm=canary",
		"Authorization: canary", "Server: canary", "Via: 1.1 canary", "Warning: 199 - canary", "Trailer: canary", "Keep-Alive: timeout=canary", "Proxy-Connection: canary", "Content-Disposition: attachment; filename=canary",
		"Clear-Site-Data: \"canary\"", "Service-Worker-Allowed: /canary", "X-Accel-Redirect: /canary", "X-Sendfile: /canary", "X-Forwarded-Host: canary", "X-Powered-By: canary", "X-Frame-Options: canary", "ETag: \"canary\"",
		"Vary: canary", "Age: canary", "Expires: canary", "Last-Modified: canary", "Date: canary", "Allow: canary", "Status: 200 canary", "X-Request-Id: canary\x01", "Openai-Model: \x1b[2Jcanary", "Openai-Model: canary\xff",
		"Openai-\u00e9: canary", "X-Other: canary", "Public-Key-Pins: canary", "Report-To: canary", "NEL: canary", "Sourcemap: /canary", "Permissions-Policy: canary",
	} {
		name, _, _ := strings.Cut(line, ":")
		add("field "+line, ok+line+"\r\n"+body, false)
		add("many of "+name, ok+strings.Repeat(line+"\r\n", 40)+body, false)
		add("named by Connection: "+name, ok+"Connection: "+name+"\r\n"+line+"\r\n"+body, false)
	}
	for _, line := range []string{ // no field
		"no colon canary", ": canary", " : canary", "Openai-Model : canary", "Openai-Model\t: canary", "Openai-Model\x00: canary", "Openai-Model: a\x00canary", "Openai Model: canary", "(Openai): canary", "Openai-Model\r: canary",
		"\x00: canary", "=: canary\x7f",
	} {
		add("no field "+line, ok+line+"\r\n"+body, false)
	}
	add("bare CR in a value", ok+"Openai-Model: a\rSet-Cookie: canary\r\n"+body, true)
	add("CR CR LF", ok+"Openai-Model: a\r\r\nSet-Cookie: canary\r\n"+body, false)
	add("bare LF between fields", ok+"Openai-Model: a\nSet-Cookie: canary\r\n"+body, false)
	add("bare LF everywhere", strings.ReplaceAll(ok+"Set-Cookie: canary\r\n"+body, "\r", ""), false)
	add("folded", ok+"X-Other: a\r\n Set-Cookie: canary\r\n"+body, false)
	add("folded by a tab", ok+"X-Other: a\r\n\tOpenai-Model: canary\r\n"+body, false)
	add("folded before the first field", "HTTP/1.1 200 OK\r\n Openai-Model: canary\r\nContent-Type: application/json\r\n"+body, true)
	add("encoded line break", ok+"X-Other: a%0d%0aSet-Cookie: canary\r\n"+body, false)
	add("no Content-Type", "HTTP/1.1 200 OK\r\n"+body, false)
	add("HTML", "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n"+body, false)
	add("two types", ok+"Content-Type: text/html\r\n"+body, false)
	add("a head without end", ok+strings.Repeat("X-Other: canary\r\n", 100_000)+body, false)
	add("a huge field", ok+"X-Other: "+strings.Repeat("canary", 2_000_000)+"\r\n"+body, true)
	add("a large field that travels", ok+"Openai-Model: "+strings.Repeat("x", 40_000)+"\r\n"+body, true)

	for _, lengths := range [][]string{{"2", "3"}, {"3", "2"}, {"2, 3"}, {"+2"}, {"-2"}, {"0x2"}, {"2_0"}, {"2 2"}, {"99999999999999999999"}, {"a"}, {"2;"}, {"2.0"}} {
		add(fmt.Sprint("lengths ", lengths), ok+"Content-Length: "+strings.Join(lengths, "\r\nContent-Length: ")+"\r\n\r\n{}"+smuggled, true)
	}
	add("the same length twice", ok+"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}", false)
	chunks := "2\r\n{}\r\n0\r\n\r\n"
	for _, coding := range []string{"chunked, identity", "identity, chunked", "xchunked", "chunked, chunked", "gzip", "gzip, chunked", "chunked;q=1", "\"chunked\"", "chunked\x0b", "identity"} {
		add("coding "+coding, ok+"Transfer-Encoding: "+coding+"\r\n\r\n"+chunks, true)
	}
	add("two codings", ok+"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"+chunks, true)
	add("Chunked", ok+"Transfer-Encoding: Chunked\r\n\r\n"+chunks, false)
	add("length and chunks", ok+"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"+chunks, false)
	add("chunks and length", ok+"Transfer-Encoding: chunked\r\nContent-Length: 500\r\n\r\n"+chunks, false)
	add("a trailer", ok+"Trailer: Set-Cookie, Openai-Model\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nSet-Cookie: canary\r\nOpenai-Model: canary\r\n\r\n", false)
	add("a trailer nobody told of", ok+"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nSet-Cookie: canary\r\nContent-Length: 9\r\n\r\n", false)
	add("chunk extensions", ok+"Transfer-Encoding: chunked\r\n\r\n2;canary=\"a\r\n{}\r\n0\r\n\r\n", false)
	for _, chunk := range []string{"-2\r\n{}\r\n0\r\n\r\n", "2\r\n{}canary\r\n0\r\n\r\n", "x\r\n{}\r\n0\r\n\r\n", "ffffffffffffffff1\r\n{}\r\n", "7fffffffffffffff\r\n{}", "0x2\r\n{}\r\n0\r\n\r\n", "\r\n{}\r\n0\r\n\r\n", "2" + strings.Repeat(";", 100_000) + "\r\n{}\r\n0\r\n\r\n"} {
		add(fmt.Sprintf("chunk %.20q", chunk), ok+"Transfer-Encoding: chunked\r\n\r\n"+chunk, true)
	}
	add("one 100", "HTTP/1.1 100 Continue\r\nSet-Cookie: canary\r\n\r\n"+ok+body, false)
	add("early hints", "HTTP/1.1 103 Early Hints\r\nLink: </canary>; rel=preload\r\nSet-Cookie: canary\r\n\r\n"+ok+body, false)
	add("some 1xx", strings.Repeat("HTTP/1.1 102 Processing\r\nX: canary\r\n\r\n", 50)+ok+body, false)
	add("a flood of 1xx", strings.Repeat("HTTP/1.1 102 Processing\r\nX: "+strings.Repeat("canary", 1000)+"\r\n\r\n", 3000)+ok+body, true)
	add("1xx with a body", "HTTP/1.1 150 x\r\nContent-Length: 6\r\n\r\ncanary"+ok+body, true)
	add("101", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\ncanary", true)
	for _, bodiless := range []string{"204 No Content", "304 Not Modified"} {
		add("a body with "+bodiless, "HTTP/1.1 "+bodiless+"\r\nContent-Length: "+fmt.Sprint(len(smuggled))+"\r\n\r\n"+smuggled, strings.HasPrefix(bodiless, "304"))
		add("chunks with "+bodiless, "HTTP/1.1 "+bodiless+"\r\nTransfer-Encoding: chunked\r\n\r\n"+chunks+smuggled, strings.HasPrefix(bodiless, "304"))
	}
	add("another answer behind it", ok+body+smuggled, false)
	add("many answers behind it", ok+body+strings.Repeat(smuggled, 20), false)
	add("another answer behind chunks", ok+"Transfer-Encoding: chunked\r\n\r\n"+chunks+smuggled, false)
	add("another answer behind an error", "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\n"+body+smuggled, false)
	add("garbage behind it", ok+body+"canary canary canary\r\n\r\n", false)
	return all
}

// headEngine answers each request in turn with given bytes, and the one after
// it well, on connections that it keeps as long as it is let.
type headEngine struct {
	mu   sync.Mutex
	says string // to the next request; "": well
}

const wellSaid = `{"well":"said"}`

func (e *headEngine) serve(c net.Conn) {
	defer c.Close()
	for reader := bufio.NewReader(c); ; {
		request, err := http.ReadRequest(reader)
		if err != nil {
			return
		}
		io.Copy(io.Discard, request.Body)
		e.mu.Lock()
		says := e.says
		e.mu.Unlock()
		if says == "" {
			says = fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nOpenai-Model: good\r\nContent-Length: %d\r\n\r\n%s", len(wellSaid), wellSaid)
		}
		if _, err := io.WriteString(c, says); err != nil {
			return
		}
		if needsEnd(says) {
			return
		}
	}
}

// needsEnd reports whether a reader may wait for more of an answer that will
// not come, so that only the end of the connection ends it.
func needsEnd(says string) bool {
	return !strings.HasPrefix(says, "HTTP/1.1 200 OK") || strings.Contains(says, "7fffffffffffffff")
}

// mayCome are the header fields that an answer may have here.
var mayCome = []string{"Cache-Control", "Connection", "Content-Length", "Content-Type", "Date", "Openai-Model", "Retry-After", "Transfer-Encoding", "X-Content-Type-Options", "X-Request-Id"}

// TestOddHeads: of an engine's odd head nothing becomes a line of the client's
// answer that should not be one, and the next client's answer is its own.
func TestOddHeads(t *testing.T) {
	e := &headEngine{}
	address := listenRaw(t, e.serve)
	r := startRelay(t, newStack(t).load(t))
	connectedWorker(t, r, "gpu-1", "http://"+address, 4, "m")
	good, heads, failed := "", oddHeads(), 0
	for _, h := range heads {
		client := newKept(t, r.URL)
		e.say("")
		before := client.ask(t, laptopKey)
		e.say(h.bytes)
		odd := client.ask(t, laptopKey)
		e.say("")
		after := client.ask(t, laptopKey)
		client.close()
		if good == "" {
			good = before
		}
		if before != good || after != good {
			t.Errorf("%s: the answers before and after it are\n%q\n%q, not\n%q", h.name, before, after, good)
		}
		first, _, _ := strings.Cut(odd, "\n")
		switch {
		case strings.Contains(first, " 502 ") || strings.HasPrefix(first, "broken off"):
			failed++
		case h.fails || !strings.HasPrefix(first, "HTTP/1.1 "):
			t.Errorf("%.60q passes for an answer: %.300q", h.name, odd)
		}
		if strings.Contains(odd, canaryText) {
			t.Errorf("%s: the client gets %q", h.name, odd)
		}
	}
	t.Logf("%d heads tried, %d of them no answer; each between two good requests", len(heads), failed)
	if len(heads) < 150 || failed == 0 || failed == len(heads) {
		t.Error("too few were tried")
	}
}

// TestStrayBytes: what an engine says beyond an answer is nobody's, however
// many ask at once. The connection that it came on was given back to the pool
// with it.
func TestStrayBytes(t *testing.T) {
	e := &headEngine{}
	address := listenRaw(t, e.serve)
	r := startRelay(t, newStack(t).load(t))
	connectedWorker(t, r, "gpu-1", "http://"+address, 16, "m")
	e.say(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(wellSaid), wellSaid) + strings.Repeat(smuggled, 3))
	const clients, each = 16, 100
	var wrong atomic.Int32
	var running sync.WaitGroup
	for range clients {
		running.Go(func() {
			for range each {
				if status, _, body := ask(t, r.URL, laptopKey, askM); status != http.StatusOK || body != wellSaid {
					wrong.Add(1)
					t.Logf("%d %.300s", status, body)
				}
			}
		})
	}
	running.Wait()
	t.Logf("%d requests by %d clients at once: %d answers are not their own", clients*each, clients, wrong.Load())
	if wrong.Load() > 0 {
		t.Error("stray bytes of an engine were taken for an answer")
	}
}

func (e *headEngine) say(bytes string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.says = bytes
}

// kept is a client's one connection.
type kept struct {
	base   string
	conn   net.Conn
	reader *bufio.Reader
	raw    bytes.Buffer
}

func newKept(t *testing.T, base string) *kept {
	t.Helper()
	k := &kept{base: base}
	conn, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	k.conn, k.reader = conn, bufio.NewReader(io.TeeReader(conn, &k.raw))
	return k
}

func (k *kept) close() { k.conn.Close() }

// ask asks for a completion and returns the answer, head and body, with what
// differs each time left out. It fails where a line is none that may come.
func (k *kept) ask(t *testing.T, key secret.Value) string {
	t.Helper()
	fmt.Fprintf(k.conn, "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nX-Api-Key: %s\r\nContent-Length: %d\r\n\r\n%s", key.Reveal(), len(askM), askM)
	k.raw.Reset()
	response, err := http.ReadResponse(k.reader, nil)
	if err != nil {
		said := k.raw.String()
		k.close()
		*k = *newKept(t, k.base)
		return fmt.Sprintf("broken off after %q: %v", said, err)
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		k.close()
		*k = *newKept(t, k.base) // it was broken off
		return fmt.Sprintf("broken off after %s %q", response.Status, body)
	}
	names := response.Header.Clone()
	text := response.Proto + " " + response.Status + " \n"
	for name := range names {
		if !slices.Contains(mayCome, name) {
			t.Errorf("the answer has a field %s", name)
		}
	}
	for _, name := range mayCome {
		if name != "Date" && name != "X-Request-Id" {
			text += fmt.Sprintln(name, names[name])
		}
	}
	if n := k.reader.Buffered(); n > 0 {
		t.Errorf("%d bytes come behind the answer", n)
	}
	return text + string(body)
}
