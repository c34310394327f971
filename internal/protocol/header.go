package protocol

import (
	"net/http"
	"strings"
	"unicode/utf8"
)

// requestFields are the request header fields that travel to an engine, in
// canonical form. Anything else stays behind, so that no credential a client
// sends, under whatever name, reaches a GPU host. Both ends hold to it.
var requestFields = map[string]bool{
	"Accept":          true,
	"Content-Type":    true,
	"Idempotency-Key": true,
	"Traceparent":     true,
	"Tracestate":      true,
	"User-Agent":      true,
	"X-Request-Id":    true,
	"X-Session-Id":    true,
}

// requestPrefixes are what further forwarded fields begin with.
var requestPrefixes = []string{"Anthropic-", "Openai-", "X-Stainless-"}

// responseDropped are the response header fields that end at the hop they were
// made for, or speak for the site rather than for the answer.
var responseDropped = map[string]bool{
	"Alt-Svc":                   true,
	"Clear-Site-Data":           true,
	"Connection":                true,
	"Date":                      true,
	"Keep-Alive":                true,
	"Location":                  true,
	"Nel":                       true,
	"Proxy-Authenticate":        true,
	"Proxy-Authorization":       true,
	"Proxy-Connection":          true,
	"Public-Key-Pins":           true,
	"Refresh":                   true,
	"Report-To":                 true,
	"Reporting-Endpoints":       true,
	"Server":                    true,
	"Service-Worker-Allowed":    true,
	"Set-Cookie":                true,
	"Set-Cookie2":               true,
	"Strict-Transport-Security": true,
	"Te":                        true,
	"Trailer":                   true,
	"Transfer-Encoding":         true,
	"Upgrade":                   true,
	"Www-Authenticate":          true,
}

// responseDroppedPrefixes begin fields that are orders to a proxy: nginx serves
// a path of its own choice, or keeps an answer, where X-Accel-Redirect or
// X-Accel-Expires says so.
var responseDroppedPrefixes = []string{"X-Accel-", "X-Sendfile"}

// RequestFields picks what of a client's header travels to the engine.
func RequestFields(h http.Header) []Field { return pick(h, requestField) }

// RequestHeader makes the engine's header of fields, and holds them to the same
// list again.
func RequestHeader(fields []Field) http.Header {
	h := make(http.Header, len(fields)+2)
	add(h, fields, requestField)
	return h
}

// ResponseFields picks what of an engine's header travels to the client: all
// but what belongs to one hop, by its name or because Connection names it.
func ResponseFields(h http.Header) []Field {
	named := namedIn(h["Connection"])
	return pick(h, func(name string) bool { return responseField(name) && !named[name] })
}

// AddResponseFields adds to a client's header what of fields may travel to it,
// with all that is no valid field left out: a worker can't write lines of its
// own into an answer.
func AddResponseFields(h http.Header, fields []Field) {
	var connection []string
	for _, f := range fields {
		if http.CanonicalHeaderKey(f[0]) == "Connection" {
			connection = append(connection, f[1])
		}
	}
	named := namedIn(connection)
	add(h, fields, func(name string) bool { return responseField(name) && !named[name] })
}

func requestField(name string) bool {
	if requestFields[name] {
		return true
	}
	for _, prefix := range requestPrefixes {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

func responseField(name string) bool {
	for _, prefix := range responseDroppedPrefixes {
		if strings.HasPrefix(name, prefix) {
			return false
		}
	}
	return !responseDropped[name]
}

// namedIn are the fields that Connection names; nil for none.
func namedIn(connection []string) map[string]bool {
	var named map[string]bool
	for _, list := range connection {
		for name := range strings.SplitSeq(list, ",") {
			if named == nil {
				named = make(map[string]bool)
			}
			named[http.CanonicalHeaderKey(strings.TrimSpace(name))] = true
		}
	}
	return named
}

func pick(h http.Header, wanted func(canonical string) bool) []Field {
	fields := make([]Field, 0, len(h))
	for name, values := range h {
		if !wanted(http.CanonicalHeaderKey(name)) || !validName(name) {
			continue
		}
		for _, value := range values {
			if validValue(value) {
				fields = append(fields, Field{name, value})
			}
		}
	}
	return fields
}

func add(h http.Header, fields []Field, wanted func(canonical string) bool) {
	room := make([]string, len(fields)) // for the values of all, most of which stand alone
	for i, f := range fields {
		name := http.CanonicalHeaderKey(f[0])
		switch {
		case !validName(name) || !validValue(f[1]) || !wanted(name):
		case h[name] == nil:
			room[i] = f[1]
			h[name] = room[i : i+1 : i+1]
		default:
			h[name] = append(h[name], f[1])
		}
	}
}

// validName holds to RFC 9110's token.
func validName(name string) bool {
	for i := range len(name) {
		c := name[i]
		common := c == '-' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !common && strings.IndexByte("!#$%&'*+.^_`|~", c) < 0 {
			return false
		}
	}
	return name != ""
}

// validValue takes what JSON carries unchanged and a header line can hold.
func validValue(value string) bool {
	for i := range len(value) {
		if c := value[i]; c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return utf8.ValidString(value)
}
