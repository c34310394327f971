package protocol

import (
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"
)

// fieldList says which header fields travel.
type fieldList struct {
	names    map[string]bool // in canonical form
	prefixes []string        // what further ones begin with
}

// requestFields are what travels to an engine. Anything else stays behind, so
// that no credential a client sends, under whatever name, reaches a GPU host.
// Both ends hold to it.
var requestFields = fieldList{map[string]bool{
	"Accept":          true,
	"Content-Type":    true,
	"Idempotency-Key": true,
	"Traceparent":     true,
	"Tracestate":      true,
	"User-Agent":      true,
	"X-Request-Id":    true,
	"X-Session-Id":    true,
}, []string{"Anthropic-", "Openai-", "X-Stainless-"}}

// responseFields are what travels to a client: what describes the body, and
// what clients of these APIs read. Whatever else an engine says ends here, since
// a browser or a proxy on the way could take it for the site's own word.
var responseFields = fieldList{map[string]bool{
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
}, []string{"Anthropic-", "Openai-", "Ratelimit", "X-Ratelimit-"}}

// The types of body that programs decide by.
const (
	JSON        = "application/json"
	EventStream = "text/event-stream"
)

// bodyTypes are the types of body that an API answers with. Under any other
// one a browser might do something with it.
var bodyTypes = []string{JSON, "application/problem+json", "application/x-ndjson", EventStream, "text/plain"}

// MediaType is that of a body by its header, in lower case and without
// parameters; "" where it has none, or more than one.
func MediaType(h http.Header) string {
	if len(h["Content-Type"]) != 1 {
		return ""
	}
	media, _, _ := strings.Cut(h["Content-Type"][0], ";")
	return strings.ToLower(strings.TrimSpace(media))
}

// RequestFields picks what of a client's header travels to the engine.
func RequestFields(h http.Header) []Field { return requestFields.pick(h) }

// RequestHeader makes the engine's header of fields, and holds them to the same
// list again.
func RequestHeader(fields []Field) http.Header { return requestFields.header(fields) }

// ResponseFields picks what of an engine's header travels to the client.
func ResponseFields(h http.Header) []Field { return responseFields.pick(h) }

// ResponseHeader makes the client's header of fields, and holds them to the same
// list again: a worker can't write lines of its own into an answer. A body of
// another type than an API answers with is called bytes and nothing more.
func ResponseHeader(fields []Field) http.Header {
	h := responseFields.header(fields)
	if !slices.Contains(bodyTypes, MediaType(h)) {
		h["Content-Type"] = []string{"application/octet-stream"}
	}
	return h
}

// pick makes fields of what of h may travel.
func (l fieldList) pick(h http.Header) []Field {
	fields := make([]Field, 0, len(h))
	for name, values := range h {
		if !l.has(http.CanonicalHeaderKey(name), h["Connection"]) {
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

// header makes a header of what of fields may travel.
func (l fieldList) header(fields []Field) http.Header {
	var connection []string
	for _, f := range fields {
		if strings.EqualFold(f[0], "Connection") {
			connection = append(connection, f[1])
		}
	}
	h := make(http.Header, len(fields)+2)
	room := make([]string, len(fields)) // for the values of all, most of which stand alone
	for i, f := range fields {
		name := http.CanonicalHeaderKey(f[0])
		switch {
		case !validValue(f[1]) || !l.has(name, connection):
		case h[name] == nil:
			room[i] = f[1]
			h[name] = room[i : i+1 : i+1]
		default:
			h[name] = append(h[name], f[1])
		}
	}
	return h
}

// tokenBytes are those of a field's name, as RFC 9110 has it.
const tokenBytes = "!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// has reports whether the field of that canonical name travels: not where the
// header's Connection names it as belonging to one hop.
func (l fieldList) has(name string, connection []string) bool {
	if !l.names[name] {
		byPrefix := slices.ContainsFunc(l.prefixes, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
		if !byPrefix || strings.Trim(name, tokenBytes) != "" {
			return false
		}
	}
	for _, list := range connection {
		for hop := range strings.SplitSeq(list, ",") {
			if strings.EqualFold(strings.TrimSpace(hop), name) {
				return false
			}
		}
	}
	return true
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
