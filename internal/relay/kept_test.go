package relay_test

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// readRequest reads a request with its body.
func readRequest(r io.Reader) error {
	q, err := http.ReadRequest(bufio.NewReader(r))
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, q.Body)
	return err
}

// fickleEngine keeps connections, and closes them at random moments after the
// first answer on them: while they are idle, when the next request begins to
// come, when it has come. It returns how often it closed one under a request.
func fickleEngine(t testing.TB) (url string, closed *atomic.Int64) {
	t.Helper()
	closed = new(atomic.Int64)
	return "http://" + listenRaw(t, func(c net.Conn) { serveFickle(c.(*net.TCPConn), closed) }), closed
}

func serveFickle(c *net.TCPConn, closed *atomic.Int64) {
	defer c.Close()
	answer := "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
	for first := true; ; first = false {
		mood := rand.IntN(6)
		switch {
		case first:
		case mood == 0: // while idle, a moment after the answer
			time.Sleep(time.Duration(rand.IntN(2000)) * time.Microsecond)
			return
		case mood == 1: // with a reset, as soon as something comes
			one := make([]byte, 1)
			if _, err := c.Read(one); err != nil {
				return
			}
			closed.Add(1)
			c.SetLinger(0)
			return
		case mood == 2: // politely, when the request has come
			if readRequest(c) != nil {
				return
			}
			closed.Add(1)
			return
		}
		if readRequest(c) != nil {
			return
		}
		fmt.Fprint(c, answer)
	}
}

// TestClosedConnectionCostsNoRequest: an engine may close what it kept whenever
// it likes.
func TestClosedConnectionCostsNoRequest(t *testing.T) {
	const clients, each = 32, 320
	engine, closed := fickleEngine(t)
	r := startRelay(t, newStack(t).load(t))
	connectedWorker(t, r, "gpu-1", engine, clients, "m")
	var lost atomic.Int64
	var all sync.WaitGroup
	for i := range clients {
		all.Go(func() {
			body := fmt.Sprintf(`{"model":"m","client":%d,"x":"%0*d"}`, i, 1<<(i%18), 0) // up to 128 KiB: resets come in the middle of sending
			for range each {
				if status, _, answer := ask(t, r.URL, laptopKey, body); status != 200 || answer != "{}" {
					lost.Add(1)
				}
			}
		})
	}
	all.Wait()
	t.Logf("%d requests, %d of them closed on, %d lost", clients*each, closed.Load(), lost.Load())
	if lost.Load() > 0 || closed.Load() < 100 {
		t.Errorf("%d of %d requests were lost; %d connections were closed under one", lost.Load(), clients*each, closed.Load())
	}
}
