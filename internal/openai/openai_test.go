package openai_test

import (
	"bytes"
	"errors"
	"io"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/relayctl/relayctl/internal/openai"
)

func TestErrorTravels(t *testing.T) {
	sent := &openai.Error{Status: 503, Type: openai.TypeServer, Code: "queue_full", Message: `busy "now"`, RetryAfter: 1500 * time.Millisecond}
	w := httptest.NewRecorder()
	sent.Write(w)
	if w.Code != 503 || w.Header().Get("Retry-After") != "2" || w.Header().Get("Content-Type") != "application/json" {
		t.Fatalf("got %d %v", w.Code, w.Header())
	}
	want := `{"error":{"message":"busy \"now\"","type":"server_error","param":null,"code":"queue_full"}}` + "\n"
	if diff := cmp.Diff(want, w.Body.String()); diff != "" {
		t.Fatalf("body (-want +got):\n%s", diff)
	}
	got, ok := openai.ParseError(w.Body.Bytes())
	if !ok || got.Code != sent.Code || got.Message != sent.Message || got.Type != sent.Type {
		t.Fatalf("parsed %+v, %v", got, ok)
	}
	event, err := openai.NewEventReader(strings.NewReader(string(sent.Event()))).Next()
	if err != nil {
		t.Fatal(err)
	}
	if got, ok := openai.ParseError(event); !ok || got.Code != sent.Code {
		t.Fatalf("parsed from event %+v, %v", got, ok)
	}
}

func TestParseErrorOfEngines(t *testing.T) {
	tests := []struct {
		body string
		want *openai.Error
	}{
		{`{"error":{"message":"The model is gone","type":"NotFoundError","param":"model","code":404}}`,
			&openai.Error{Message: "The model is gone", Type: "NotFoundError", Param: "model", Code: "404"}},
		{`{"error":"model not found"}`, &openai.Error{Message: "model not found"}},
		{`{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}`, // llama.cpp
			&openai.Error{Message: "Loading model", Type: "unavailable_error", Code: "503"}},
		{`{"object":"error","message":"The model does not exist.","type":"NotFoundError","param":null,"code":404}`, // vLLM before 0.10
			&openai.Error{Message: "The model does not exist.", Type: "NotFoundError", Code: "404"}},
		{`{"detail":"Not authenticated"}`, &openai.Error{Message: "Not authenticated"}},
		{`{"detail":[{"type":"missing","loc":["body","messages"],"msg":"Field required","input":{}}]}`, // FastAPI's 422
			&openai.Error{Message: "Field required"}},
		{`{"detail":{"error":"busy"}}`, &openai.Error{Message: "busy"}},
		{`{"detail":[]}`, &openai.Error{}},
		{`{"error":{"message":{"error":{"message":"deep"}}}}`, &openai.Error{Message: "deep"}},
		{`{"error":[{"message":"in a list"}]}`, &openai.Error{Message: "in a list"}},
		{`{"error":false,"choices":[]}`, nil},
		{`{"message":"no Route matched with those values"}`, &openai.Error{Message: "no Route matched with those values"}}, // Kong
		{`{"model":"m","message":{"role":"assistant","content":"hi"},"done":true}`, nil},                                   // Ollama's own form of an answer
		{`{"object":"chat.completion.chunk","choices":[],"detail":"x"}`, nil},
		{`"text"`, nil},
		{`{"error":null,"choices":[]}`, nil},
		{`{"choices":[]}`, nil},
		{`nonsense`, nil},
	}
	for _, test := range tests {
		got, ok := openai.ParseError([]byte(test.body))
		if ok != (test.want != nil) {
			t.Errorf("%s: ok is %v", test.body, ok)
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.body, diff)
		}
	}
}

func TestErrorText(t *testing.T) {
	tests := []struct{ body, want string }{
		{`{"error":"model is loading"}`, "model is loading"},
		{`{"error":{"message":"two\nlines"}}`, "two"},
		{"upstream connect error\n", "upstream connect error"},
		{"Client sent an HTTP request to an HTTPS server.", "Client sent an HTTP request to an HTTPS server."},
		{"<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>", "502 Bad Gateway"},
		{"<html></title><title>", ""},
		{"bell \a and \x1b[31mred", "bell   and  [31mred"},
		{strings.Repeat("é", 200), strings.Repeat("é", 150) + "…"},
		{`{"choices":[]}`, ""},
		{"{half", ""},
		{"\xff\xfe", ""},
		{" ", ""},
	}
	for _, test := range tests {
		if got := openai.ErrorText([]byte(test.body)); got != test.want {
			t.Errorf("%q: %q, want %q", test.body, got, test.want)
		}
	}
}

func TestWholeEvents(t *testing.T) {
	tests := []struct{ data, whole string }{
		{"", ""},
		{"data: a\n\n", "data: a\n\n"},
		{"data: a\n\ndata: b", "data: a\n\n"},
		{"data: a\n\ndata: b\n", "data: a\n\n"},
		{"data: a\r\n\r\ndata: b\r\n", "data: a\r\n\r\n"},
		{"data: a\r\n\r", "data: a\r\n\r"},
		{"data: a\r\rdata: b\r", "data: a\r\r"},
		{"data: a\n\rdata: b", "data: a\n\r"},
		{"data: a\n\r\ndata: b", "data: a\n\r\n"},
		{"data: a\r\n", ""},
		{"data: a\ndata: b\n", ""},
		{": comment\n\nda", ": comment\n\n"},
		{"data: a\n\ndata: b\r\n\r\ndata: c\r\r", "data: a\n\ndata: b\r\n\r\ndata: c\r\r"},
	}
	for _, test := range tests {
		if got := test.data[:openai.WholeEvents([]byte(test.data))]; got != test.whole {
			t.Errorf("%q: whole is %q, want %q", test.data, got, test.whole)
		}
	}
}

