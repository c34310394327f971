package hostapi_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/relayctl/relayctl/internal/hostapi"
)

// peer is relay-host's end, as a test writes it.
type peer struct {
	t      *testing.T
	conn   net.Conn
	reader *bufio.Reader
	begun  bool // the client's first line was read
}

// connect returns a client that runs, relay-host's end, and how Run ended.
func connect(t *testing.T) (*hostapi.Client, *peer, <-chan error) {
	t.Helper()
	here, there := net.Pipe()
	client := hostapi.NewClient(here)
	ran := make(chan error, 1)
	go func() { ran <- client.Run(t.Context()) }()
	t.Cleanup(func() { client.Close(); there.Close() })
	return client, &peer{t, there, bufio.NewReader(there), false}, ran
}

// read takes the next request that is not a ping, and answers pings.
func (p *peer) read() (hostapi.Request, bool) {
	if !p.begun && hostapi.ReadStart(p.reader) != nil {
		return hostapi.Request{}, false
	}
	p.begun = true
	for {
		var request hostapi.Request
		if err := hostapi.ReadMessage(p.reader, &request); err != nil {
			return request, false
		}
		if request.Op != hostapi.OpPing {
			return request, true
		}
		p.say(`{"id":%d,"result":null}`, request.ID)
	}
}

func (p *peer) say(format string, args ...any) {
	fmt.Fprintf(p.conn, format+"\n", args...)
}

// trySay says something and reports why it can't.
func (p *peer) trySay(format string, args ...any) error {
	_, err := fmt.Fprintf(p.conn, format+"\n", args...)
	return err
}

func isLost(err error) bool {
	var lost *hostapi.LostError
	return errors.As(err, &lost)
}

func bubble(t *testing.T, test func(t *testing.T)) { synctest.Test(t, test) }

func TestResultAndProgress(t *testing.T) {
	bubble(t, func(t *testing.T) {
		client, host, _ := connect(t)
		go func() {
			request, _ := host.read()
			host.say(`{"id":%d,"progress":{"step":0,"state":"started"}}`, request.ID)
			host.say(`{"id":%d,"progress":{"step":0,"state":"waiting","what":"dpkg is locked"}}`, request.ID)
			host.say(`{"id":%d,"result":{"facts":[{"kind":"file","name":"/a","exists":true}]}}`, request.ID)
		}()
		var said []string
		done, err := client.Apply(t.Context(), hostapi.Apply{}, func(p hostapi.Progress) { said = append(said, string(p.State)+p.What) })
		if err != nil || len(done.Facts) != 1 || done.Facts[0].Name != "/a" {
			t.Errorf("%+v, %v", done, err)
		}
		if !slices.Equal(said, []string{"started", "waitingdpkg is locked"}) {
			t.Errorf("said %q", said)
		}
	})
}

func TestErrorOfRelayHostIsItself(t *testing.T) {
	bubble(t, func(t *testing.T) {
		client, host, _ := connect(t)
		go func() {
			request, _ := host.read()
			host.say(`{"id":%d,"error":{"code":"locked","message":"locked by ops@desk","step":-1}}`, request.ID)
		}()
		_, err := client.Lock(t.Context(), hostapi.Lock{}, nil)
		var told *hostapi.Error
		if !errors.As(err, &told) || told.Code != hostapi.CodeLocked || isLost(err) {
			t.Errorf("the error is %v", err)
		}
	})
}

// When its context ends, a request is cancelled, and its caller hears how it
// ended.
func TestCancelledRequestIsWaitedFor(t *testing.T) {
	bubble(t, func(t *testing.T) {
		client, host, _ := connect(t)
		go func() {
			apply, _ := host.read()
			cancel, _ := host.read()
			var params hostapi.Cancel
			if err := json.Unmarshal(cancel.Params, &params); err != nil || cancel.Op != hostapi.OpCancel || params.ID != apply.ID {
				t.Errorf("got %s %s", cancel.Op, cancel.Params)
			}
			host.say(`{"id":%d,"result":null}`, cancel.ID)
			time.Sleep(20 * time.Second) // the step that runs
			host.say(`{"id":%d,"error":{"code":"cancelled","message":"cancelled","step":1}}`, apply.ID)
		}()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begun := time.Now()
		_, err := client.Apply(ctx, hostapi.Apply{}, nil)
		var told *hostapi.Error
		if !errors.As(err, &told) || told.Code != hostapi.CodeCancelled || time.Since(begun) != 21*time.Second {
			t.Errorf("after %v: %v", time.Since(begun), err)
		}
	})
}

