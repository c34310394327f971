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
	"Proxy-Authenticate":        true,
	"Proxy-Authorization":       true,
	"Proxy-Connection":          true,
	"Server":                    true,
	"Set-Cookie":                true,
	"Strict-Transport-Security": true,
	"Te":                        true,
	"Trailer":                   true,
	"Transfer-Encoding":         true,
	"Upgrade":                   true,
	"Www-Authenticate":          true,
}

// RequestFields picks what of h travels to the engine.
func RequestFields(h http.Header) []Field {
	return pick(h, func(name string) bool {
		if requestFields[name] {
			return true
		}
		for _, prefix := range requestPrefixes {
			if strings.HasPrefix(name, prefix) {
				return true
			}
		}
		return false
	})
}

// ResponseFields picks what of h travels to the client: all but what belongs
// to one hop, by name or because Connection says so.
func ResponseFields(h http.Header) []Field {
	named := make(map[string]bool)
	for _, list := range h["Connection"] {
		for name := range strings.SplitSeq(list, ",") {
			named[http.CanonicalHeaderKey(strings.TrimSpace(name))] = true
		}
	}
	return pick(h, func(name string) bool { return !responseDropped[name] && !named[name] })
}

// Header makes a header of fields. It leaves out what is no valid field, so
// that the peer can't write lines of its own into a message.
func Header(fields []Field) http.Header {
	h := make(http.Header, len(fields))
	for _, f := range fields {
		if validName(f[0]) && validValue(f[1]) {
			h.Add(f[0], f[1])
		}
	}
	return h
}

func pick(h http.Header, wanted func(name string) bool) []Field {
	var fields []Field
	for name, values := range h {
		if !validName(name) || !wanted(http.CanonicalHeaderKey(name)) {
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

// validName holds to RFC 9110's token.
func validName(name string) bool {
	for i := range len(name) {
		c := name[i]
		alnum := '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !alnum && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
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
