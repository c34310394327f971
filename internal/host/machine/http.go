package machine

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
)

// Request is an HTTP request to this machine.
type Request struct {
	Method string
	URL    string // of a loopback address, unless a Socket is named
	Host   string // the Host header, and the name that a certificate has to have; empty: the URL's
	Header map[string]string
	Body   []byte

	Socket string // path of a local socket; empty: none
	User   string // who, beside root, is believed to listen on it
	RootCA string // PEM: the one root that is trusted; empty: those that the machine trusts
}

// RequestError is a request that is not to this machine, or is none.
type RequestError struct{ text string }

func (e *RequestError) Error() string { return e.text }

func noRequest(format string, args ...any) error {
	return &RequestError{fmt.Sprintf(format, args...)}
}

// Send sends a request without following redirects. The error is a
// *RequestError where it may not be sent.
func (m *Machine) Send(ctx context.Context, r Request) (*http.Response, error) {
	dial, err := m.localDialer(r)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, r.Method, r.URL, bytes.NewReader(r.Body))
	if err != nil {
		return nil, noRequest("%v", err)
	}
	request.Host = r.Host
	for name, value := range r.Header {
		request.Header.Set(name, value)
	}
	transport := &http.Transport{DialContext: dial, DisableKeepAlives: true, ForceAttemptHTTP2: true}
	if transport.TLSClientConfig, err = r.trust(); err != nil {
		return nil, err
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return nil, r.Failed(ctx, err)
	}
	return response, nil
}

// Failed is the error of a request that was sent, or whose answer could not be
// read.
func (r Request) Failed(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	where := r.URL
	if r.Socket != "" {
		where = r.Socket
	}
	return fmt.Errorf("ask %s: %w", where, err)
}

// trust trusts the given root and nothing wider, or else what the machine
// trusts.
func (r Request) trust() (*tls.Config, error) {
	config := &tls.Config{}
	if host, _, err := net.SplitHostPort(r.Host); err == nil {
		config.ServerName = host
	} else {
		config.ServerName = r.Host
	}
	if r.RootCA != "" {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM([]byte(r.RootCA)) {
			return nil, noRequest("the root certificate is not PEM")
		}
	}
	return config, nil
}

// localDialer connects to this machine only: relay-host is no way into the
// network that the machine stands in.
func (m *Machine) localDialer(r Request) (func(context.Context, string, string) (net.Conn, error), error) {
	target, err := url.Parse(r.URL)
	if err != nil {
		return nil, noRequest("%v", err)
	}
	if target.Scheme != "http" && target.Scheme != "https" {
		return nil, noRequest("%q is not asked by HTTP", r.URL)
	}
	if r.Socket != "" {
		if !filepath.IsAbs(r.Socket) {
			return nil, noRequest("%q is not the path of a socket", r.Socket)
		}
		return func(ctx context.Context, _, _ string) (net.Conn, error) {
			return m.dialSocket(ctx, r.Socket, r.User)
		}, nil
	}
	host := target.Hostname()
	if strings.EqualFold(host, "localhost") {
		host = "127.0.0.1"
	}
	address, err := netip.ParseAddr(host)
	if err != nil || !address.IsLoopback() || address.Zone() != "" {
		return nil, noRequest("%q is not this machine: only loopback addresses and local sockets are asked", host)
	}
	port := target.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[target.Scheme]
	}
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		return m.dial(ctx, "tcp", net.JoinHostPort(address.String(), port))
	}, nil
}
