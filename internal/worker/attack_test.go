package worker_test

import (
	"errors"
	"math/rand/v2"
	"net/http"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"github.com/relayctl/relayctl/internal/protocol"
	"github.com/relayctl/relayctl/test/attack"
)

// attackSeed is where all attacks of these tests come from.
const attackSeed = 20261128

const relayHello = `{"protocol":{"min":1,"max":1},"use":1,"program":"p","window":262144}`

// badRelay lets a worker in, and then does what it likes.
type badRelay struct {
	*handRelay
	came chan *badLink
	good atomic.Bool // from now on it behaves
}

// badLink is one connection of the worker.
type badLink struct {
	*websocket.Conn
	over chan struct{} // closed when nothing comes on it any more
}

func newBadRelay(t *testing.T) *badRelay {
	r := &badRelay{handRelay: newHandRelay(t), came: make(chan *badLink, 1000)}
	r.server.Handler = http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if r.good.Load() {
			r.handRelay.ServeHTTP(w, q)
			return
		}
		u := websocket.Upgrader{Subprotocols: []string{protocol.Subprotocol}}
		ws, err := u.Upgrade(w, q, nil)
		if err != nil {
			return
		}
		if _, _, err := ws.ReadMessage(); err != nil { // HELLO
			t.Errorf("read hello: %v", err)
		}
		l := &badLink{ws, make(chan struct{})}
		defer close(l.over)
		r.came <- l
		for err == nil {
			_, _, err = ws.ReadMessage()
		}
	})
	return r
}

// greet answers HELLO on the next connection.
func (r *badRelay) greet(hello string) *badLink {
	l := <-r.came
	l.say(protocol.TypeHello, hello)
	synctest.Wait()
	return l
}

// say sends a frame of the connection; where it was ended meanwhile, nothing.
func (l *badLink) say(kind protocol.Type, payload string) {
	l.WriteMessage(websocket.BinaryMessage, protocol.AppendFrame(nil, protocol.Frame{Type: kind, Payload: []byte(payload)}))
}

// end gives the worker some time to hang up, and does it then. It tells
// whether the worker did.
func (l *badLink) end(within time.Duration) (itself bool) {
	synctest.Wait()
	select {
	case <-l.over:
		return true
	case <-time.After(within):
	}
	l.NetConn().Close()
	<-l.over
	return false
}

// attackWorker runs an attack on a worker, and then has it serve a good relay:
// nothing of what came before is left.
func attackWorker(t *testing.T, run func(t *testing.T, r *badRelay)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newBadRelay(t)
		_, _, stop := r.start(r.settings(model(t, "m", closedEngine)))
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		run(t, r)
		synctest.Wait()
		runtime.GC()
		runtime.ReadMemStats(&after)
		if after.HeapAlloc > before.HeapAlloc+32<<20 {
			t.Errorf("the heap grew from %d to %d KiB", before.HeapAlloc>>10, after.HeapAlloc>>10)
		}
		r.good.Store(true)
		for len(r.came) > 0 {
			(<-r.came).end(0)
		}
		l := r.next()
		s, err := l.conn.Open(protocol.RequestHead{Model: "m", Method: "POST", Target: "/v1/chat/completions"}, []byte(`{"model":"m"}`))
		if err != nil {
			t.Fatal(err)
		}
		var reset *protocol.ResetError
		if _, err := s.Response(t.Context()); !errors.As(err, &reset) || reset.Code != protocol.ResetUnreachable {
			t.Errorf("a good relay's request: %v", err)
		}
		l.conn.Close(protocol.CloseShutdown, "")
		<-l.ended
		stop()
		r.stop()
	})
}

// closedEngine is where no engine listens: nothing may be dialled for long in a
// bubble.
const closedEngine = "http://127.0.0.1:1"

// TestHostileRelay sends thousands of malformed frames: the worker ends the
// connection or bears them, and comes back.
func TestHostileRelay(t *testing.T) {
	const sessions = 250
	t.Logf("seed %d", attackSeed)
	messages, bytes, ended := 0, 0, 0
	attackWorker(t, func(t *testing.T, r *badRelay) {
		for i := range uint64(sessions) {
			ws := r.greet(relayHello)
			for _, msg := range attack.Messages(rand.New(rand.NewPCG(attackSeed, i)), 12) {
				ws.WriteMessage(websocket.BinaryMessage, msg) // an error: it was ended meanwhile
				messages++
				bytes += len(msg)
			}
			if ws.end(0) {
				ended++
			}
		}
	})
	t.Logf("%d connections with %d messages of %d KiB; the worker ended %d of them", sessions, messages, bytes>>10, ended)
	if ended == 0 || ended == sessions {
		t.Error("all ended in the same way")
	}
}

// TestHostileRelayWebSocket: what breaks the rules of WebSocket ends the
// connection, what only strains them is borne.
func TestHostileRelayWebSocket(t *testing.T) {
	attacks := attack.WebSocket(false)
	attackWorker(t, func(t *testing.T, r *badRelay) {
		for _, each := range attacks {
			ws := r.greet(relayHello)
			if _, err := ws.NetConn().Write(each.Bytes); err != nil && !each.Ends {
				t.Errorf("%s: not taken: %v", each.Name, err)
			}
			if got := ws.end(map[bool]time.Duration{true: time.Minute, false: 20 * time.Second}[each.Ends]); got != each.Ends {
				t.Errorf("%s: the worker ended the connection: %v", each.Name, got)
			}
		}
	})
	t.Logf("%d kinds tried", len(attacks))
	if len(attacks) < 50 {
		t.Error("too few were tried")
	}
}

// TestHostileRelayHello: a relay whose greeting lies is left.
func TestHostileRelayHello(t *testing.T) {
	hellos := append(attack.Hellos(), `{"use":1}`, `{"use":2,"window":262144}`, `{"use":-1,"window":262144}`, `{"use":1,"window":-1}`, `{"use":1,"window":1}`, `{"use":1,"window":16777217}`,
		`{"use":"1","window":262144}`, `{"use":1,"window":262144,"notes":{}}`, `{"use":1,"window":262144,"notes":["\u001b[2J"]}`, `{"use":1,"use":9,"window":262144}`, relayHello)
	taken := 0
	attackWorker(t, func(t *testing.T, r *badRelay) {
		for _, hello := range hellos {
			ws := r.greet(hello)
			if !ws.end(15 * time.Second) {
				taken++
			}
		}
	})
	t.Logf("%d greetings tried, %d were taken", len(hellos), taken)
	if taken != 2 { // the one with notes, and the good one
		t.Error("too few, or too many")
	}
}
