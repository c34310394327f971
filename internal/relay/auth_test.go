package relay_test

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/relayctl/relayctl/internal/protocol"
	"github.com/relayctl/relayctl/internal/relay"
	"github.com/relayctl/relayctl/internal/secret"
)

// presented is one way to show a credential.
type presented struct {
	name  string
	lines []string // of the head
	query string
	body  string // beside what the route wants
	good  bool
}

// Keys that are good no longer, or not yet gone.
var (
	revokedKey  = secret.New("rk_revoked-revoked-revoked-revoked-revo-0")
	formerKey   = secret.New("rk_former-former-former-former-former-00")
	replacedKey = secret.New("rk_replaced-replaced-replaced-replaced-0")
)

// goodSpellings are all forms in which a key is taken.
func goodSpellings(key string) []presented {
	var all []presented
	for _, name := range []string{"Authorization", "authorization", "AUTHORIZATION", "aUtHoRiZaTiOn"} {
		for _, scheme := range []string{"Bearer ", "bearer ", "BEARER ", "bEaReR ", "Bearer   ", "Bearer \t"} {
			all = append(all, presented{name: name + " " + scheme, lines: []string{name + ": " + scheme + key}, good: true})
		}
	}
	for _, blank := range []string{":", ":\t", ": \t  "} {
		all = append(all, presented{name: "blanks around", lines: []string{"Authorization" + blank + "Bearer " + key + " \t"}, good: true})
	}
	return append(all, // folded lines are one, as RFC 9112 reads them
		presented{name: "folded", lines: []string{"Authorization: Bearer", " " + key}, good: true},
		presented{name: "folded by a tab", lines: []string{"Authorization:", "\tBearer " + key}, good: true})
}

