package openai_test

import (
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
