package relay_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/relayctl/relayctl/internal/secret"
)

func do(t testing.TB, r *http.Request) (status int, body string) {
	t.Helper()
	response, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(data)
}

// TestRoutes: only what is served is served, to those it is for, under its
// exact path. Targets are written raw, since a client library would tidy them.
func TestRoutes(t *testing.T) {
	r := startRelay(t, newStack(t).load(t))
	none, user, worker := secret.Value{}, laptopKey, workerSecret("gpu-1")
	tests := []struct {
		method, target     string
		none, user, worker int // status for each credential
	}{
		{"GET", "/health", 200, 200, 200},
		{"GET", "/v1/models", 401, 200, 401},
		{"GET", "/v1/models?x=1", 401, 200, 401},
		{"POST", "/v1/models", 405, 405, 405},
		{"HEAD", "/v1/models", 405, 405, 405},
		{"GET", "/v1/models/m", 401, 200, 401},
		{"GET", "/v1/models/m?x=1", 401, 200, 401},
		{"GET", "/v1/models/", 401, 404, 401},
		{"GET", "/v1/models/nobodys", 401, 404, 401},
		{"GET", "/v1/models/../models", 401, 404, 401},
		{"GET", "/v1/models/%2e%2e", 401, 404, 401},
		{"DELETE", "/v1/models/m", 405, 405, 405},
		{"GET", "/v1/chat/completions", 405, 405, 405},
		{"POST", "/v1/chat/completions", 401, 400, 401}, // without a body
		{"GET", "/v1/worker/connect", 426, 426, 426},
		{"GET", "/", 404, 404, 404},
		{"GET", "/metrics", 404, 404, 404},
		{"GET", "/v1/status", 404, 404, 404},
		{"POST", "/v1/drain", 404, 404, 404},
		{"POST", "/v1/chat/completions/", 404, 404, 404},
		{"POST", "/v1//chat/completions", 404, 404, 404},
		{"POST", "//v1/chat/completions", 404, 404, 404},
		{"POST", "/v1/../v1/chat/completions", 404, 404, 404},
		{"POST", "/v1/%63hat/completions", 404, 404, 404},
		{"POST", "/v1/chat/completions%3fx", 404, 404, 404},
		{"POST", "http://other/v1/chat/completions", 404, 404, 404},
		{"POST", "/v1/chat/completions?\xff", 404, 404, 404},
		{"POST", "/v1/completions", 404, 404, 404},
		{"POST", "/invocations", 404, 404, 404},
		{"POST", "/v1/load_lora_adapter", 404, 404, 404},
		{"OPTIONS", "*", 404, 404, 404},
		{"PRI", "*", 404, 404, 404},
	}
	for _, target := range spellings() {
		for _, method := range []string{"GET", "POST"} {
			tests = append(tests, struct {
				method, target     string
				none, user, worker int
			}{method, target, 404, 404, 404})
		}
	}
	for _, path := range []string{"/v1/models", "/v1/chat/completions", "/v1/worker/connect", "/health"} {
		for _, method := range []string{"HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "TRACK", "DEBUG", "CONNECT", "PROPFIND", "PURGE", "get", "Post", "GET1", "X"} {
			tests = append(tests, struct {
				method, target     string
				none, user, worker int
			}{method, path, 405, 405, 405})
		}
	}
	for _, test := range tests {
		for _, as := range []struct {
			name string
			key  secret.Value
			want int
		}{{"nobody", none, test.none}, {"a user", user, test.user}, {"a worker", worker, test.worker}} {
			status, body := raw(t, r.URL, test.method, test.target, as.key)
			if status != as.want {
				t.Errorf("%s %s as %s: %d, want %d", test.method, test.target, as.name, status, as.want)
			}
			if status >= 400 && test.method != "HEAD" {
				errorCode(t, body)
			}
		}
	}
	t.Logf("%d requests tried", 3*len(tests))
	if len(tests) < 200 {
		t.Error("too few were tried")
	}
}

