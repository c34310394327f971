package engine

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/openai"
	"github.com/relayctl/relayctl/internal/plan"
	"github.com/relayctl/relayctl/internal/secret"
)

// way is one route to the relay's public API.
type way struct {
	Route
	send sender
}

// sender makes one request and returns its answer. An error means that no HTTP
// answer came; ctx bounds the whole exchange.
type sender func(ctx context.Context, method, path string, body []byte) (*answer, error)

// answer is an HTTP answer whose body is still to be read and closed.
type answer struct {
	status int
	header func(name string) string
	body   io.ReadCloser
	// firstByte is how long it took to the body's first byte, where the body
	// was read elsewhere; zero: it is read now, and the reader can tell.
	firstByte time.Duration
}

// urlAt is where a host serves clients, without a path.
func urlAt(host string) string {
	return "https://" + strings.TrimSuffix(net.JoinHostPort(host, "443"), ":443")
}

// ways are the routes to what serves under a name, with a certificate of the
// stack's own authority: as clients go, the proxy's address where that is
// another, and from the proxy host itself.
func (s *Session) ways(ctx context.Context, name string, facts plan.Facts) ([]way, error) {
	root := facts.Find(internalCA).Have[plan.AttrPublic]
	if root == "" {
		return nil, errors.New("the proxy host has no certificate authority yet")
	}
	root, err := onlyRoot(root, name)
	if err != nil {
		return nil, err
	}
	revealed, err := s.proxy().client.Reveal(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the probe key: %w", err)
	}
	trust := &tls.Config{ServerName: name, MinVersion: tls.VersionTLS12, RootCAs: x509.NewCertPool()}
	trust.RootCAs.AppendCertsFromPEM([]byte(root))
	proxy, key := s.config.Stack.Proxy, secret.New(revealed.Key)
	ways := []way{{RouteDomain, s.fromHere(name, "", trust, key)}}
	if !proxy.IsLocal() && proxy.Address != name {
		ways = append(ways, way{RouteAddress, s.fromHere(name, net.JoinHostPort(proxy.Address, "443"), trust, key)})
	}
	return append(ways, way{RouteHost, s.proxy().fromItself(name, root)}), nil
}

// fromHere asks from this machine, at an address, or where the name leads to
// when it is empty. Every request shows that a new client gets through.
func (s *Session) fromHere(name, address string, trust *tls.Config, key secret.Value) sender {
	dial := s.config.DialContext
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	client := &http.Client{
		Transport: &http.Transport{
			TLSClientConfig: trust, DisableKeepAlives: true,
			DialContext: func(ctx context.Context, network, to string) (net.Conn, error) {
				return dial(ctx, network, cmp.Or(address, to))
			},
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return func(ctx context.Context, method, path string, body []byte) (*answer, error) {
		request, err := http.NewRequestWithContext(ctx, method, urlAt(name)+path, bytes.NewReader(body))
		if err != nil {
			return nil, err
		}
		request.Header.Set("Authorization", "Bearer "+key.Reveal())
		request.Header.Set("Content-Type", "application/json")
		response, err := client.Do(request)
		if err != nil {
			return nil, plainly(err)
		}
		return &answer{status: response.StatusCode, header: response.Header.Get, body: response.Body}, nil
	}
}

// plainly leaves out of an error what its reader knows: what was asked for, and
// that a name was looked up to be dialled.
func plainly(err error) error {
	var lookup *net.DNSError
	if errors.As(err, &lookup) {
		return lookup
	}
	var asked *url.Error
	if errors.As(err, &asked) {
		return asked.Err
	}
	return err
}

// fromItself asks from the host that serves.
func (h *host) fromItself(name, root string) sender {
	return func(ctx context.Context, method, path string, body []byte) (*answer, error) {
		timeout := hostapi.MaxAskTime
		if deadline, ok := ctx.Deadline(); ok {
			timeout = min(timeout, time.Until(deadline))
		}
		said, err := h.client.Ask(ctx, hostapi.Ask{
			Method: method, URL: urlAt("127.0.0.1") + path, Host: name, RootCA: root,
			Header: map[string]string{"Content-Type": "application/json"}, Probe: true, Body: body, Timeout: timeout,
		})
		if err != nil {
			return nil, err
		}
		header := func(name string) string { return said.Header[name] }
		return &answer{said.Status, header, io.NopCloser(bytes.NewReader(said.Body)), said.FirstByte}, nil
	}
}

// relayID is the X-Request-Id of a relay's answers.
var relayID = regexp.MustCompile(`^req_[0-9a-f]{24}$`)

// strangerError is an answer that is not the relay's: "200, Server: nginx".
type strangerError string

func (e strangerError) Error() string { return "something else answers there: " + string(e) }

var errOtherRelay = errors.New("the relay that answers there does not know this stack's probe key")

// reachTime is how long a way may take to lead to the relay.
const reachTime = 5 * time.Second

// reach reports why a way does not lead to the stack's relay. Only that one
// knows the probe key; it lists no models for it, which costs nothing.
func reach(ctx context.Context, w way) error {
	ctx, cancel := context.WithTimeoutCause(ctx, reachTime, fmt.Errorf("no answer within %s", plan.Seconds(reachTime)))
	defer cancel()
	said, err := w.send(ctx, http.MethodGet, "/v1/models", nil)
	if err != nil {
		return causeOf(ctx, err)
	}
	defer said.body.Close()
	switch isRelay := relayID.MatchString(said.header("X-Request-Id")); {
	case isRelay && said.status == http.StatusUnauthorized:
		return errOtherRelay
	case isRelay:
		return nil
	case isUnavailable(said.status): // of a proxy with nothing behind it
		return refused(said)
	}
	return stranger(said)
}

// stranger tells who answered instead of the relay.
func stranger(said *answer) strangerError {
	status := strconv.Itoa(said.status)
	for _, name := range []string{"Server", "Location", "Content-Type"} {
		if value := openai.FirstLine(said.header(name)); value != "" {
			return strangerError(status + ", " + name + ": " + value)
		}
	}
	return strangerError(status)
}
