package worker_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/relayctl/relayctl/internal/protocol"
	"github.com/relayctl/relayctl/internal/worker"
)

// logged is a log that a test reads.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// listenRaw serves connections with serve; the address is HOST:PORT.
func listenRaw(t *testing.T, serve func(net.Conn)) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				serve(c)
			}()
		}
	}()
	return l.Addr().String()
}

// replayed is a connection of which something was read already.
type replayed struct {
	net.Conn
	io.Reader
}

func (r replayed) Read(p []byte) (int, error) { return r.Reader.Read(p) }

// TestCauseOfAFailure: the worker's log and the relay hear where and why, the
// client what kind of failure it was and no address.
func TestCauseOfAFailure(t *testing.T) {
	closed := listenRaw(t, func(c net.Conn) { c.Read(make([]byte, 4096)) })
	nobody := "127.0.0.1:1" // not one that was free a moment ago: it may be taken by now
	foreign := httptest.NewUnstartedServer(http.NotFoundHandler())
	foreign.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	foreign.StartTLS()
	defer foreign.Close()
	plain := httptest.NewUnstartedServer(http.NotFoundHandler())
	plain.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	plain.Start()
	defer plain.Close()
	redirect := httptest.NewServer(http.RedirectHandler("https://elsewhere.example/v1", http.StatusPermanentRedirect))
	defer redirect.Close()
	half := listenRaw(t, func(c net.Conn) {
		c.Read(make([]byte, 4096))
		fmt.Fprint(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
	})
	certificate := foreign.TLS.Certificates
	speakTLS := func(toHTTP string) func(net.Conn) {
		return func(c net.Conn) {
			first := make([]byte, 4096)
			n, _ := c.Read(first)
			if n > 0 && first[0] == 'P' {
				fmt.Fprint(c, toHTTP)
				return
			}
			tls.Server(replayed{c, io.MultiReader(bytes.NewReader(first[:n]), c)}, &tls.Config{Certificates: certificate}).Handshake()
		}
	}
	alert, silent := listenRaw(t, speakTLS("\x15\x03\x01\x00\x02\x02\x46")), listenRaw(t, speakTLS(""))
	banner := listenRaw(t, func(c net.Conn) { fmt.Fprint(c, "220 mail.example ESMTP\r\n"); c.Read(make([]byte, 4096)) })
	tests := []struct {
		name, backend string
		code          protocol.ResetCode
		text, detail  string
	}{
		{"closed port", "http://" + nobody, protocol.ResetUnreachable, "can't be reached", "nothing listens on " + nobody},
		{"foreign certificate", foreign.URL, protocol.ResetUnreachable, "certificate", "the certificate of " + foreign.Listener.Addr().String() + " is not one that this host trusts: "},
		{"https to a port without TLS", strings.Replace(plain.URL, "http:", "https:", 1), protocol.ResetUnreachable, "TLS", "does not speak TLS"},
		{"http to a TLS port", strings.Replace(foreign.URL, "https:", "http:", 1), protocol.ResetUnreachable, "speaks TLS", " speaks TLS, and its address says http"},
		{"http to a TLS port that answers in TLS", "http://" + alert, protocol.ResetUnreachable, "speaks TLS", alert + " speaks TLS, and its address says http"},
		{"http to a TLS port that says nothing to it", "http://" + silent, protocol.ResetUnreachable, "speaks TLS", silent + " speaks TLS, and its address says http"},
		{"no HTTP at all", "http://" + banner, protocol.ResetEngine, "broke off", banner + " failed before it answered: "},
		{"redirect", redirect.URL, protocol.ResetEngine, "redirect", redirect.Listener.Addr().String() + " redirects to https://elsewhere.example/v1"},
		{"closes every connection", "http://" + closed, protocol.ResetEngine, "broke off", closed + " closed the connection before it answered"},
		{"closes inside its answer", "http://" + half, protocol.ResetEngine, "broke off", half + " closed the connection in the middle of an answer"},
		{"a name that is none", "http://engine.invalid:8000", protocol.ResetUnreachable, "name", "the name engine.invalid can't be resolved"},
	}
	var log logged
	var models []worker.Model
	for i, test := range tests {
		models = append(models, model(t, fmt.Sprint("m", i), test.backend))
	}
	l, stop := joinOverTCP(t, slog.New(slog.NewTextHandler(&log, nil)), models...)
	for i, test := range tests {
		s, err := l.conn.Open(protocol.RequestHead{ID: "req_" + fmt.Sprint(i), Model: fmt.Sprint("m", i), Method: http.MethodPost, Target: "/v1/chat/completions"}, []byte(`{"model":"m"}`))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		err = readAnswer(ctx, s)
		var reset *protocol.ResetError
		if !errors.As(err, &reset) {
			t.Errorf("%s: ended with %v", test.name, err)
			continue
		}
		if reset.Code != test.code || !strings.Contains(reset.Text, test.text) || !strings.Contains(reset.Detail, test.detail) {
			t.Errorf("%s: %+v", test.name, *reset)
		}
		u, _ := url.Parse(test.backend)
		if strings.Contains(reset.Text, u.Hostname()) || strings.Contains(reset.Text, u.Port()) {
			t.Errorf("%s: clients are told an address: %s", test.name, reset.Text)
		}
	}
	stop()
	for i, test := range tests {
		line := ""
		for text := range strings.Lines(log.String()) {
			if strings.Contains(text, "id=req_"+fmt.Sprint(i)+" ") {
				line += text
			}
		}
		if !strings.Contains(line, test.detail) || strings.Count(line, "\n") != 1 {
			t.Errorf("%s: the log has %q", test.name, line)
		}
	}
}

// readAnswer reads an answer to its end, and returns why it has none.
func readAnswer(ctx context.Context, s *protocol.Stream) error {
	if _, err := s.Response(ctx); err != nil {
		return err
	}
	for {
		if _, err := s.Next(ctx); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// joinOverTCP is the link of a worker that reaches its engines by real
// connections.
func joinOverTCP(t *testing.T, log *slog.Logger, models ...worker.Model) (l *handLink, stop func()) {
	t.Helper()
	return joinWith(t, worker.Config{Log: log}, models...)
}

func joinWith(t *testing.T, config worker.Config, models ...worker.Model) (l *handLink, stop func()) {
	t.Helper()
	r := &handRelay{t: t, links: make(chan *handLink, 1)}
	server := httptest.NewServer(r)
	settings := r.settings(models...)
	settings.Relay, _ = url.Parse(server.URL)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		config.Settings, config.Version = settings, "test"
		worker.New(config).Run(ctx)
	}()
	l = <-r.links
	return l, func() {
		l.conn.Close(protocol.CloseShutdown, "")
		<-l.ended
		cancel()
		<-done
		server.Close()
	}
}
