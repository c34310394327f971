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

// endpoint is how clients reach the stack.
type endpoint struct {
	scheme string // https or http
	name   string // domain or IP address, which the certificate is for
	port   int
	roots  string // PEM of who signs the certificate; empty: whom the system trusts
}

// endpoint is where clients find what serves under a name, with a certificate of
// the stack's own authority.
func (s *Session) endpoint(name string, facts plan.Facts) (endpoint, error) {
	e := endpoint{scheme: "https", name: name, port: 443}
	root := facts.Find(plan.ID{Kind: plan.KindCA, Name: plan.CAInternal}).Have[plan.AttrPublic]
	if root == "" {
		return e, errors.New("the proxy host has no certificate authority yet")
	}
	var err error
	e.roots, err = onlyRoot(root, name)
	return e, err
}

// at is the URL of the endpoint, at a host, without a path.
func (e endpoint) at(host string) string {
	address := net.JoinHostPort(host, strconv.Itoa(e.port))
	if e.port == map[string]int{"http": 80, "https": 443}[e.scheme] {
		address = strings.TrimSuffix(address, ":"+strconv.Itoa(e.port))
	}
	return e.scheme + "://" + address
}

// tlsConfig trusts who signs the endpoint's certificate, for its name only.
func (e endpoint) tlsConfig() (*tls.Config, error) {
	config := &tls.Config{ServerName: e.name, MinVersion: tls.VersionTLS12}
	if e.roots == "" {
		return config, nil
	}
	config.RootCAs = x509.NewCertPool()
	if !config.RootCAs.AppendCertsFromPEM([]byte(e.roots)) {
		return nil, errors.New("read the stack's root certificate: it is not PEM")
	}
	return config, nil
}

// ways are the routes to the relay behind an endpoint: as clients go, the proxy's
// address where that is another, and from the proxy host itself.
func (s *Session) ways(ctx context.Context, e endpoint) ([]namedWay, error) {
	trust, err := e.tlsConfig()
	if err != nil {
		return nil, err
	}
	revealed, err := s.proxy().client.Reveal(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the probe key: %w", err)
	}
	dial := s.config.DialContext
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	direct := func(address string) *directWay {
		return &directWay{endpoint: e, client: newClient(trust, dial, address), key: secret.New(revealed.Key)}
	}
	proxy := s.config.Stack.Proxy
	ways := []namedWay{{RouteDomain, direct("")}}
	if !proxy.IsLocal() && proxy.Address != e.name {
		ways = append(ways, namedWay{RouteAddress, direct(net.JoinHostPort(proxy.Address, strconv.Itoa(e.port)))})
	}
	return append(ways, namedWay{RouteHost, &hostWay{endpoint: e, host: s.proxy().client}}), nil
}

// namedWay is a way with its name.
type namedWay struct {
	Route
	way
}

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
	endpoint
	client *http.Client
	key    secret.Value
}

// newClient asks at an address, or where the name leads to when it is empty.
func newClient(trust *tls.Config, dial func(ctx context.Context, network, address string) (net.Conn, error), address string) *http.Client {
	transport := &http.Transport{
		TLSClientConfig: trust,
		// Every request shows that a new client gets through.
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, to string) (net.Conn, error) {
			return dial(ctx, network, cmp.Or(address, to))
		},
	}
	return &http.Client{Transport: transport, CheckRedirect: noRedirect}
}

func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

func (w *directWay) send(ctx context.Context, method, path string, body []byte) (*answer, error) {
	request, err := http.NewRequestWithContext(ctx, method, w.at(w.name)+path, bytes.NewReader(body))
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
	endpoint
	host asker
}

func (w *hostWay) send(ctx context.Context, method, path string, body []byte) (*answer, error) {
	timeout := hostapi.MaxAskTime
	if deadline, ok := ctx.Deadline(); ok {
		timeout = min(timeout, time.Until(deadline))
	}
	said, err := w.host.Ask(ctx, hostapi.Ask{
		Method: method, URL: w.at("127.0.0.1") + path, Host: w.name, RootCA: w.roots,
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

// relayID is the X-Request-Id of a relay's answers.
var relayID = regexp.MustCompile(`^req_[0-9a-f]{24}$`)

// strangerError is an answer that is not the relay's.
type strangerError struct {
	said string // "200, Server: nginx"
}

func (e *strangerError) Error() string { return "something else answers there: " + e.said }

var errOtherRelay = errors.New("the relay that answers there does not know this stack's probe key")

// reach reports why a way does not lead to the stack's relay. Only that one
// knows the probe key; it lists no models for it, which costs nothing.
const reachTime = 5 * time.Second // for a way to lead to the relay

func reach(ctx context.Context, w way) error {
	ctx, cancel := context.WithTimeoutCause(ctx, reachTime, fmt.Errorf("no answer within %s", plan.Seconds(reachTime)))
	defer cancel()
	said, err := w.send(ctx, http.MethodGet, "/v1/models", nil)
	if err != nil {
		return causeOf(ctx, err)
	}
	defer said.body.Close()
	ours := relayID.MatchString(said.header("X-Request-Id"))
	switch said.status {
	case http.StatusUnauthorized:
		if ours {
			return errOtherRelay
		}
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		if !ours { // of a proxy with nothing behind it
			return refused(said)
		}
	}
	if ours {
		return nil
	}
	return stranger(said)
}

// stranger tells who answered instead of the relay.
func stranger(said *answer) *strangerError {
	status := strconv.Itoa(said.status)
	for _, name := range []string{"Server", "Location", "Content-Type"} {
		if value := openai.FirstLine(said.header(name)); value != "" {
			return &strangerError{fmt.Sprintf("%s, %s: %s", status, name, value)}
		}
	}
	return &strangerError{status}
}