// spellings are targets that somebody has been seen to take for one that is
// served. None is.
func spellings() (all []string) {
	paths := []string{"/v1/models", "/v1/chat/completions", "/v1/worker/connect", "/health"}
	for _, path := range paths {
		name := path[1:]
		all = append(all,
			path+"/", path+"//", path+"/.", path+"/..;", path+"/./", path+"/x/..", path+";", path+";a=b", path+";/", path+"%00", path+"%0a", path+"%20", path+"%2f", path+"%3f", path+"%23", path+"#", path+"#?",
			path+".", path+".json", path+"~", path+"*", path+"&", path+"%", path+"%zz"[:1], path+"\\", path+"%5c", path+":443", path+"\u00e9", path+strings.Repeat("/", 3000), path+strings.Repeat("x", 8000),
			"/"+path, "//"+path, "/."+path, "/.."+path, "/./"+name, "/../"+name, "/x/../"+name, "/x/..;/"+name, "/;/"+name, "/;x"+path, "/%2e%2e"+path, "/%2e"+path, "/%2f"+name, "/%5c"+name, "\\"+name, "/\\"+name, "/%00"+path,
			strings.ToUpper(path), path[:len(path)-1]+strings.ToUpper(path[len(path)-1:]), fmt.Sprintf("/%%%02x%s", name[0], name[1:]), fmt.Sprintf("/%%%02X%s", name[0], name[1:]), fmt.Sprintf("/%%25%02x%s", name[0], name[1:]),
			strings.ReplaceAll(path, "o", "%6f"), strings.ReplaceAll(path, "e", "%u0065"), strings.ReplaceAll(path[1:], "/", "//"), "/"+strings.ReplaceAll(name, "/", "%2f"), "/"+strings.ReplaceAll(name, "/", "\\"), "/"+strings.ReplaceAll(name, "/", "/./"),
			"http://x"+path, "https://x"+path, "HTTP://X"+path, "http://x:80"+path, "http://user@x"+path, "http://127.0.0.1:8080"+path, "//x"+path, "ftp://x"+path, "http://x/"+path, "http:"+path, "x:"+path, "/http://x"+path,
			"/v2"+path[min(3, len(path)):], "/v1/x/.."+path, "/api"+path, "/v1"+path, "/metrics/.."+path)
	}
	bad := func(target string) bool { // what net/http itself refuses, with 400 and no body of ours
		_, err := url.ParseRequestURI(target)
		return err != nil || slices.Contains(paths, target) || strings.HasPrefix(target, "/v1/models/") // any name of a model
	}
	return slices.DeleteFunc(all, bad)
}

// TestTargetsThatAreNone are refused before any route.
func TestTargetsThatAreNone(t *testing.T) {
	r := startRelay(t, newStack(t).load(t))
	tried := 0
	for _, line := range []string{
		"GET", "GET ", "GET /v1/models", "GET  /v1/models HTTP/1.1", "GET /v1/models  HTTP/1.1", "GET\t/v1/models HTTP/1.1", "GET /v1/models\tHTTP/1.1", "GET /v1/models HTTP/1.1 x", " GET /v1/models HTTP/1.1", "GET v1/models HTTP/1.1",
		"GET ?/v1/models HTTP/1.1", "GET #/v1/models HTTP/1.1", "GET /v1/ models HTTP/1.1", "GET /v1/models%zz HTTP/1.1", "GET /v1/models\x00 HTTP/1.1", "GET /v1/models HTTP/0.9", "GET /v1/models HTTP/2.0", "GET /v1/models HTTP/3",
		"GET /v1/models http/1.1", "GET /v1/models HTTP/1.1\r", "GET /v1/models HTTPS/1.1", "GET /v1/models", "G\x00T /v1/models HTTP/1.1", "G(T /v1/models HTTP/1.1", "\x16\x03\x01\x02\x00\x01", "GET /" + strings.Repeat("x", 40_000) + " HTTP/1.1",
		"CONNECT x:443 HTTP/1.1", "CONNECT 127.0.0.1:8081 HTTP/1.1", "CONNECT /v1/models?x HTTP/1.1", "CONNECT x HTTP/1.1", "TRACE / HTTP/1.1", "OPTIONS * HTTP/1.1", "PRI * HTTP/2.0", "GET * HTTP/1.1", "GET x:443 HTTP/1.1",
	} {
		for _, host := range []string{"Host: x", "Host: 127.0.0.1:8081", "Host: a b", "Host: x\r\nHost: y", "Host: ../x", "Host: \x00", "Host:", "X: y", "Host: x/v1/models", "Host: [::1", "Host: user@x", "Host: " + strings.Repeat("x", 9000)} {
			for _, answer := range exchange(t, r.URL, line+"\r\n"+host+"\r\nAuthorization: Bearer "+laptopKey.Reveal()+"\r\nConnection: close\r\n\r\n") {
				if answer.status < 400 || strings.Contains(answer.body, `"renamed"`) || answer.header.Get("Location") != "" {
					t.Errorf("%.80q with %.40q: %d %s", line, host, answer.status, answer.body)
				}
			}
			tried++
		}
	}
	for _, host := range []string{"Host: a b", "Host: x\r\nHost: y", "Host: ../x", "Host: \x00", "X: y", "Host: x/y", "Host: a\x7f", "Host : x", "Host: x\r\n y"} {
		answers := exchange(t, r.URL, "GET /v1/models HTTP/1.1\r\n"+host+"\r\nAuthorization: Bearer "+laptopKey.Reveal()+"\r\nConnection: close\r\n\r\n")
		if tried++; len(answers) != 1 || answers[0].status != http.StatusBadRequest {
			t.Errorf("%q: %+v", host, answers)
		}
	}
	t.Logf("%d requests tried", tried)
}