// FuzzWholeEvents: what EventReader gets of the whole events of a stream, and
// then of the rest, is what it gets of the stream at once.
func FuzzWholeEvents(f *testing.F) {
	for _, seed := range []string{"data: a\n\ndata: b", "data: a\r\n\r\ndata: b\r", "\n\n\n", "data:1\r\rdata:2\n\r\n"} {
		f.Add([]byte(seed))
	}
	events := func(data []byte) (all []string, err error) {
		r := openai.NewEventReader(bytes.NewReader(data))
		for {
			data, err := r.Next()
			if err != nil {
				return all, err
			}
			all = append(all, string(data))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		n := openai.WholeEvents(data)
		whole, err := events(data[:n])
		if err != io.EOF {
			t.Fatalf("%q: whole events end with %v", data[:n], err)
		}
		rest := bytes.TrimPrefix(data[n:], []byte("\n")) // of a CR LF
		if bytes.HasSuffix(data[:n], []byte("\n")) {
			rest = data[n:]
		}
		more, _ := events(rest)
		if len(more) > 0 {
			t.Errorf("%q: whole is %q, and %q comes whole after it", data, data[:n], more)
		}
		all, _ := events(data)
		if diff := cmp.Diff(all, whole); diff != "" {
			t.Errorf("%q: %s", data, diff)
		}
	})
}

func TestStreamHasEnded(t *testing.T) {
	tests := []struct {
		name, tail string
		ended      bool
	}{
		{"done", "data: {}\n\ndata: [DONE]\n\n", true},
		{"done, without a blank line", "data: {}\n\ndata:[DONE]", true},
		{"a reason to finish, no done", `data: {"choices":[{"delta":{},"finish_reason":"stop"}]}` + "\n\n", true},
		{"usage after the reason", `data: {"choices":[{"finish_reason": "length"}]}` + "\n\n" + `data: {"choices":[],"usage":{}}` + "\n\n", true},
		{"the engine's own error", `data: {"error":{"message":"out of memory"}}` + "\n\n", true},
		{"an error after CR LF", "data: 1\r\n\r\n" + `data: {"object":"error","message":"x"}` + "\r\n\r\n", true},
		{"more after done", "data: [DONE]\n\n: bye\n\n", true},
		{"done, by an event with an id", "data: [DONE]\r\nid: 9\r\n\r\n", true},
		{"a comment after the error", `data: {"error":"x"}` + "\n\n:\n\n", true},
		{"more after an error", `data: {"error":"x"}` + "\n\n" + `data: {"choices":[]}` + "\n\n", false},
		{"a reason, spaced out", `data: {"choices":[{"finish_reason" : "stop"}]}` + "\n\n", true},
		{"an empty reason", `data: {"choices":[{"delta":{"content":"x"},"finish_reason":""}]}` + "\n\n", false}, // Ollama before 0.1.38
		{"an empty reason, and one", `data: {"choices":[{"finish_reason":""}]}` + "\n\n" + `data: {"choices":[{"finish_reason":"stop"}]}` + "\n\n", true},
		{"cut within the reason", `data: {"choices":[{"finish_reason":"`, false},
		{"no data", "[DONE]\n\n", false},
		{"no reason yet", `data: {"choices":[{"delta":{"content":"x"},"finish_reason":null}]}` + "\n\n", false},
		{"said by the model", `data: {"choices":[{"delta":{"content":"data: [DONE] \"finish_reason\":\"stop\""}}]}` + "\n\n", false},
		{"nothing", "", false},
		{"half", `data: {"choices":[{"delta":{"content":"x`, false},
	}
	for _, test := range tests {
		if got := openai.StreamHasEnded([]byte(test.tail)); got != test.ended {
			t.Errorf("%s: %v", test.name, got)
		}
	}
}

func TestEventReader(t *testing.T) {
	tests := []struct {
		name, stream string
		want         []string
		err          error
	}{
		{"plain", "data: a\n\ndata:b\n\n", []string{"a", "b"}, io.EOF},
		{"CR LF and CR", "data: a\r\n\r\ndata: b\r\rdata: c\n\n", []string{"a", "b", "c"}, io.EOF},
		{"several lines", "data: a\ndata: b\n\n", []string{"a\nb"}, io.EOF},
		{"comments, names and ids", ": hello\n\nevent: x\nid: 1\ndata: a\n\n", []string{"a"}, io.EOF},
		{"cut inside an event", "data: a\n\ndata: b\n", []string{"a"}, io.ErrUnexpectedEOF},
		{"cut inside a line", "data: a\n\ndat", []string{"a"}, io.ErrUnexpectedEOF},
		{"empty", "", nil, io.EOF},
		{"too large", "data: " + strings.Repeat("x", openai.MaxEvent) + "\n\n", nil, openai.ErrEventTooLarge},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := openai.NewEventReader(iotest.HalfReader(strings.NewReader(test.stream)))
			var got []string
			for {
				data, err := r.Next()
				if err != nil {
					if !errors.Is(err, test.err) {
						t.Errorf("got error %v, want %v", err, test.err)
					}
					break
				}
				got = append(got, string(data))
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
		})
	}
}
