package host

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
	"time"

	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
)

// Ask sends an HTTP request to this machine and returns the answer, of which
// at most hostapi.MaxAnswer bytes of the body.
func (h *Host) Ask(ctx context.Context, params hostapi.Ask) (hostapi.Answer, error) {
	if params.Timeout <= 0 || params.Timeout > hostapi.MaxAskTime {
		return hostapi.Answer{}, badRequest("a timeout of %v", params.Timeout)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, params.Timeout, fmt.Errorf("no answer within %s", plan.Seconds(params.Timeout)))
	defer cancel()
	begun := time.Now()
	response, err := h.send(ctx, params, relayUser)
	if err != nil {
		return hostapi.Answer{}, err
	}
	defer response.Body.Close()
	answer := hostapi.Answer{Status: response.StatusCode, Header: map[string]string{}}
	for name := range response.Header {
		answer.Header[name] = response.Header.Get(name)
	}
	first := make([]byte, 1)
	n, err := io.ReadFull(response.Body, first)
	answer.FirstByte = time.Since(begun)
	if err == nil {
		var rest []byte
		rest, err = io.ReadAll(io.LimitReader(response.Body, hostapi.MaxAnswer-1))
		answer.Body = append(first[:n], rest...)
	}
	if err != nil && err != io.EOF {
		return hostapi.Answer{}, askError(ctx, params, err)
	}
	return answer, nil
}

// send sends the request without following redirects. On a local socket, only
// root and user are believed.
func (h *Host) send(ctx context.Context, params hostapi.Ask, user string) (*http.Response, error) {
	dial, err := h.localDialer(params, user)
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, params.Method, params.URL, bytes.NewReader(params.Body))
	if err != nil {
		return nil, badRequest("%v", err)
	}
	request.Host = params.Host
	for name, value := range params.Header {
		request.Header.Set(name, value)
	}
	if params.Probe {
		token, err := h.loadSecret(plan.SecretProbe)
		if err != nil {
			return nil, err
		}
		request.Header.Set("Authorization", "Bearer "+token.Reveal())
	}
	transport := &http.Transport{DialContext: dial, DisableKeepAlives: true, ForceAttemptHTTP2: true}
	if transport.TLSClientConfig, err = askTLS(params); err != nil {
		return nil, err
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return nil, askError(ctx, params, err)
	}
	return response, nil
}

func askError(ctx context.Context, params hostapi.Ask, err error) error {
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	where := params.URL
	if params.Socket != "" {
		where = params.Socket
	}
	return fmt.Errorf("ask %s: %w", where, err)
}

// askTLS trusts the given root and nothing wider, or else what the machine
// trusts.
func askTLS(params hostapi.Ask) (*tls.Config, error) {
	config := &tls.Config{}
	if host, _, err := net.SplitHostPort(params.Host); err == nil {
		config.ServerName = host
	} else {
		config.ServerName = params.Host
	}
	if params.RootCA != "" {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM([]byte(params.RootCA)) {
			return nil, badRequest("the root certificate is not PEM")
		}
	}
	return config, nil
}

// localDialer connects to this machine only: relay-host is no way into the
// network that the machine stands in.
func (h *Host) localDialer(params hostapi.Ask, user string) (func(context.Context, string, string) (net.Conn, error), error) {
	target, err := url.Parse(params.URL)
	if err != nil {
		return nil, badRequest("%v", err)
	}
	if target.Scheme != "http" && target.Scheme != "https" {
		return nil, badRequest("%q is not asked by HTTP", params.URL)
	}
	if params.Socket != "" {
		if !filepath.IsAbs(params.Socket) {
			return nil, badRequest("%q is not the path of a socket", params.Socket)
		}
		return func(ctx context.Context, _, _ string) (net.Conn, error) {
			return h.dialSocket(ctx, params.Socket, user)
		}, nil
	}
	host := target.Hostname()
	if strings.EqualFold(host, "localhost") {
		host = "127.0.0.1"
	}
	address, err := netip.ParseAddr(host)
	if err != nil || !address.IsLoopback() || address.Zone() != "" {
		return nil, badRequest("%q is not this machine: only loopback addresses and local sockets are asked", host)
	}
	port := target.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[target.Scheme]
	}
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		return h.dial(ctx, "tcp", net.JoinHostPort(address.String(), port))
	}, nil
}

// Reveal returns the key that is good for a one-token probe, and nothing else.
func (h *Host) Reveal() (hostapi.Revealed, error) {
	token, err := h.loadSecret(plan.SecretProbe)
	if err != nil {
		return hostapi.Revealed{}, err
	}
	return hostapi.Revealed{Key: token.Reveal()}, nil
}
