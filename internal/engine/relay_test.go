package engine_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// fakeRelay answers as a relay behind Caddy does, with a certificate of the
// CA that stands on the proxy machine.
type fakeRelay struct {
	t     testing.TB
	proxy *machine
	conns chan net.Conn

	mu      sync.Mutex
	answer  http.HandlerFunc // to completions
	front   http.HandlerFunc // to everything, in the relay's place; nil: the relay is there
	unknown map[string]bool  // addresses that nobody can be reached at
	dialled []string
	without string         // model that no worker serves
	fails   map[string]int // addresses that fail so many times
	asked   []string       // models
	other   *machine       // whose CA signs instead; nil: the proxy's
}

func newFakeRelay(t testing.TB, proxy *machine) *fakeRelay {
	r := &fakeRelay{t: t, proxy: proxy, conns: make(chan net.Conn), answer: giveToken, unknown: map[string]bool{}, fails: map[string]int{}}
	server := &http.Server{
		Handler:   http.HandlerFunc(r.serve),
		TLSConfig: &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return r.certificate() }},
		ErrorLog:  log.New(io.Discard, "", 0),
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		server.ServeTLS(&pipeListener{conns: r.conns, closed: ctx.Done(), stop: stop}, "", "")
	}()
	t.Cleanup(func() {
		server.Close()
		<-ended
	})
	return r
}

// serve answers who has the probe key.
func (r *fakeRelay) serve(w http.ResponseWriter, request *http.Request) {
	r.mu.Lock()
	front := r.front
	r.mu.Unlock()
	if front != nil {
		front(w, request)
		return
	}
	w.Header().Set("X-Request-Id", "req_0123456789abcdef01234567")
	key, err := os.ReadFile(r.proxy.path("/var/lib/relayctl/secrets/probe"))
	if err != nil || request.Header.Get("Authorization") != "Bearer "+strings.TrimSpace(string(key)) {
		http.Error(w, `{"error":{"message":"wrong key","type":"invalid_request_error","code":"invalid_api_key"}}`, http.StatusUnauthorized)
		return
	}
	if request.URL.Path != "/v1/chat/completions" {
		http.Error(w, `{"error":{"message":"the probe key is for a few tokens","code":"probe_only"}}`, http.StatusForbidden)
		return
	}
	content, err := io.ReadAll(request.Body)
	if err != nil {
		return
	}
	request.Body = io.NopCloser(bytes.NewReader(content))
	var body struct {
		Model               string `json:"model"`
		MaxTokens           int    `json:"max_tokens"`
		MaxCompletionTokens int    `json:"max_completion_tokens"`
	}
	if err := json.Unmarshal(content, &body); err != nil || max(body.MaxTokens, body.MaxCompletionTokens) < 1 || max(body.MaxTokens, body.MaxCompletionTokens) > 16 {
		http.Error(w, `{"error":{"message":"the probe key is for a few tokens","code":"probe_only"}}`, http.StatusForbidden)
		return
	}
	r.mu.Lock()
	r.asked = append(r.asked, body.Model)
	answer := r.answer
	if r.without == body.Model {
		answer = refuseWith(http.StatusServiceUnavailable, "no worker serves it now")
	}
	r.mu.Unlock()
	answer(w, request)
}

func (r *fakeRelay) setFront(front http.HandlerFunc) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.front = front
}

func (r *fakeRelay) setAnswer(answer http.HandlerFunc) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = answer
}

// giveToken answers as vLLM does, the role before the first token.
func giveToken(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	fmt.Fprint(w, "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}]}\n\n")
	fmt.Fprint(w, "data: {\"choices\":[{\"delta\":{\"content\":\"OK\"},\"finish_reason\":\"length\"}]}\n\n")
	fmt.Fprint(w, "data: [DONE]\n\n")
}

// refuseWith answers with an error of the relay.
func refuseWith(status int, message string) http.HandlerFunc { return refuseAs(status, "x", message) }

func refuseAs(status int, code, message string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"error":{"message":%q,"type":"server_error","code":%q}}`, message, code)
	}
}

// hang begins an answer that never comes to a token.
func hang(w http.ResponseWriter, request *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	fmt.Fprint(w, "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}]}\n\n")
	w.(http.Flusher).Flush()
	<-request.Context().Done()
}

// dial is engine.Config's DialContext.
func (r *fakeRelay) dial(ctx context.Context, _, address string) (net.Conn, error) {
	r.mu.Lock()
	r.dialled = append(r.dialled, address)
	unknown := r.unknown[address] || r.fails[address] > 0
	r.fails[address]--
	r.mu.Unlock()
	if unknown {
		return nil, errors.New("no such host")
	}
	near, far := net.Pipe()
	select {
	case r.conns <- newBuffered(far):
		return newBuffered(near), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// certificate issues a leaf for the stack's domain.
func (r *fakeRelay) certificate() (*tls.Certificate, error) {
	signer := r.proxy
	if r.other != nil {
		signer = r.other
	}
	content, err := os.ReadFile(signer.path("/var/lib/relayctl/ca/internal.pem"))
	if err != nil {
		return nil, err
	}
	keyBlock, rest := pem.Decode(content)
	rootBlock, _ := pem.Decode(rest)
	rootKey, err := x509.ParseECPrivateKey(keyBlock.Bytes)
	if err != nil {
		return nil, err
	}
	root, err := x509.ParseCertificate(rootBlock.Bytes)
	if err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), DNSNames: []string{"llm.example.com"},
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	leaf, err := x509.CreateCertificate(rand.Reader, template, root, &key.PublicKey, rootKey)
	return &tls.Certificate{Certificate: [][]byte{leaf}, PrivateKey: key}, err
}

// newMachineWithCA is the proxy host of somebody else's stack of the same
// domain.
func newMachineWithCA(t testing.TB) *machine {
	h := newHome(t)
	h.mustApply()
	return h.edge
}

// buffered is an end of a pipe whose Write never waits for the other end:
// net/http holds a mutex while TLS says goodbye, which would stop the bubble's
// time.
type buffered struct {
	net.Conn

	mu     sync.Mutex
	queue  chan []byte
	closed bool
}

func newBuffered(conn net.Conn) *buffered {
	b := &buffered{Conn: conn, queue: make(chan []byte, 1024)}
	go func() {
		for written := range b.queue {
			if _, err := b.Conn.Write(written); err != nil {
				break
			}
		}
		b.Conn.Close()
	}()
	return b
}

func (b *buffered) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return 0, net.ErrClosed
	}
	select {
	case b.queue <- bytes.Clone(p):
		return len(p), nil
	default:
		return 0, errors.New("too much was written ahead")
	}
}

// SetWriteDeadline does nothing: crypto/tls sets one that has passed before it
// closes, and what was written should still go out.
func (b *buffered) SetWriteDeadline(time.Time) error { return nil }

// SetDeadline is about reading only.
func (b *buffered) SetDeadline(t time.Time) error { return b.Conn.SetReadDeadline(t) }

// Close lets what was written go out, and takes what the other end still says.
func (b *buffered) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.closed {
		b.closed = true
		close(b.queue)
		go io.Copy(io.Discard, b.Conn)
	}
	return nil
}

// pipeListener accepts the far ends of pipes.
type pipeListener struct {
	conns  <-chan net.Conn
	closed <-chan struct{}
	stop   func()
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error   { l.stop(); return nil }
func (l *pipeListener) Addr() net.Addr { return &net.TCPAddr{} }