// otherSpellings are all other ways to show one that somebody has been seen to
// take, or to pass over.
func otherSpellings(key string) []presented {
	bearer, basic := "Authorization: Bearer "+key, "Authorization: Basic "+base64.StdEncoding.EncodeToString([]byte(key+":"))
	all := []presented{
		{name: "nothing"},
		{name: "two bearers, the same", lines: []string{bearer, bearer}},
		{name: "two bearers, the first good", lines: []string{bearer, "Authorization: Bearer x"}},
		{name: "two bearers, the second good", lines: []string{"Authorization: Bearer x", bearer}},
		{name: "an empty one before", lines: []string{"Authorization:", bearer}},
		{name: "an empty one behind", lines: []string{bearer, "Authorization: "}},
		{name: "basic beside it", lines: []string{bearer, basic}},
		{name: "basic, the key as user", lines: []string{basic}},
		{name: "basic, the key as password", lines: []string{"Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte("x:"+key))}},
		{name: "basic, the key as it stands", lines: []string{"Authorization: Basic " + key}},
		{name: "digest", lines: []string{`Authorization: Digest username="` + key + `", response="` + key + `"`}},
		{name: "the hash", lines: []string{"Authorization: Bearer " + secret.New(key).Hash()}},
		{name: "the hash with its kind", lines: []string{"Authorization: Bearer sha256:" + secret.New(key).Hash()}},
		{name: "folded in the middle", lines: []string{"Authorization: Bearer " + key[:9], " " + key[9:]}},
		{name: "folded before it", lines: []string{"X: y", "\tAuthorization: Bearer " + key}},
		{name: "a blank before the colon", lines: []string{"Authorization : Bearer " + key}},
		{name: "a tab before the colon", lines: []string{"Authorization\t: Bearer " + key}},
		{name: "a blank before the name", lines: []string{"X: y", " Authorization: Bearer " + key}},
		{name: "no colon", lines: []string{"Authorization Bearer " + key}},
		{name: "a NUL in the name", lines: []string{"Authorization\x00: Bearer " + key}},
		{name: "behind a bare CR", lines: []string{"X: y\rAuthorization: Bearer " + key}},
		{name: "very long before it", lines: []string{"Authorization: Bearer " + strings.Repeat("x", 12<<10) + key}},
		{name: "very long behind it", lines: []string{bearer + strings.Repeat("x", 12<<10)}},
		{name: "over the limit", lines: []string{bearer + strings.Repeat("x", 64<<10)}},
		{name: "reversed", lines: []string{"Authorization: " + key + " Bearer"}},
		{name: "a list", lines: []string{bearer + ", Bearer x"}},
		{name: "a list of two good", lines: []string{bearer + "," + key}},
		{name: "parameters", lines: []string{bearer + "; a=b"}},
		{name: "token=", lines: []string{`Authorization: Bearer token="` + key + `"`}},
		{name: "in quotes", lines: []string{`Authorization: Bearer "` + key + `"`}},
		{name: "encoded in base64", lines: []string{"Authorization: Bearer " + base64.StdEncoding.EncodeToString([]byte(key))}},
		{name: "percent-encoded", lines: []string{fmt.Sprintf("Authorization: Bearer %%%02x%s", key[0], key[1:])}},
		{name: "upper case", lines: []string{"Authorization: Bearer " + strings.ToUpper(key)}},
		{name: "cut", lines: []string{"Authorization: Bearer " + key[:len(key)-1]}},
		{name: "cut before", lines: []string{"Authorization: Bearer " + key[1:]}},
		{name: "twice in one", lines: []string{bearer + key}},
		{name: "a cookie", lines: []string{"Cookie: Authorization=Bearer " + key + "; x-api-key=" + key + "; key=" + key}},
		{name: "the query", query: "?api_key=" + key + "&key=" + key + "&access_token=" + key + "&authorization=Bearer%20" + key + "&x-api-key=" + key},
		{name: "the body", body: `,"api_key":"` + key + `","authorization":"Bearer ` + key + `","x-api-key":"` + key + `"`},
	}
	for _, scheme := range []string{"", "Bearer", "Bearer:", "Bearer: ", "Bearer=", "Bearer\t", "Bearer,", "BearerX ", "XBearer ", "Bearer Bearer ", "Token ", "Key ", "ApiKey ", "OAuth ",
		"Negotiate ", "NTLM ", "HOBA ", "DPoP ", "Bеarer ", "Ｂearer ", "Bearer\u00a0", "Bearer\u2003", "\ufeffBearer ", "\"Bearer\" "} {
		all = append(all, presented{name: "scheme " + scheme, lines: []string{"Authorization: " + scheme + key}})
	}
	for _, odd := range []string{"\x00", "\x01", "\x0b", "\x0c", "\x1b", "\x7f", "\u00a0", "\u0085", "\u1680", "\u2003", "\u2028", "\u3000", "\u200b", "\ufeff", "\u202e", "\xff", "\xc0\x80"} {
		all = append(all, presented{name: fmt.Sprintf("%q before", odd), lines: []string{"Authorization: Bearer " + odd + key}},
			presented{name: fmt.Sprintf("%q behind", odd), lines: []string{bearer + odd}},
			presented{name: fmt.Sprintf("%q inside", odd), lines: []string{"Authorization: Bearer " + key[:9] + odd + key[9:]}})
	}
	for _, name := range []string{"Proxy-Authorization", "X-Authorization", "Authorisation", "Authorization_", "X-Forwarded-Authorization", "X-Original-Authorization", "HTTP_AUTHORIZATION",
		"Authentication", "WWW-Authenticate", "Authorization-Info", "Sec-WebSocket-Protocol", "From", "Api-Key", "ApiKey", "X-Api_Key", "X_Api_Key", "X-ApiKey", "X-Api-Key-", "X-Auth-Token",
		"X-Access-Token", "X-Goog-Api-Key", "Token", "OpenAI-Api-Key", "Anthropic-Api-Key"} {
		all = append(all, presented{name: name, lines: []string{name + ": Bearer " + key}}, presented{name: name + " bare", lines: []string{name + ": " + key}})
	}
	return all
}

// keySpellings are those of a client, who may use X-Api-Key, too.
func keySpellings(key string) []presented {
	bearer := "Authorization: Bearer " + key
	all := append(goodSpellings(key), otherSpellings(key)...)
	for _, name := range []string{"x-api-key", "X-Api-Key", "X-API-KEY"} {
		for _, blank := range []string{"", " ", "\t", " \t "} {
			all = append(all, presented{name: name, lines: []string{name + ":" + blank + key + blank}, good: true})
		}
	}
	all = append(all,
		presented{name: "both agree", lines: []string{bearer, "X-Api-Key: " + key}, good: true},
		presented{name: "both agree, the other way round", lines: []string{"x-api-key: " + key, bearer}, good: true})
	for _, lines := range [][]string{
		{"X-Api-Key: " + key, "X-Api-Key: " + key}, {"X-Api-Key: " + key, "X-Api-Key: x"}, {"X-Api-Key: x", "X-Api-Key: " + key}, {"X-Api-Key: ", "X-Api-Key: " + key},
		{"X-Api-Key: " + key, "Authorization: Bearer x"}, {"X-Api-Key: x", bearer}, {"X-Api-Key:", bearer}, {"X-Api-Key: " + key, "Authorization:"}, {"X-Api-Key: " + key, "Authorization: Basic x"},
		{"X-Api-Key: " + key, "Authorization: Bearer"}, {"X-Api-Key: Bearer " + key}, {"X-Api-Key: " + key + ", " + key}, {"X-Api-Key: " + key + "\u00a0"}, {"X-Api-Key: \u3000" + key},
		{"X-Api-Key: " + key + "\x00"}, {"X-Api-Key: " + secret.New(key).Hash()}, {"X-Api-Key : " + key}, {"X-Api-Key: " + strings.ToUpper(key)}, {"X-Api-Key: " + key[:len(key)-1]},
	} {
		all = append(all, presented{name: strings.Join(lines, " and "), lines: lines})
	}
	for name, other := range map[string]string{
		"an expired key": oldKey.Reveal(), "a revoked key": revokedKey.Reveal(), "a replaced key whose time is over": replacedKey.Reveal(), "a worker's secret": workerSecret("gpu-1").Reveal(),
		"a worker's name": "gpu-1", "a key's name": "laptop", "null": "null", "undefined": "undefined", "a wildcard": "*", "SQL": "' OR 1=1 --", "a glob": "rk_*", "nothing but blanks": "  ",
	} {
		all = append(all, presented{name: name, lines: []string{"Authorization: Bearer " + other}}, presented{name: name + " as x-api-key", lines: []string{"X-Api-Key: " + other}},
			presented{name: name + " beside a good key", lines: []string{"Authorization: Bearer " + other, "X-Api-Key: " + key}})
	}
	return append(all, presented{name: "a former key in its time", lines: []string{"X-Api-Key: " + formerKey.Reveal()}, good: true})
}

// authStack is a stack with keys in every state.
func authStack(t *testing.T) *running {
	t.Helper()
	st := newStack(t)
	st.keys[0].Former = []relay.FormerKey{{Hash: formerKey.Hash(), Expires: "2999-12-31"}, {Hash: replacedKey.Hash(), Expires: "1999-12-31"}}
	st.keys = append(st.keys, relay.KeyEntry{Name: "revoked", Hash: revokedKey.Hash()})
	r := startRelay(t, st.load(t))
	if status, _ := raw(t, r.URL, "GET", "/v1/models", revokedKey); status != http.StatusOK {
		t.Fatalf("the key that is to be revoked got %d", status)
	}
	st.keys = st.keys[:len(st.keys)-1]
	if err := r.Reload(st.load(t)); err != nil {
		t.Fatal(err)
	}
	return r
}

// TestOnlyTheRightKeyPasses, in whatever way another is shown, on every route,
// in both versions of HTTP, alone and between good requests on one connection.
func TestOnlyTheRightKeyPasses(t *testing.T) {
	r := authStack(t)
	connectedWorker(t, r, "gpu-1", echoEngine(t).URL, 4, "m")
	good := presented{lines: []string{"Authorization: Bearer " + laptopKey.Reveal()}, good: true}
	tried, passed, refused := 0, 0, 0
	for _, p := range keySpellings(laptopKey.Reveal()) {
		for _, route := range []string{"GET /v1/models", "GET /v1/models/m", "POST /v1/chat/completions"} {
			for _, way := range []struct {
				version string
				all     []presented
			}{{"HTTP/1.0", []presented{p}}, {"HTTP/1.1", []presented{p}}, {"HTTP/1.1", []presented{good, p, good}}} {
				var request strings.Builder
				for i, each := range way.all {
					request.WriteString(each.request(route, way.version, i == len(way.all)-1))
				}
				answers := exchange(t, r.URL, request.String())
				at := len(way.all) / 2 // of the one that is tried
				tried++
				if at >= len(answers) && !p.good { // it hung up, with more of the request on its way
					refused++
					continue
				}
				if at >= len(answers) {
					t.Errorf("%s, %s %s: %d answers", p.name, way.version, route, len(answers))
					continue
				}
				for i, answer := range answers {
					want := i != at || p.good
					if got := answer.status == http.StatusOK; got != want || !got && answer.status != 401 && answer.status != 400 && answer.status != 431 {
						t.Errorf("%s, %s %s: answer %d of %d is %d %s", p.name, way.version, route, i, len(answers), answer.status, answer.body)
					}
				}
				if strings.Contains(answers[at].body, laptopKey.Reveal()) && !strings.HasPrefix(route, "POST") {
					t.Errorf("%s: the answer repeats the key", p.name)
				}
				if answers[at].status == http.StatusOK {
					passed++
				} else {
					refused++
				}
			}
		}
	}
	trailer := exchange(t, r.URL, "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\nTrailer: Authorization, X-Api-Key\r\n\r\n"+
		"d\r\n{\"model\":\"m\"}\r\n0\r\nAuthorization: Bearer "+laptopKey.Reveal()+"\r\nX-Api-Key: "+laptopKey.Reveal()+"\r\n\r\n")
	if tried++; len(trailer) != 1 || trailer[0].status != http.StatusUnauthorized {
		t.Errorf("a key in a trailer: %+v", trailer)
	}
	t.Logf("%d requests tried: %d with the right key passed, %d were refused", tried, passed, refused)
	if tried < 1000 || passed == 0 || refused == 0 {
		t.Error("too few were tried")
	}
}

// TestOnlyTheRightSecretConnects: the same for workers, whose only way is
// Authorization.
func TestOnlyTheRightSecretConnects(t *testing.T) {
	r := authStack(t)
	key := workerSecret("gpu-1").Reveal()
	upgrade := []string{"Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Protocol: " + protocol.Subprotocol}
	all := append(goodSpellings(key)[2:], otherSpellings(key)...) // no more than may connect in one go
	for _, other := range []secret.Value{laptopKey, narrowKey, oldKey, probeKey, formerKey, revokedKey, workerSecret("gpu-9")} {
		all = append(all, presented{name: "another's", lines: []string{"Authorization: Bearer " + other.Reveal()}})
	}
	all = append(all, presented{name: "x-api-key", lines: []string{"X-Api-Key: " + key}}, presented{name: "both", lines: []string{"X-Api-Key: " + key, "Authorization: Bearer x"}})
	tried, passed := 0, 0
	for _, p := range all {
		for _, version := range []string{"HTTP/1.1", "HTTP/1.0"} {
			if p.good && version == "HTTP/1.0" {
				continue // it has no upgrade; there is no need to say what comes of it
			}
			p.lines = append(p.lines[:len(p.lines):len(p.lines)], upgrade...)
			answers := exchange(t, r.URL, p.request("GET "+protocol.ConnectPath, version, false))
			tried++
			switch {
			case len(answers) == 0 && !p.good: // it hung up, with more of the request on its way
			case len(answers) != 1:
				t.Errorf("%s, %s: %d answers", p.name, version, len(answers))
			case p.good != (answers[0].status == http.StatusSwitchingProtocols):
				t.Errorf("%s, %s: %d %s", p.name, version, answers[0].status, answers[0].body)
			case p.good:
				passed++
			case !slices.Contains([]int{400, 401, 429, 431}, answers[0].status): // 429: after so many wrong ones
				t.Errorf("%s, %s: %d %s", p.name, version, answers[0].status, answers[0].body)
			}
		}
	}
	t.Logf("%d connections tried: %d with the right secret came in", tried, passed)
	if tried < 200 || passed == 0 {
		t.Error("too few were tried")
	}
}

// request is a request on the wire.
func (p presented) request(route, version string, last bool) string {
	method, path, _ := strings.Cut(route, " ")
	lines := append([]string{method + " " + path + p.query + " " + version, "Host: x"}, p.lines...)
	if last {
		lines = append(lines, "Connection: close")
	}
	body := ""
	if method == "POST" {
		body = `{"model":"m"` + p.body + `}`
		lines = append(lines, fmt.Sprintf("Content-Length: %d", len(body)))
	}
	return strings.Join(lines, "\r\n") + "\r\n\r\n" + body
}

// said is an answer.
type said struct {
	status int
	header http.Header
	body   string
}

// exchange sends bytes as they stand on a connection of their own, and reads
// what comes until the relay hangs up or changes to another protocol.
func exchange(t *testing.T, base, request string) (all []said) {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	io.WriteString(conn, request) // it may be refused before all of it is sent
	if strings.Contains(request, protocol.ConnectPath) {
		conn.(*net.TCPConn).CloseWrite()
	}
	reader := bufio.NewReader(conn)
	for {
		response, err := http.ReadResponse(reader, nil)
		if err != nil {
			return all
		}
		if response.StatusCode == http.StatusSwitchingProtocols {
			return append(all, said{response.StatusCode, response.Header, ""})
		}
		body, err := io.ReadAll(response.Body)
		all = append(all, said{response.StatusCode, response.Header, string(body)})
		if err != nil { // it hung up, with more of the request on its way
			return all
		}
	}
}
