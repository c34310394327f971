package relay_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gorilla/websocket"

	"github.com/relayctl/relayctl/internal/protocol"
	"github.com/relayctl/relayctl/test/attack"
)

// attackSeed is where all attacks of these tests come from.
const attackSeed = 20261128

const goodHello = `{"protocol":{"min":1,"max":1},"program":"p","name":"gpu-1","instance":"i","window":262144,"models":[{"name":"renamed","concurrency":4,"kind":"chat"}]}`

// record is a log that a test reads.
type record struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (r *record) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.text.Write(p)
}

// count is how many lines have text.
func (r *record) count(text string) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for line := range strings.Lines(r.text.String()) {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}

// attacked is a relay with a good worker for m and a bad one for renamed.
type attacked struct {
	*bubble
	log *record
	mem runtime.MemStats // at the beginning
}

// attackRelay runs an attack on a relay, and then sees that the good worker's
// requests were not disturbed, that nothing is left of the bad one, and that
// each of its connections ended with a reason in the log.
func attackRelay(t *testing.T, run func(a *attacked) (sessions int)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		st := newStack(t)
		st.relay["first_byte_timeout"], st.relay["idle_timeout"] = "20s", "20s"
		log := &record{}
		b, stop := inMemoryLogging(t, st, slog.New(slog.NewTextHandler(log, nil)))
		good := b.join("gpu-2", answerWith(`{"good":1}`), offer("m", 4))
		a := &attacked{bubble: b, log: log}
		runtime.GC()
		runtime.ReadMemStats(&a.mem)
		sessions := run(a)
		synctest.Wait()
		a.mustBeWell()
		for _, w := range b.Status().Workers {
			if w.Name == "gpu-1" && w.Connected {
				t.Errorf("the bad worker is still there: %+v", w)
			}
		}
		ended := log.count(`"worker disconnected" worker=gpu-1`) + log.count(`"worker refused" worker=gpu-1`) + log.count(`"worker left during its greeting" worker=gpu-1`)
		if ended != sessions || log.count("reason=<nil>") > 0 || log.count("err=<nil>") > 0 {
			t.Errorf("the log tells of the ends of %d of %d connections", ended, sessions)
		}
		if lines := log.count(""); lines > 10*sessions+100 {
			t.Errorf("%d lines of log for %d connections", lines, sessions)
		}
		select {
		case err := <-good.ended:
			t.Errorf("the good worker's connection ended: %v", err)
		default:
		}
		good.stop()
		stop()
	})
}

// mustBeWell asks the good worker, and looks at the memory.
func (a *attacked) mustBeWell() {
	a.t.Helper()
	if got := a.ask(a.t.Context(), laptopKey, askM); got.status != http.StatusOK || got.body != `{"good":1}` {
		a.t.Errorf("the good worker's answer is %+v", got)
	}
	var now runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&now)
	if now.HeapAlloc > a.mem.HeapAlloc+32<<20 {
		a.t.Errorf("the heap grew from %d to %d KiB", a.mem.HeapAlloc>>10, now.HeapAlloc>>10)
	}
}

// bad is a connection with the good secret of gpu-1, and what reads from it.
type bad struct {
	ws   *websocket.Conn
	over chan struct{} // closed when nothing comes any more
	hits chan struct{} // of each OPEN that came
}

// come connects, and says HELLO where hello has one.
func (a *attacked) come(hello string) *bad {
	a.t.Helper()
	time.Sleep(time.Second) // a worker may come that often
	d := websocket.Dialer{NetDialContext: a.network.dial, Subprotocols: []string{protocol.Subprotocol}}
	ws, _, err := d.DialContext(a.t.Context(), "ws://relay.test"+protocol.ConnectPath, http.Header{"Authorization": {"Bearer " + workerSecret("gpu-1").Reveal()}})
	if err != nil {
		a.t.Fatal(err)
	}
	w := &bad{ws: ws, over: make(chan struct{}), hits: make(chan struct{}, 100)}
	w.send(protocol.AppendFrame(nil, protocol.Frame{Type: protocol.TypeHello, Payload: []byte(hello)}))
	go func() {
		defer close(w.over)
		for {
			_, msg, err := ws.ReadMessage()
			if err != nil {
				return
			}
			for len(msg) > 0 {
				var f protocol.Frame
				if f, msg, err = protocol.NextFrame(msg); err != nil {
					a.t.Errorf("the relay sends what is no frame: %v", err)
					return
				}
				if f.Type == protocol.TypeOpen {
					w.hits <- struct{}{}
				}
			}
		}
	}()
	synctest.Wait() // until the relay has taken it, or not
	return w
}

