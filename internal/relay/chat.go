package relay

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/relayctl/relayctl/internal/openai"
	"github.com/relayctl/relayctl/internal/protocol"
)

// maxTries bounds how many workers one request is given to, and maxBegun how
// many of their engines may have begun to work on it: it may be what breaks them.
const (
	maxTries = 10
	maxBegun = 3
)

// job is a request that was let in.
type job struct {
	*request
	keyHash string // of the key that it came with
	head    protocol.RequestHead
	body    body
}

// chat relays one completion.
func (s *Server) chat(ctx context.Context, rq *request, w http.ResponseWriter, r *http.Request) *openai.Error {
	j := &job{request: rq}
	defer j.body.free()
	if refusal := s.admit(j, w, r); refusal != nil {
		return refusal
	}
	limit := time.Duration(s.current().settings.Relay.RequestTimeout)
	timeout := time.AfterFunc(time.Until(rq.start.Add(limit)), func() { rq.cancel(errRequestTimeout) })
	defer timeout.Stop()
	err := s.relayInTurn(ctx, j, w)
	if err == nil {
		rq.outcome = answered
		return nil
	}
	rq.err = err
	switch {
	case cancelledBy(err):
		rq.outcome = cancelled
		panic(http.ErrAbortHandler) // who ended only its own side is not to take what there is for an answer
	case rq.tear:
		panic(http.ErrAbortHandler)
	case rq.outcome == broken: // a part was delivered: the answer writer has said so
		return nil
	}
	// The deadline set at the request's start may have passed by now.
	http.NewResponseController(w).SetWriteDeadline(time.Now().Add(clientStall))
	var away *turnedAway
	told := judge(err).told
	if told == nil && errors.As(err, &away) {
		away.passOn(rq, w)
	}
	return told
}

// identify finds whose key the request carries.
func (s *Server) identify(rq *request, w http.ResponseWriter, r *http.Request) (*key, *openai.Error) {
	k, err := s.current().ring.client(r.Header, time.Now())
	if err != nil {
		w.Header().Set("WWW-Authenticate", "Bearer")
		return nil, err.told
	}
	rq.key, rq.probe = k.name, k.probe
	return k, nil
}

// admit checks all that can be checked before a worker is needed.
func (s *Server) admit(j *job, w http.ResponseWriter, r *http.Request) *openai.Error {
	k, refusal := s.identify(j.request, w, r)
	if refusal != nil {
		return refusal
	}
	if enc := r.Header.Get("Content-Encoding"); enc != "" && !strings.EqualFold(enc, "identity") {
		return invalidError(http.StatusUnsupportedMediaType, "unsupported_encoding", "", "send the body without Content-Encoding")
	}
	j.keyHash, j.body.key = k.hash, k.name
	limit := time.Duration(s.current().settings.Relay.RequestTimeout)
	if refusal := s.readBody(w, r, &j.body, j.start.Add(limit)); refusal != nil {
		return refusal
	}
	j.bytesIn = int64(len(j.body.data))
	return s.admitBody(j, r)
}

// admitBody checks what the body asks for, with the key as it is by now.
func (s *Server) admitBody(j *job, r *http.Request) *openai.Error {
	envelope, err := openai.ParseEnvelope(j.body.data)
	if err != nil {
		param := ""
		var fault *openai.EnvelopeError
		if errors.As(err, &fault) {
			param = fault.Param
		}
		return invalidError(http.StatusBadRequest, "invalid_body", param, err.Error())
	}
	if refusal := s.mayUse(j.keyHash, envelope.Model); refusal != nil {
		return refusal
	}
	if j.probe && !fewTokens(envelope) {
		return probeOnly(": max_tokens must be 16 at most")
	}
	j.model = envelope.Model
	j.head = protocol.RequestHead{
		ID:     j.id,
		Model:  envelope.Model,
		Method: r.Method,
		Target: r.RequestURI,
		Header: protocol.RequestFields(r.Header),
	}
	return nil
}

// mayUse holds a request to the settings in force. They change while its body
// comes and while it waits.
func (s *Server) mayUse(keyHash, model string) *openai.Error {
	k, err := s.current().ring.byHash(keyHash, time.Now())
	switch {
	case err != nil:
		return err.told
	case !k.allows(model) || !s.scheduler.knows(model):
		return unknownModelError(model)
	}
	return nil
}

// relay finds a worker and passes its answer on. Where it fails before a byte
// was delivered, another worker gets the request.
func (s *Server) relay(ctx context.Context, j *job, w http.ResponseWriter) error {
	c := claim{model: j.model, wait: time.Duration(s.current().settings.Relay.QueueTimeout)}
	begun := 0 // tries that an engine may have worked on
	for {
		waited := time.Now()
		lease, err := s.scheduler.acquire(ctx, c)
		j.queued += time.Since(waited)
		switch {
		case err != nil && j.err != nil && ctx.Err() == nil:
			return j.err // what a worker said tells more than that there is no other
		case err != nil:
			return err
		}
		if refusal := s.mayUse(j.keyHash, j.model); refusal != nil {
			lease.release()
			return refusal
		}
		j.tries++
		j.worker = lease.slot.link.name
		if err = s.attempt(ctx, j, lease, w); err == nil {
			lease.slot.failed.Store(nil)
			return nil
		}
		v := judge(err)
		if v.engine != nil {
			lease.slot.failed.Store(v.engine)
		}
		if !v.untouched {
			begun++
		}
		if j.outcome == broken || !v.elsewhere || j.tries == maxTries || begun == maxBegun {
			return err
		}
		j.err = err // for the log, also where another worker answers
		c.again = true
		if errors.Is(err, protocol.ErrLost) {
			s.scheduler.leave(lease.slot.link) // this may have come to know it before its own goroutine
			c.wait = min(c.wait, returnTime)   // the worker itself may come back
		} else {
			lease.rest()
			c.avoid = append(c.avoid, lease.slot.link)
		}
	}
}

// attempt gives the request to one worker, and frees its slot when the answer
// is whole or given up.
func (s *Server) attempt(ctx context.Context, j *job, l *lease, w http.ResponseWriter) (err error) {
	defer l.release()
	stream, err := l.slot.link.conn.Open(j.head, j.body.data)
	if err != nil {
		return err
	}
	defer func() {
		if cancelledBy(err) {
			stream.Reset(protocol.ResetCancelled, "")
		} else if err != nil {
			stream.Reset(protocol.ResetTimeout, "")
		}
	}()
	stream.WhenWhole(l.release) // whatever the client still has to take
	settings := s.current().settings.Relay
	idle := newSilence(time.Duration(settings.FirstByteTimeout), time.Duration(settings.IdleTimeout), j.cancel)
	defer idle.Stop()
	a := &answer{stream: stream, job: j, w: w, idle: idle}
	if err := a.begin(ctx); err != nil {
		return err
	}
	s.metrics.firstByte.WithLabelValues(j.model).Observe(j.firstByte.Seconds())
	idle.start()
	return a.pass(ctx)
}
