package hostapi_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
)

var hello = hostapi.Hello{
	Protocol: hostapi.ProtocolVersion, Version: "1.0.0", Digest: plan.Digest(nil), UID: 0,
	Machine: plan.Machine{Hostname: "edge", System: "debian", Version: "12", Arch: "amd64"},
}

func TestGreetingIsFoundInNoise(t *testing.T) {
	for name, noise := range map[string]string{
		"none":          "",
		"banner":        "Welcome to Debian!\n\nYou have mail.\n",
		"unended line":  "last login: yesterday",
		"binary":        "\x00\xff\x1b[2J\r\n",
		"a false start": "relay-host greets\n",
		"much":          strings.Repeat("motd\n", 10000),
	} {
		t.Run(name, func(t *testing.T) {
			var stream bytes.Buffer
			stream.WriteString(noise)
			if err := hostapi.WriteGreeting(&stream, hello); err != nil {
				t.Fatal(err)
			}
			stream.WriteString("and what follows")
			reader := bufio.NewReader(iotest.OneByteReader(&stream))
			got, err := hostapi.ReadGreeting(reader)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(hello, got); diff != "" {
				t.Error(diff)
			}
			if rest, err := io.ReadAll(reader); err != nil || string(rest) != "and what follows" {
				t.Errorf("after it comes %q, %v", rest, err)
			}
		})
	}
}

func TestNoGreeting(t *testing.T) {
	for name, stream := range map[string]string{
		"nothing":          "",
		"another program":  "bash: relay-host: No such file or directory\n",
		"too much":         strings.Repeat("noise\n", 20000),
		"one endless line": strings.Repeat("x", 1<<20),
		"cut off":          "relay-host greets {\"proto",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := hostapi.ReadGreeting(bufio.NewReader(strings.NewReader(stream)))
			if !errors.Is(err, hostapi.ErrNoGreeting) {
				t.Errorf("the error is %v", err)
			}
		})
	}
	if _, err := hostapi.ReadGreeting(bufio.NewReader(strings.NewReader("relay-host greets nonsense\n"))); err == nil {
		t.Error("a greeting that makes no sense is taken")
	}
}

func TestReadStart(t *testing.T) {
	const password = "hunter2"
	for name, test := range map[string]struct {
		stream string
		want   error
	}{
		"at once":                  {hostapi.Start + "\nand what follows", nil},
		"after a password":         {password + "\n" + hostapi.Start + "\nand what follows", nil},
		"after it in a password":   {password + hostapi.Start + "\n" + hostapi.Start + "x\n" + hostapi.Start + "\nand what follows", nil},
		"nothing":                  {"", io.EOF},
		"a password alone":         {password, io.EOF},
		"a password's line alone":  {password + "\n", io.EOF},
		"too much":                 {strings.Repeat(password+"\n", 20000), hostapi.ErrNoStart},
		"one endless line of them": {strings.Repeat(password, 20000), hostapi.ErrNoStart},
	} {
		t.Run(name, func(t *testing.T) {
			reader := bufio.NewReader(iotest.OneByteReader(strings.NewReader(test.stream)))
			err := hostapi.ReadStart(reader)
			if !errors.Is(err, test.want) || err != nil && strings.Contains(err.Error(), password) {
				t.Errorf("the error is %v, want %v", err, test.want)
			}
			if rest, _ := io.ReadAll(reader); test.want == nil && string(rest) != "and what follows" {
				t.Errorf("after it comes %q", rest)
			}
		})
	}
}

func TestReadMessage(t *testing.T) {
	reader := bufio.NewReader(strings.NewReader("{\"id\":1,\"op\":\"ping\"}\n{\"id\":2,"))
	var request hostapi.Request
	if err := hostapi.ReadMessage(reader, &request); err != nil || request.ID != 1 || request.Op != hostapi.OpPing {
		t.Errorf("%+v, %v", request, err)
	}
	if err := hostapi.ReadMessage(reader, &request); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a message that is cut off: %v", err)
	}
	if err := hostapi.ReadMessage(reader, &request); err != io.EOF {
		t.Errorf("the end: %v", err)
	}
}

// Whatever is read as a message is written as one line that is read the same.
func FuzzMessage(f *testing.F) {
	f.Add([]byte(`{"id":1,"op":"observe","params":{"resources":[]}}`))
	f.Add([]byte(`{"id":2,"op":"put","params":{"blob":"a\nb"}}`))
	f.Add([]byte(`{"id":1,"op":"\u2028"}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		var first hostapi.Request
		if hostapi.ReadMessage(bufio.NewReader(bytes.NewReader(line)), &first) != nil {
			return
		}
		encoded, err := hostapi.EncodeMessage(first)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Count(encoded, []byte("\n")) != 1 || encoded[len(encoded)-1] != '\n' {
			t.Fatalf("%q is not one line", encoded)
		}
		var second hostapi.Request
		if err := hostapi.ReadMessage(bufio.NewReader(bytes.NewReader(encoded)), &second); err != nil {
			t.Fatal(err)
		}
		same := cmp.Equal(first.Op, second.Op) && first.ID == second.ID && jsonEqual(first.Params, second.Params)
		if !same {
			t.Errorf("%+v became %+v", first, second)
		}
	})
}

func jsonEqual(a, b json.RawMessage) bool {
	if len(a) == 0 || string(a) == "null" {
		return len(b) == 0 || string(b) == "null"
	}
	var x, y any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && cmp.Equal(x, y)
}

// No stream makes the greeting's reader take more than its bound, nor fail to
// find one that is there.
func FuzzGreeting(f *testing.F) {
	f.Add([]byte("motd\n"))
	f.Add([]byte("relay-host greets "))
	f.Fuzz(func(t *testing.T, noise []byte) {
		if len(noise) > 32<<10 || bytes.Contains(noise, []byte("relay-host greets ")) {
			return
		}
		var stream bytes.Buffer
		stream.Write(noise)
		if err := hostapi.WriteGreeting(&stream, hello); err != nil {
			t.Fatal(err)
		}
		got, err := hostapi.ReadGreeting(bufio.NewReader(&stream))
		if err != nil || !cmp.Equal(got, hello) {
			t.Errorf("after %q: %+v, %v", noise, got, err)
		}
	})
}

func TestErrorsAreToldFromEachOther(t *testing.T) {
	var err error = &hostapi.Error{Code: hostapi.CodeStep, Message: "unit x did not stay up", Step: 3}
	if err.Error() != "relay-host: unit x did not stay up" {
		t.Errorf("it reads %q", err.Error())
	}
	encoded, encodeErr := json.Marshal(err)
	if encodeErr != nil || string(encoded) != `{"code":"step","message":"unit x did not stay up","step":3}` {
		t.Errorf("it travels as %s, %v", encoded, encodeErr)
	}
}
