package protocol_test

import (
	"bytes"
	"encoding/json"
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/relayctl/relayctl/internal/protocol"
)

// asJSON is v as encoding/json has it, without HTML escapes.
func asJSON(t *testing.T, v any) []byte {
	t.Helper()
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		t.Fatal(err)
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n"))
}

func samePayload(t *testing.T, frame []byte, err error, v any) {
	t.Helper()
	if err != nil {
		return // too large: TestHeadThatDoesNotFit
	}
	f, _, err := protocol.NextFrame(frame)
	if err != nil {
		t.Fatal(err)
	}
	if want := asJSON(t, v); !bytes.Equal(f.Payload, want) {
		t.Fatalf("wrote\n%s\nwhere encoding/json writes\n%s", f.Payload, want)
	}
}

// sameAs holds what was decoded to what encoding/json makes of the same bytes.
func sameAs[T any](t *testing.T, payload []byte, got T, err error) {
	t.Helper()
	var want T
	wantErr := json.Unmarshal(payload, &want)
	if (err == nil) != (wantErr == nil) {
		t.Fatalf("%q: %v, where encoding/json says %v", payload, err, wantErr)
	}
	if diff := cmp.Diff(want, got); err == nil && diff != "" {
		t.Fatalf("%q (-encoding/json +got):\n%s", payload, diff)
	}
}

// A head is written and read as encoding/json would, whatever is in it.
func FuzzRequestHead(f *testing.F) {
	f.Add([]byte(`{"id":"r","model":"m","method":"POST","target":"/x","header":[["A","b"],["C","d"]],"length":7}`), "r", "m", "/x", "A", "b", int64(7))
	f.Add([]byte(`{"id":"r","model":"m","method":"POST","target":"/x","length":0}`), "é", `a"\b`, "/<&>\u2028", "A\xff", "b\x7f\n", int64(-1))
	f.Add([]byte(`{"id":"r","model":"m","method":"POST","target":"/x","header":[],"length":01}`), "", "", "", "", "", int64(1)<<62)
	f.Add([]byte(`{"length":1,"header":[["A"],["B","c","d"],null],"ID":"\u0041","more":{}}`), "", "", "", "", "", int64(0))
	f.Fuzz(func(t *testing.T, payload []byte, id, model, target, name, value string, length int64) {
		head := protocol.RequestHead{ID: id, Model: model, Method: "POST", Target: target, Length: length}
		frame, err := protocol.EncodeRequest(1, head)
		samePayload(t, frame, err, head)
		head.Header = []protocol.Field{{name, value}, {"B", "c"}}
		frame, err = protocol.EncodeRequest(1, head)
		samePayload(t, frame, err, head)
		for _, payload := range [][]byte{payload, asJSON(t, head)} {
			got, err := protocol.DecodeRequest(protocol.Frame{Payload: payload})
			sameAs(t, payload, got, err)
		}
	})
}

func FuzzResponseHead(f *testing.F) {
	f.Add([]byte(`{"status":200,"header":[["A","b"],["C","d"]]}`), 200, "A", "b")
	f.Add([]byte(`{"status":1234567890}`), 1234567890, "A\\", "\"b")
	f.Add([]byte(`{"status":200,"header":[["A","b"]]} `), -5, "", "\x00")
	f.Add([]byte(`{"status":"200","header":["A","b"]}`), 0, "ü", "\xff")
	f.Fuzz(func(t *testing.T, payload []byte, status int, name, value string) {
		head := protocol.ResponseHead{Status: status, Header: []protocol.Field{{name, value}, {"B", "c"}}}
		frame, err := protocol.EncodeResponse(1, head)
		samePayload(t, frame, err, head)
		for _, payload := range [][]byte{payload, asJSON(t, head)} {
			got, err := protocol.DecodeResponse(protocol.Frame{Payload: payload})
			sameAs(t, payload, got, err)
		}
	})
}

// The fuzz tests fill each member in; whoever adds one adds it there and to the
// form in head.go.
func TestHeadsHaveNoOtherMembers(t *testing.T) {
	for head, members := range map[reflect.Type]int{
		reflect.TypeFor[protocol.RequestHead]():  6,
		reflect.TypeFor[protocol.ResponseHead](): 2,
	} {
		if head.NumField() != members {
			t.Errorf("%s has %d members, not %d", head, head.NumField(), members)
		}
	}
}

// What both programs write is read without encoding/json.
func TestPlainHeadsAreReadWithoutReflection(t *testing.T) {
	head := protocol.RequestHead{ID: "r", Model: "m", Method: "POST", Target: "/x", Header: []protocol.Field{{"A", "b"}}, Length: 7}
	payload := asJSON(t, head)
	if n := testing.AllocsPerRun(100, func() { protocol.DecodeRequest(protocol.Frame{Payload: payload}) }); n > 2 {
		t.Errorf("%v allocations, more than one for all text and one for the fields", n)
	}
}
