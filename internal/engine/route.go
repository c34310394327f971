package engine

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/secret"
)

// way is one route to the relay's public API.
type way interface {
	// send makes one request and returns its answer. An error means that no
	// HTTP answer came on this way; ctx bounds the whole exchange.
	send(ctx context.Context, method, path string, body []byte) (*answer, error)
}

// answer is an HTTP answer whose body is still to be read and closed.
type answer struct {
	status int
	header func(name string) string
	body   io.ReadCloser
	// firstByte is how long it took to the body's first byte, where the body
	// was read elsewhere; zero: it is read now, and the reader can tell.
	firstByte time.Duration
}

// directWay asks from this machine.
type directWay struct {
	client *http.Client
	url    string // of the stack, without a path
	key    secret.Value
}

// newDirectWay asks at address, or where the domain leads to when it is empty.
// Only root is trusted, and only for the domain.
func newDirectWay(url, domain, address string, root *x509.CertPool, key secret.Value, dial dialFunc) *directWay {
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: root, ServerName: domain, MinVersion: tls.VersionTLS12},
		// Every request shows that a new client gets through.
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, to string) (net.Conn, error) {
			if address != "" {
				to = net.JoinHostPort(address, "443")
			}
			return dial(ctx, network, to)
		},
	}
	return &directWay{client: &http.Client{Transport: transport, CheckRedirect: noRedirect}, url: url, key: key}
}

type dialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

func (w *directWay) send(ctx context.Context, method, path string, body []byte) (*answer, error) {
	request, err := http.NewRequestWithContext(ctx, method, w.url+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+w.key.Reveal())
	request.Header.Set("Content-Type", "application/json")
	response, err := w.client.Do(request)
	if err != nil {
		return nil, plainly(err)
	}
	return &answer{status: response.StatusCode, header: response.Header.Get, body: response.Body}, nil
}

// plainly leaves out of an error what its reader knows: what was asked for, and
// that a name was looked up to be dialled.
func plainly(err error) error {
	var asked *url.Error
	if errors.As(err, &asked) {
		err = asked.Err
	}
	var lookup *net.DNSError
	if errors.As(err, &lookup) {
		return lookup
	}
	return err
}

// asker makes a host send an HTTP request to itself.
type asker interface {
	Ask(ctx context.Context, params hostapi.Ask) (hostapi.Answer, error)
}

// hostWay asks from the proxy host.
type hostWay struct {
	host   asker
	domain string
	root   string // PEM
}

func (w *hostWay) send(ctx context.Context, method, path string, body []byte) (*answer, error) {
	timeout := hostapi.MaxAskTime
	if deadline, ok := ctx.Deadline(); ok {
		timeout = min(timeout, time.Until(deadline))
	}
	said, err := w.host.Ask(ctx, hostapi.Ask{
		Method: method, URL: "https://127.0.0.1:443" + path, Host: w.domain, RootCA: w.root,
		Header: map[string]string{"Content-Type": "application/json"}, Probe: true, Body: body, Timeout: timeout,
	})
	if err != nil {
		return nil, err
	}
	header := func(name string) string { return said.Header[name] }
	return &answer{
		status: said.Status, header: header, body: io.NopCloser(bytes.NewReader(said.Body)), firstByte: said.FirstByte,
	}, nil
}

// rootPool trusts the stack's own certificate authority and nothing wider.
func rootPool(root string) (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(root)) {
		return nil, errors.New("read the stack's root certificate: it is not PEM")
	}
	return pool, nil
}
