package worker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

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
	model   Model
	kept    *http.Transport // keeps its connections for the next request
	fresh   *http.Transport // opens one for each
	log     *slog.Logger
	memory  *semaphore.Weighted // for the bodies of requests, of all engines together
	buffers sync.Pool           // of *[protocol.MaxBody]byte
}

func newEngine(m Model, memory *semaphore.Weighted, log *slog.Logger) *engine {
	kept := &http.Transport{
		Proxy:               nil, // the engine's address is fixed by the settings
		DialContext:         dialEngine,
		TLSHandshakeTimeout: 10 * time.Second,
		MaxIdleConnsPerHost: m.Concurrency,
		IdleConnTimeout:     4 * time.Second, // uvicorn, and so vLLM, closes its side after 5
		DisableCompression:  true,            // bytes pass as they are
		ReadBufferSize:      16 << 10,
		WriteBufferSize:     16 << 10,
	}
	fresh := kept.Clone()
	fresh.DisableKeepAlives = true
	return &engine{model: m, log: log, memory: memory, kept: kept, fresh: fresh}
}

// serve answers one request with what the engine says.
func (e *engine) serve(ctx context.Context, s *protocol.Stream) {
	err := e.relay(ctx, s)
	if err == nil {
		return
	}
	givenUp := ctx.Err() != nil // by the relay, which knows why
	reset := e.resetOf(err)
	s.Fail(reset)
	if !givenUp {
		e.log.Warn("request failed", "id", s.Request().ID, "model", e.model.Name, "err", reset)
	}
}

func (e *engine) relay(ctx context.Context, s *protocol.Stream) error {
	head := s.Request()
	target, err := e.target(head)
	if err != nil {
		return err
	}
	body, err := e.body(ctx, s)
	held := int64(cap(body))
	defer func() { e.memory.Release(held) }()
	if err == nil && e.model.Upstream != "" {
		body, err = e.renamed(body)
	}
	if err != nil {
		return err
	}
	var trace callTrace
	r, err := http.NewRequestWithContext(trace.within(ctx), head.Method, "", bytes.NewReader(body))
	if err != nil {
		return refusal("the method is no valid one")
	}
	r.URL = target
	r.Host = target.Host
	r.Header = fields(head.Header)
	if !e.model.Key.IsZero() {
		r.Header.Set("Authorization", "Bearer "+e.model.Key.Reveal())
	}
	response, err := e.call(r, &trace)
	if err != nil {
		if !isDial(err) && e.speaksTLS(ctx) {
			return e.plainToTLS()
		}
		return err
	}
	defer response.Body.Close()
	switch {
	case response.StatusCode >= 300 && response.StatusCode < 400:
		return e.redirected(response)
	case response.StatusCode == http.StatusBadRequest && protocol.MediaType(response.Header) != protocol.JSON && e.speaksTLS(ctx):
		return e.plainToTLS()
	}
	return e.pass(ctx, s, response)
}

// call makes a request. An engine closes a connection that it kept whenever it
// likes, also while a request is on its way to it: where a kept one ends before
// a byte of an answer came, or what it says is none to this request, the request
// is made again, on one of its own.
func (e *engine) call(r *http.Request, trace *callTrace) (*http.Response, error) {
	response, err := e.kept.RoundTrip(r) // not a client: it would follow redirects
	if trace.stray.Load() {
		if err == nil {
			response.Body.Close()
		}
		response, err = nil, errStray
	}
	if err == nil || !trace.kept.Load() || trace.answered.Load() || r.Context().Err() != nil {
		return response, err
	}
	again := r.Clone(r.Context())
	if again.Body, err = r.GetBody(); err != nil {
		return nil, err
	}
	return e.fresh.RoundTrip(again)
}

// fields is the engine's share of a request's header, held to the same list
// the relay holds to.
func fields(from []protocol.Field) http.Header {
	h := protocol.RequestHeader(from)
	if h.Get("User-Agent") == "" {
		h.Set("User-Agent", "") // or net/http would put in its own
	}
	h.Set("Accept-Encoding", "identity") // without a word any encoding may come, and no client asked for one
	return h
}

