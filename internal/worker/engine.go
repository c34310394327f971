package worker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/relayctl/relayctl/internal/openai"
	"github.com/relayctl/relayctl/internal/protocol"
)

// maxRequest bounds the body of one request, in bytes, whatever the relay
// lets through.
const maxRequest = 1 << 30

// allowed are the requests that reach an engine, by kind of model. An engine
// serves more than its key protects (vLLM gives completions on /invocations to
// anybody), so all else stops here, whoever asks.
var allowed = map[string]map[string]string{ // kind, path, method
	"chat": {"/v1/chat/completions": http.MethodPost},
}

// engine calls the engine of one model.
type engine struct {
	model     Model
	transport *http.Transport
	log       *slog.Logger
	buffers   sync.Pool // of *[protocol.MaxBody]byte
}

func newEngine(m Model, log *slog.Logger) *engine {
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	return &engine{model: m, log: log, transport: &http.Transport{
		Proxy:               nil, // the engine's address is fixed by the settings
		DialContext:         dialer.DialContext,
		TLSHandshakeTimeout: 10 * time.Second,
		MaxIdleConnsPerHost: m.Concurrency,
		IdleConnTimeout:     4 * time.Second, // uvicorn, and so vLLM, closes its side after 5
		DisableCompression:  true,            // bytes pass as they are
		ReadBufferSize:      16 << 10,
		WriteBufferSize:     16 << 10,
	}}
}

// serve answers one request with what the engine says.
func (e *engine) serve(ctx context.Context, s *protocol.Stream) {
	if err := e.relay(ctx, s); err != nil {
		reset := resetOf(err)
		s.Reset(reset.Code, reset.Text)
		if ctx.Err() == nil {
			e.log.Warn("request failed", "id", s.Request().ID, "model", e.model.Name, "reason", reset.Code, "err", err)
		}
	}
}

// resetOf is what the relay is told of err: an address in it would go on to
// clients' eyes, so only its kind travels.
func resetOf(err error) *protocol.ResetError {
	var reset *protocol.ResetError
	var network *net.OpError
	switch {
	case errors.As(err, &reset):
		return reset
	case errors.As(err, &network) && network.Op == "dial":
		return &protocol.ResetError{Code: protocol.ResetUnreachable, Text: "no connection to the engine"}
	}
	return &protocol.ResetError{Code: protocol.ResetEngine, Text: "the engine broke off"}
}

func (e *engine) relay(ctx context.Context, s *protocol.Stream) error {
	head := s.Request()
	target, err := e.target(head)
	if err != nil {
		return err
	}
	body, err := e.body(ctx, s)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, head.Method, "", bytes.NewReader(body))
	if err != nil {
		return refusal("the method is no valid one")
	}
	r.URL = target
	r.Host = target.Host
	r.Header = fields(head.Header)
	if !e.model.Key.IsZero() {
		r.Header.Set("Authorization", "Bearer "+e.model.Key.Reveal())
	}
	response, err := e.transport.RoundTrip(r) // not a client: it would follow redirects
	if err != nil {
		return fmt.Errorf("call engine: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode >= 300 && response.StatusCode < 400 {
		return &protocol.ResetError{Code: protocol.ResetEngine, Text: "the engine answered with a redirect"}
	}
	return e.pass(ctx, s, response)
}

// fields is the engine's share of a request's header, held to the same list
// the relay holds to.
func fields(from []protocol.Field) http.Header {
	h := protocol.RequestHeader(from)
	if h.Get("User-Agent") == "" {
		h.Set("User-Agent", "") // or net/http would put in its own
	}
	return h
}

// target is the engine's URL for a request, if one may be made. The query goes
// on byte for byte.
func (e *engine) target(head protocol.RequestHead) (*url.URL, error) {
	path, query, asked := strings.Cut(head.Target, "?")
	if method, ok := allowed[e.model.Kind][path]; !ok || method != head.Method {
		return nil, refusal("this worker does not serve " + head.Method + " on that path")
	}
	u := *e.model.Backend
	u.Path += path
	u.RawQuery = query
	u.ForceQuery = asked && query == ""
	return &u, nil
}

func refusal(text string) error {
	return &protocol.ResetError{Code: protocol.ResetRefused, Text: text}
}

// body reads the request's body. It is in memory before the engine is called:
// then the call can be made again where a kept connection turns out closed.
func (e *engine) body(ctx context.Context, s *protocol.Stream) ([]byte, error) {
	length := s.Request().Length
	if length < 0 || length > maxRequest {
		return nil, &protocol.ResetError{Code: protocol.ResetTooLarge, Text: "the request is larger than this worker takes"}
	}
	body := make([]byte, 0, min(length, 1<<20))
	for {
		chunk, err := s.Next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if int64(len(body)+len(chunk)) > length {
			return nil, refusal("the request is longer than announced")
		}
		body = append(body, chunk...)
	}
	if e.model.Upstream == "" {
		return body, nil
	}
	envelope, err := openai.ParseEnvelope(body)
	if err != nil {
		return nil, refusal(err.Error())
	}
	return envelope.WithModel(body, e.model.Upstream), nil
}

// pass sends the engine's answer on as it comes.
func (e *engine) pass(ctx context.Context, s *protocol.Stream, response *http.Response) error {
	buf, ok := e.buffers.Get().(*[protocol.MaxBody]byte)
	if !ok {
		buf = new([protocol.MaxBody]byte)
	}
	defer e.buffers.Put(buf)
	begun := false
	for {
		n, err := response.Body.Read(buf[:])
		last := errors.Is(err, io.EOF)
		if err != nil && !last {
			return fmt.Errorf("read the engine's answer: %w", err)
		}
		switch {
		case !begun && (n > 0 || last):
			begun = true
			head := protocol.ResponseHead{Status: response.StatusCode, Header: protocol.ResponseFields(response.Header)}
			err = s.Respond(ctx, head, buf[:n], last)
		case n > 0 || last:
			err = s.Write(ctx, buf[:n], last)
		default:
			continue
		}
		if err != nil || last {
			return err
		}
	}
}
