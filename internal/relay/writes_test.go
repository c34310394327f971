package relay_test

import (
	"context"
	"net"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/relayctl/relayctl/internal/relay"
)

// tally counts what is written to connections, as system calls go.
type tally struct{ writes atomic.Int64 }

type talliedConn struct {
	net.Conn
	*tally
}

func (c talliedConn) Write(p []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(p)
}

type talliedListener struct {
	net.Listener
	*tally
}

func (l talliedListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return talliedConn{conn, l.tally}, nil
}

// A call that is asked and answered in one piece costs the relay one write to
// the worker, with the request's head and body, and one to the client, and the
// worker one to the relay, with head, body and end.
func TestUnaryCallTakesOneWriteEachWay(t *testing.T) {
	settings := newStack(t).load(t)
	ls, err := relay.Listen(settings.Relay)
	if err != nil {
		t.Fatal(err)
	}
	url := "http://" + ls.API.Addr().String()
	var byRelay, byWorker tally
	ls.API = talliedListener{ls.API, &byRelay}
	serveRelay(t, settings, ls, url)
	engine := startEngine(t, func(w http.ResponseWriter, r *http.Request) { w.Write([]byte(`{"choices":[]}`)) })
	_, up, _ := startWorker(t, workerSettings(t, "gpu-1", url, engine.URL, 4, "m"), func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		return talliedConn{conn, &byWorker}, err
	})
	<-up
	call := func() {
		if status, _, answer := ask(t, url, laptopKey, `{"model":"m"}`); status != http.StatusOK {
			t.Fatalf("got %d %s", status, answer)
		}
	}
	call() // from here on the worker is known to be connected
	relayBefore, workerBefore := byRelay.writes.Load(), byWorker.writes.Load()
	const calls = 25
	for range calls {
		call()
	}
	if n := byRelay.writes.Load() - relayBefore; n != 2*calls {
		t.Errorf("the relay wrote %d times for %d calls, not twice each", n, calls)
	}
	if n := byWorker.writes.Load() - workerBefore; n != calls {
		t.Errorf("the worker wrote %d times for %d calls, not once each", n, calls)
	}
}