func TestConversationThatIsLost(t *testing.T) {
	for name, test := range map[string]struct {
		lose  func(p *peer)
		cause error
		after time.Duration
	}{
		"ended":  {func(p *peer) { p.conn.Close() }, io.EOF, 0},
		"silent": {func(p *peer) { io.Copy(io.Discard, p.conn) }, nil, hostapi.Silence},
		"stuck":  {func(*peer) {}, nil, hostapi.Silence}, // it does not even take what is sent
		"broken": {func(p *peer) { p.say("nonsense") }, nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				client, host, ran := connect(t)
				begun := time.Now()
				answered := make(chan error, 1)
				go func() {
					_, err := client.Observe(t.Context(), hostapi.Observe{})
					answered <- err
				}()
				if name != "stuck" {
					host.read()
				}
				go test.lose(host)
				err := <-answered
				if !isLost(err) {
					t.Errorf("the request's error is %v", err)
				}
				ended := <-ran
				if test.cause != nil && !errors.Is(ended, test.cause) {
					t.Errorf("it ended with %v", ended)
				}
				if took := time.Since(begun); took != test.after {
					t.Errorf("noticed after %v", took)
				}
				if _, err := client.Observe(t.Context(), hostapi.Observe{}); !isLost(err) {
					t.Errorf("a later request's error is %v", err)
				}
			})
		})
	}
}

// As long as relay-host answers pings, a request may take any time.
func TestPingsKeepALongRequestAlive(t *testing.T) {
	bubble(t, func(t *testing.T) {
		client, host, _ := connect(t)
		go func() {
			request, _ := host.read()
			go host.read() // answers pings
			time.Sleep(10 * time.Minute)
			host.say(`{"id":%d,"result":{}}`, request.ID)
		}()
		if _, err := client.Apply(t.Context(), hostapi.Apply{Steps: packages(1)}, nil); err != nil {
			t.Error(err)
		}
	})
}

// A blob goes in pieces, with a bounded number of them unanswered, and other
// requests get between.
func TestPutInPieces(t *testing.T) {
	bubble(t, func(t *testing.T) {
		client, host, _ := connect(t)
		blob := make([]byte, 40*hostapi.MaxPiece+1)
		blob[len(blob)-2] = 1 // as gzip has it: 64 KiB unpacked
		room := int64(len(blob) + 64<<10)
		var got []byte
		most, waiting := 0, []uint64{}
		go func() {
			for {
				request, ok := host.read()
				if !ok {
					return
				}
				var put hostapi.Put
				if err := json.Unmarshal(request.Params, &put); err != nil {
					t.Error(err)
				}
				piece := make([]byte, put.Size)
				if _, err := io.ReadFull(host.reader, piece); err != nil {
					t.Error(err)
				}
				if put.Offset != int64(len(got)) || put.Size > hostapi.MaxPiece || put.Encoding != hostapi.Gzip || put.Room != room {
					t.Errorf("got %+v after %d bytes", put, len(got))
				}
				got = append(got, piece...)
				waiting = append(waiting, request.ID)
				most = max(most, len(waiting))
				if len(waiting) < 32 && !put.Last { // as slow as may be
					continue
				}
				for _, id := range waiting {
					host.say(`{"id":%d,"result":null}`, id)
				}
				waiting = nil
			}
		}()
		sent := 0
		if err := client.Put(t.Context(), "sha256:x", hostapi.Gzip, blob, func(n int) { sent = n }); err != nil {
			t.Fatal(err)
		}
		if len(got) != len(blob) || sent != len(blob) || most != 32 {
			t.Errorf("%d bytes came, told of %d, %d pieces at once", len(got), sent, most)
		}
	})
}

func TestPutThatIsRefused(t *testing.T) {
	bubble(t, func(t *testing.T) {
		client, host, _ := connect(t)
		go func() {
			for {
				request, ok := host.read()
				if !ok {
					return
				}
				io.CopyN(io.Discard, host.reader, hostapi.MaxPiece)
				host.say(`{"id":%d,"error":{"code":"not_locked","message":"the lock is not held","step":-1}}`, request.ID)
			}
		}()
		err := client.Put(t.Context(), "sha256:x", "", make([]byte, 50*hostapi.MaxPiece), nil)
		if err == nil || !strings.Contains(err.Error(), "not held") {
			t.Errorf("the error is %v", err)
		}
	})
}

// An answer that nobody waits for any more is passed over.
func TestStrayAnswer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		client, host, _ := connect(t)
		go func() {
			host.say(`{"id":99,"result":{}}`)
			request, _ := host.read()
			host.say(`{"id":%d,"result":{"lines":["one"]}}`, request.ID)
		}()
		if lines, err := client.Log(t.Context(), "x.service", 1); err != nil || !slices.Equal(lines, []string{"one"}) {
			t.Errorf("%q, %v", lines, err)
		}
	})
}

// deaf is a stream that takes nothing, and tells why only to its reader.
type deaf struct {
	net.Conn
	why  error
	told chan struct{}
}

func (d *deaf) Write([]byte) (int, error) {
	close(d.told)
	return 0, io.ErrClosedPipe
}

func (d *deaf) Read([]byte) (int, error) {
	<-d.told
	time.Sleep(time.Second) // the last words are on their way
	return 0, d.why
}

func TestLossIsToldAsTheReaderHearsIt(t *testing.T) {
	bubble(t, func(t *testing.T) {
		here, there := net.Pipe()
		defer there.Close()
		why := errors.New("relay-host: out of memory")
		client := hostapi.NewClient(&deaf{here, why, make(chan struct{})})
		go client.Run(t.Context())
		_, err := client.Observe(t.Context(), hostapi.Observe{})
		var lost *hostapi.LostError
		if !errors.As(err, &lost) || !errors.Is(err, why) {
			t.Errorf("error is %v", err)
		}
	})
}
