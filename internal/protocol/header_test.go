package protocol_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/relayctl/relayctl/internal/protocol"
)

func names(fields []protocol.Field) []string {
	var all []string
	for _, f := range fields {
		all = append(all, f[0])
	}
	slices.Sort(all)
	return all
}

func TestRequestFieldsAreAList(t *testing.T) {
	h := http.Header{}
	for _, name := range []string{
		"Accept", "Content-Type", "User-Agent", "X-Request-Id", "Traceparent", "OpenAI-Beta", "anthropic-version", "x-stainless-lang",
		"Authorization", "X-Api-Key", "Api-Key", "Cookie", "Proxy-Authorization", "X-Forwarded-For", "Forwarded", "Host", "Connection",
		"Content-Length", "Transfer-Encoding", "Accept-Encoding", "X-Goog-Api-Key", "X-Relay-Internal",
	} {
		h.Set(name, "value")
	}
	want := []string{"Accept", "Anthropic-Version", "Content-Type", "Openai-Beta", "Traceparent", "User-Agent", "X-Request-Id", "X-Stainless-Lang"}
	sent := protocol.RequestFields(h)
	if diff := cmp.Diff(want, names(sent)); diff != "" {
		t.Errorf("sent (-want +got):\n%s", diff)
	}
	sent = append(sent, protocol.Field{"authorization", "Bearer x"}, protocol.Field{"Accept", "a\r\nEvil: 1"})
	var got []string
	for name := range protocol.RequestHeader(sent) {
		got = append(got, name)
	}
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("taken (-want +got):\n%s", diff)
	}
}

func TestResponseFields(t *testing.T) {
	h := http.Header{
		"Content-Type": {"a"}, "X-Ratelimit-Remaining": {"1", "2"}, "Retry-After": {"3"}, "openai-processing-ms": {"4"}, "Ratelimit": {"5"},
		"X-Two": {"1"}, "Access-Control-Allow-Origin": {"*"}, "Content-Security-Policy": {"x"}, "Link": {"x"}, "Content-Disposition": {"x"},
		"Connection": {"close, x-request-id", "Server-Timing"}, "X-Request-Id": {"1"}, "Server-Timing": {"1"},
		"Transfer-Encoding": {"chunked"}, "Set-Cookie": {"a=b"}, "X-Bad": {"\xff"},
		"X-Accel-Redirect": {"/private/file"}, "x-accel-expires": {"3600"}, "X-Sendfile": {"/etc/passwd"},
		"Refresh": {"0; url=https://elsewhere.example"}, "Service-Worker-Allowed": {"/"},
	}
	want := []string{"Content-Type", "Ratelimit", "Retry-After", "X-Ratelimit-Remaining", "X-Ratelimit-Remaining", "openai-processing-ms"}
	if diff := cmp.Diff(want, names(protocol.ResponseFields(h))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestContentTypeIsAnAPIs: nothing that a browser would do anything with.
func TestContentTypeIsAnAPIs(t *testing.T) {
	tests := []struct {
		said []string
		want string
	}{
		{[]string{"application/json"}, "application/json"},
		{[]string{"Text/Event-Stream; charset=utf-8"}, "Text/Event-Stream; charset=utf-8"},
		{[]string{"text/html"}, "application/octet-stream"},
		{[]string{"image/svg+xml"}, "application/octet-stream"},
		{[]string{"application/json, text/html"}, "application/octet-stream"},
		{[]string{"application/json", "text/html"}, "application/octet-stream"},
		{nil, "application/octet-stream"},
	}
	for _, test := range tests {
		var fields []protocol.Field
		for _, value := range test.said {
			fields = append(fields, protocol.Field{"content-type", value})
		}
		h := protocol.ResponseHeader(fields)
		if diff := cmp.Diff([]string{test.want}, h["Content-Type"]); diff != "" {
			t.Errorf("%q (-want +got):\n%s", test.said, diff)
		}
	}
}

// FuzzResponseFields: whatever a worker sends, no hop's field, no second line
// and no invalid name comes of it.
func FuzzResponseFields(f *testing.F) {
	f.Add("X-A", "1", "connection", "x-a")
	f.Add("set-cookie", "a", "X\r\nY", "b")
	f.Add("X-A", "a\r\nSet-Cookie: b", "", "")
	f.Add("x-accel-redirect", "/private", "", "")
	f.Fuzz(func(t *testing.T, name, value, other, otherValue string) {
		h := protocol.ResponseHeader([]protocol.Field{{name, value}, {other, otherValue}})
		var text strings.Builder
		if err := h.Write(&text); err != nil {
			t.Fatal(err)
		}
		lines := 0
		for _, values := range h {
			lines += len(values)
		}
		if strings.Count(text.String(), "\n") != lines || strings.Count(text.String(), "\r") != lines {
			t.Fatalf("%d fields printed as %q", lines, text.String())
		}
		for _, name := range []string{"Set-Cookie", "Connection", "Transfer-Encoding", "Location", "X-Accel-Redirect"} {
			if h.Get(name) != "" {
				t.Fatalf("%s came through", name)
			}
		}
	})
}
