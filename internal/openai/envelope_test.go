package openai_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/relayctl/relayctl/internal/openai"
)

func TestParseEnvelope(t *testing.T) {
	tests := []struct {
		name, body string
		model      string
		stream     bool
		param      string // of the error, "-" for an error without one
	}{
		{name: "least", body: `{"model":"m"}`, model: "m"},
		{name: "streaming", body: ` {"stream" : true, "model" :"a/b:c" , "messages":[{"role":"user","content":"\"model\":\"x\""}]} `, model: "a/b:c", stream: true},
		{name: "escaped name and value", body: `{"mod\u0065l":"\u006d"}`, model: "m"},
		{name: "null stream", body: `{"model":"m","stream":null}`, model: "m"},
		{name: "nested members are not ours", body: `{"x":{"model":"no","stream":true},"model":"m","y":[{"model":1}]}`, model: "m"},
		{name: "bytes that are no UTF-8", body: "{\"model\":\"m\",\"x\":\"\xff\"}", model: "m"},
		{name: "no model", body: `{"stream":true}`, param: "model"},
		{name: "empty model", body: `{"model":""}`, param: "model"},
		{name: "model of another type", body: `{"model":7}`, param: "model"},
		{name: "stream of another type", body: `{"model":"m","stream":"yes"}`, param: "stream"},
		{name: "model twice", body: `{"model":"a","model":"b"}`, param: "model"},
		{name: "model twice by escape", body: `{"model":"a","\u006dodel":"b"}`, param: "model"},
		{name: "model twice by case", body: `{"model":"a","Model":"b"}`, param: "model"},
		{name: "stream by Unicode folding", body: `{"model":"a","ſtream":true}`, param: "stream"},
		{name: "array", body: `[{"model":"m"}]`, param: "-"},
		{name: "cut", body: `{"model":"m"`, param: "-"},
		{name: "two objects", body: `{"model":"m"}{"model":"n"}`, param: "-"},
		{name: "wrong bracket", body: `{"model":"m","x":[1}]`, param: "-"},
		{name: "empty", body: ``, param: "-"},
		{name: "too deep", body: `{"model":"m","x":` + strings.Repeat("[", 600) + strings.Repeat("]", 600) + `}`, param: "-"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := openai.ParseEnvelope([]byte(test.body))
			if test.param == "" {
				if err != nil || got.Model != test.model || got.Stream != test.stream {
					t.Fatalf("got %q, %v, %v", got.Model, got.Stream, err)
				}
				return
			}
			var fault *openai.EnvelopeError
			if !errors.As(err, &fault) || fault.Param != strings.Trim(test.param, "-") {
				t.Fatalf("got error %v, want one about %s", err, test.param)
			}
		})
	}
}

func TestWithModelTouchesNothingElse(t *testing.T) {
	body := []byte(" {\"messages\" : [1.0e+2, \"\\u0041\xff\"],\n\"model\" : \"a\" , \"x\":null}\r\n")
	e, err := openai.ParseEnvelope(body)
	if err != nil {
		t.Fatal(err)
	}
	got := e.WithModel(body, `in "quotes"`)
	want := bytes.Replace(body, []byte(`"a"`), []byte(`"in \"quotes\""`), 1)
	if !bytes.Equal(got, want) {
		t.Fatalf("got %q, want %q", got, want)
	}
}

// FuzzEnvelope holds the scanner to encoding/json: what is taken is valid and
// says the same there, and what is refused is invalid or has a reason of ours.
func FuzzEnvelope(f *testing.F) {
	for _, seed := range []string{
		`{"model":"m","stream":true,"max_tokens":1}`, `{"model":"m","x":[{},[],{"a":[1,-0.5e+9,true,null]}]}`,
		`{"mod\u0065l":"\ud83d\ude00"}`, `{"model":"m",}`, `{"model":"m","x":01}`, `{"model":"m","x":"\x"}`, "{\"model\":\"\x00\"}", `{}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		e, err := openai.ParseEnvelope(body)
		if err != nil {
			var fault *openai.EnvelopeError
			if !errors.As(err, &fault) {
				t.Fatalf("error of type %T", err)
			}
			if fault.Param == "" && json.Valid(body) && bytes.HasPrefix(bytes.TrimLeft(body, " \t\r\n"), []byte("{")) && !strings.Contains(fault.Text, "deep") {
				t.Fatalf("refused valid JSON: %v", err)
			}
			return
		}
		var want struct {
			Model  string
			Stream bool
		}
		if err := json.Unmarshal(body, &want); err != nil {
			t.Fatalf("took what encoding/json refuses: %v", err)
		}
		if want.Model != e.Model || want.Stream != e.Stream {
			t.Fatalf("got %q %v, encoding/json has %q %v", e.Model, e.Stream, want.Model, want.Stream)
		}
		again, err := openai.ParseEnvelope(e.WithModel(body, "other"))
		if err != nil || again.Model != "other" || again.Stream != e.Stream {
			t.Fatalf("after WithModel: %+v, %v", again, err)
		}
	})
}

func BenchmarkEnvelope(b *testing.B) {
	body := []byte(`{"model":"llama3-8b","stream":true,"messages":[{"role":"user","content":"` + strings.Repeat("lorem ipsum ", 200) + `"}]}`)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := openai.ParseEnvelope(body); err != nil {
			b.Fatal(err)
		}
	}
}