func (w *bad) send(msg []byte) {
	w.ws.WriteMessage(websocket.BinaryMessage, msg) // an error: it was ended meanwhile
}

// leave hangs up, and waits until the other end has seen it.
func (w *bad) leave() {
	w.ws.NetConn().Close()
	<-w.over
}

// TestHostileFrames: a worker with a good secret sends thousands of malformed
// frames, while a request is at it.
func TestHostileFrames(t *testing.T) {
	const sessions = 250
	t.Logf("seed %d", attackSeed)
	messages, bytes, reached, ended, answers := 0, 0, 0, 0, map[string]int{}
	attackRelay(t, func(a *attacked) int {
		for i := range uint64(sessions) {
			w := a.come(goodHello)
			ctx, leave := context.WithTimeout(a.t.Context(), time.Minute)
			answer := make(chan reply, 1)
			go func() {
				answer <- a.ask(ctx, laptopKey, `{"model":"renamed","stream":`+[]string{"true", "false"}[i%2]+`}`)
			}()
			select {
			case <-w.hits: // stream 1 is open
				reached++
			case <-time.After(30 * time.Second):
			}
			for _, msg := range attack.Messages(rand.New(rand.NewPCG(attackSeed, i)), 12) {
				w.send(msg)
				messages++
				bytes += len(msg)
			}
			synctest.Wait()
			select {
			case <-w.over:
				ended++
			default:
			}
			if i%25 == 0 {
				a.mustBeWell()
			}
			w.leave()
			got := <-answer
			answers[fmt.Sprint(got.status, " ", codeIn(got.body))]++
			leave()
		}
		return sessions
	})
	t.Logf("%d connections with %d messages of %d KiB; the relay ended %d of them; %d had a request, they got %v", sessions, messages, bytes>>10, ended, reached, answers)
	if ended == 0 || ended == sessions || reached < sessions/2 {
		t.Error("all ended in the same way")
	}
}

// codeIn is the code of an error in a body, which may be an event.
func codeIn(body string) string {
	_, code, _ := strings.Cut(body, `"code":"`)
	code, _, _ = strings.Cut(code, `"`)
	return code
}

// TestHostileWebSocket: what breaks the rules of WebSocket ends the connection,
// what only strains them is borne.
func TestHostileWebSocket(t *testing.T) {
	attacks := attack.WebSocket(true)
	sent := 0
	attackRelay(t, func(a *attacked) int {
		for _, each := range attacks {
			w := a.come(goodHello)
			if _, err := w.ws.NetConn().Write(each.Bytes); err != nil && !each.Ends {
				t.Errorf("%s: not taken: %v", each.Name, err)
			}
			sent += len(each.Bytes)
			a.mustBeWell()
			limit := time.NewTimer(time.Minute)
			if !each.Ends {
				limit.Reset(30 * time.Second) // longer than that, it would have to answer pings
			}
			select {
			case <-w.over:
				if !each.Ends {
					t.Errorf("%s: the relay ended the connection", each.Name)
				}
			case <-limit.C:
				if each.Ends {
					t.Errorf("%s: the relay still has the connection", each.Name)
				}
			}
			w.leave()
		}
		return len(attacks)
	})
	t.Logf("%d kinds with %d KiB sent", len(attacks), sent>>10)
	if len(attacks) < 50 {
		t.Error("too few were tried")
	}
}

// TestHostileHello: greetings that lie are refused, or come to no more than
// their secret allows.
func TestHostileHello(t *testing.T) {
	hellos := append(attack.Hellos(), goodHello)
	taken := 0
	attackRelay(t, func(a *attacked) int {
		for _, hello := range hellos {
			w := a.come(hello)
			for _, worker := range a.Status().Workers {
				if worker.Name != "gpu-1" || !worker.Connected {
					continue
				}
				taken++
				for _, model := range worker.Models {
					if model.Name != "m" && model.Name != "renamed" {
						t.Errorf("%.100s serves %q", hello, model.Name)
					}
				}
			}
			w.leave()
		}
		return len(hellos)
	})
	t.Logf("%d greetings tried, %d came in", len(hellos), taken)
	if taken == 0 || taken > len(hellos)/2 {
		t.Error("too few, or too many")
	}
}
