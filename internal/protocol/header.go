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

// responseFields are the response header fields that travel to a client, in
// canonical form: what describes the body, and what clients of these APIs read.
// Whatever else an engine says ends here, since a browser or a proxy on the way
// could take it for the site's own word.
var responseFields = map[string]bool{
	"Cache-Control":     true,
	"Content-Encoding":  true,
	"Content-Length":    true,
	"Content-Type":      true,
	"Deprecation":       true,
	"Request-Id":        true,
	"Retry-After":       true,
	"Retry-After-Ms":    true,
	"Server-Timing":     true,
	"Sunset":            true,
	"Traceparent":       true,
	"Tracestate":        true,
	"X-Correlation-Id":  true,
	"X-Process-Time":    true,
	"X-Processing-Time": true,
	"X-Request-Id":      true,
	"X-Response-Time":   true,
	"X-Session-Id":      true,
	"X-Should-Retry":    true,

	// Text Generation Inference
	"X-Compute-Characters": true,
	"X-Compute-Time":       true,
	"X-Compute-Type":       true,
	"X-Generated-Tokens":   true,
	"X-Inference-Time":     true,
	"X-Prompt-Tokens":      true,
	"X-Queue-Time":         true,
	"X-Time-Per-Token":     true,
	"X-Total-Time":         true,
	"X-Validation-Time":    true,
}

// responsePrefixes are what further fields that travel to a client begin with.
var responsePrefixes = []string{"Anthropic-", "Openai-", "Ratelimit", "X-Ratelimit-"}

// contentTypes are the types of body that an API answers with. Under any other
// one a browser might do something with it.
var contentTypes = map[string]bool{
	"application/json":         true,
	"application/problem+json": true,
	"application/x-ndjson":     true,
	"text/event-stream":        true,
	"text/plain":               true,
}

// RequestFields picks what of a client's header travels to the engine.
func RequestFields(h http.Header) []Field { return pick(h, requestField) }

// RequestHeader makes the engine's header of fields, and holds them to the same
// list again.
func RequestHeader(fields []Field) http.Header {
	h := make(http.Header, len(fields)+2)
	add(h, fields, requestField)
	return h
}

// ResponseFields picks what of an engine's header travels to the client, less
// what Connection names as belonging to one hop.
func ResponseFields(h http.Header) []Field {
	named := namedIn(h["Connection"])
	return pick(h, func(name string) bool { return responseField(name) && !named[name] })
}

// AddResponseFields adds to a client's header what of fields may travel to it,
// with all that is no valid field left out: a worker can't write lines of its
// own into an answer. A body of another type than an API answers with is called
// bytes and nothing more.
func AddResponseFields(h http.Header, fields []Field) {
	var connection []string
	for _, f := range fields {
		if http.CanonicalHeaderKey(f[0]) == "Connection" {
			connection = append(connection, f[1])
		}
	}
	named := namedIn(connection)
	add(h, fields, func(name string) bool { return responseField(name) && !named[name] })
	media, _, _ := strings.Cut(h.Get("Content-Type"), ";")
	if !contentTypes[strings.ToLower(strings.TrimSpace(media))] || len(h["Content-Type"]) > 1 {
		h.Set("Content-Type", "application/octet-stream")
	}
}

func requestField(name string) bool { return among(requestFields, requestPrefixes, name) }

func responseField(name string) bool { return among(responseFields, responsePrefixes, name) }

func among(names map[string]bool, prefixes []string, name string) bool {
	if names[name] {
		return true
	}
	for _, prefix := range prefixes {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
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

// PlainTarget reports whether a request's target is visible ASCII, as RFC 3986
// has it. Both ends hold to it.
func PlainTarget(target string) bool {
	for i := range len(target) {
		if c := target[i]; c <= ' ' || c >= 0x7f {
			return false
		}
	}
	return true
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