// raw sends a request line as it stands.
func raw(t *testing.T, base, method, target string, key secret.Value) (status int, body string) {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n", method, target)
	if !key.IsZero() {
		fmt.Fprintf(conn, "Authorization: Bearer %s\r\n", key.Reveal())
	}
	io.WriteString(conn, "\r\n")
	response, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%s %s: %v", method, target, err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(data)
}

func TestModelsAreThoseTheKeyMayUse(t *testing.T) {
	r := startRelay(t, newStack(t).load(t))
	tests := []struct {
		key  secret.Value
		want []string
	}{
		{laptopKey, []string{"m", "other", "renamed"}},
		{narrowKey, []string{"other"}},
	}
	for _, test := range tests {
		_, body := raw(t, r.URL, "GET", "/v1/models", test.key)
		var list struct {
			Object string
			Data   []struct {
				ID, Object string
				Created    int64
				OwnedBy    string `json:"owned_by"`
			}
		}
		if err := json.Unmarshal([]byte(body), &list); err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, m := range list.Data {
			got = append(got, m.ID)
			if m.Object != "model" || m.Created == 0 || m.OwnedBy == "" {
				t.Errorf("got %+v", m)
			}
		}
		if diff := cmp.Diff(test.want, got); diff != "" || list.Object != "list" {
			t.Errorf("models (-want +got):\n%s", diff)
		}
	}
	if status, body := raw(t, r.URL, "GET", "/v1/models", probeKey); status != 403 || errorCode(t, body) != "probe_only" {
		t.Errorf("the probe key got %d %s", status, body)
	}
}

// One model is the same object as in the list, whether its name is escaped or
// not, and for a key that may not use it there is none.
func TestOneModel(t *testing.T) {
	st := newStack(t)
	st.workers[1].Models = append(st.workers[1].Models, "org/llama3.2:3b")
	r := startRelay(t, st.load(t))
	_, list := raw(t, r.URL, "GET", "/v1/models", laptopKey)
	for _, target := range []string{"org/llama3.2:3b", "org%2Fllama3.2%3A3b", "m"} {
		status, body := raw(t, r.URL, "GET", "/v1/models/"+target, laptopKey)
		if object := strings.TrimSpace(body); status != 200 || !strings.Contains(list, object) {
			t.Errorf("%s: got %d %s, which is not in %s", target, status, object, list)
		}
	}
	if status, body := raw(t, r.URL, "GET", "/v1/models/m", narrowKey); status != 404 || errorCode(t, body) != "model_not_found" {
		t.Errorf("a key for another model got %d %s", status, body)
	}
	if status, body := raw(t, r.URL, "GET", "/v1/models/m", probeKey); status != 403 || errorCode(t, body) != "probe_only" {
		t.Errorf("the probe key got %d %s", status, body)
	}
}

// TestRequestsThatCouldBeTwo: what proxies and servers have been seen to
// disagree about gets one refusal, and nothing after it is taken for a request.
func TestRequestsThatCouldBeTwo(t *testing.T) {
	r := startRelay(t, newStack(t).load(t))
	post := "POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n"
	requests := []string{
		post + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
		post + "Content-Length: +5\r\n\r\nhello",
		post + "Content-Length: 0x5\r\n\r\nhello",
		post + "Content-Length: 5_0\r\n\r\nhello",
		post + "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
		post + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
		post + "Content-Length : 5\r\n\r\nhello",
		post + "X: a\rb\r\n\r\n",
		post + "X: a\x00b\r\n\r\n",
		"POST /v1/chat/completions HTTP/1.1\r\n\r\n",
		"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
	}
	for _, request := range requests {
		conn, err := net.Dial("tcp", strings.TrimPrefix(r.URL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(conn, request+"GET /v1/models HTTP/1.1\r\nHost: canary\r\nConnection: close\r\n\r\n")
		answer, err := io.ReadAll(conn)
		refused := strings.HasPrefix(string(answer), "HTTP/1.1 4") || strings.HasPrefix(string(answer), "HTTP/1.1 501")
		if n := strings.Count(string(answer), "HTTP/1.1 "); err != nil || n != 1 || !refused {
			t.Errorf("%q got %d answers: %q, %v", request, n, answer, err)
		}
		conn.Close()
	}
	t.Logf("%d requests tried", len(requests))
}