// target is the engine's URL for a request, if one may be made. The query goes
// on byte for byte.
func (e *engine) target(head protocol.RequestHead) (*url.URL, error) {
	path, query, asked := strings.Cut(head.Target, "?")
	if !protocol.PlainTarget(head.Target) {
		return nil, refusal("the request's target is none")
	}
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

// body reads the request's body, whose memory is to be given back, also with an
// error. It is in memory before the engine is called: then the call can be made
// again where a kept connection turns out closed.
func (e *engine) body(ctx context.Context, s *protocol.Stream) ([]byte, error) {
	length := s.Request().Length
	if length < 0 || length > maxRequest {
		return nil, &protocol.ResetError{Code: protocol.ResetTooLarge, Text: "the request is larger than this worker takes"}
	}
	var body []byte
	for {
		chunk, err := s.Next(ctx)
		if errors.Is(err, io.EOF) {
			return body, nil
		}
		if err != nil {
			return body, err
		}
		need := len(body) + len(chunk)
		if int64(need) > length {
			return body, refusal("the request is longer than announced")
		}
		if need > cap(body) {
			room := int(min(length, int64(max(need, 2*cap(body)))))
			if !e.memory.TryAcquire(int64(room - cap(body))) {
				return body, refusal("the worker holds too many large requests")
			}
			body = append(make([]byte, 0, room), body...)
		}
		body = append(body, chunk...)
	}
}

// renamed is a body with the engine's own name for the model.
func (e *engine) renamed(body []byte) ([]byte, error) {
	envelope, err := openai.ParseEnvelope(body)
	if err != nil {
		return nil, refusal(err.Error())
	}
	return envelope.WithModel(body, e.model.Upstream), nil
}

// pass sends the engine's answer on as it comes.
func (e *engine) pass(ctx context.Context, s *protocol.Stream, response *http.Response) error {
	if err := e.checkEnd(response); err != nil {
		return err
	}
	buf, ok := e.buffers.Get().(*[protocol.MaxBody]byte)
	if !ok {
		buf = new([protocol.MaxBody]byte)
	}
	defer e.buffers.Put(buf)
	begun, came := false, 0 // bytes that the last read brought
	for {
		n, err := response.Body.Read(buf[:])
		if n > 0 {
			came = n
		}
		last := errors.Is(err, io.EOF) || err != nil && isDone(response, buf[:came])
		if err != nil && !last {
			return &midAnswer{err}
		}
		switch {
		case !begun && (n > 0 || last):
			begun = true
			if response.StatusCode >= 400 {
				e.log.Warn("the engine answered with an error", "id", s.Request().ID, "model", e.model.Name,
					"status", response.StatusCode, "said", openai.ErrorText(buf[:n]))
			}
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

// maxUnframed is how much of an answer is read ahead to see whether it is whole,
// in bytes.
const maxUnframed = 16 << 20

// checkEnd reads a JSON answer ahead that nothing but the end of its connection
// ends, as HTTP/1.0 has it: what is cut looks whole there, but for being no JSON.
// (In an event stream the relay sees it.)
func (e *engine) checkEnd(response *http.Response) error {
	framed := response.ContentLength >= 0 || len(response.TransferEncoding) > 0
	if framed || response.Header.Get("Content-Encoding") != "" || protocol.MediaType(response.Header) != protocol.JSON {
		return nil
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxUnframed))
	switch {
	case err != nil:
		return &midAnswer{err}
	case len(body) < maxUnframed && !json.Valid(body):
		return &midAnswer{io.ErrUnexpectedEOF}
	}
	response.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(body), response.Body), response.Body}
	return nil
}

// isDone reports whether a stream of events whose connection broke had come to
// its end before, by what came last.
func isDone(response *http.Response, tail []byte) bool {
	return protocol.MediaType(response.Header) == protocol.EventStream && openai.StreamIsDone(tail)
}
