package hostapi

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"time"
)

// LostError means that the conversation ended before the answer came.
type LostError struct {
	Op    Op
	Cause error // why it ended
}

func (e *LostError) Error() string {
	return fmt.Sprintf("%s: conversation with relay-host lost: %v", e.Op, e.Cause)
}

func (e *LostError) Unwrap() error { return e.Cause }

// Client is relayctl's end of one conversation, after the greeting. Its
// methods may be called from several goroutines; requests are answered in
// order.
type Client struct {
	stream io.ReadWriteCloser
	writes chan struct{} // holds one token: the right to write
	begun  bool          // something was written; whoever has the token may look

	over   context.Context // ends when there will be no more answers; its cause says why
	lose   context.CancelCauseFunc
	given  context.Context // ends when this end gives the conversation up; its cause says why
	giveUp context.CancelCauseFunc

	mu      sync.Mutex
	nextID  uint64
	waiting map[uint64]*call
}

type call struct {
	id        uint64
	op        Op
	responses chan Response // closed when the conversation is lost
}

// responsesAhead is how many responses may wait for a slow caller before the
// whole conversation waits for it.
const responsesAhead = 64

// NewClient wraps a stream whose greeting has been read. Run has to be called
// for answers to arrive.
func NewClient(stream io.ReadWriteCloser) *Client {
	c := &Client{stream: stream, writes: make(chan struct{}, 1), waiting: map[uint64]*call{}}
	c.over, c.lose = context.WithCancelCause(context.Background())
	c.given, c.giveUp = context.WithCancelCause(context.Background())
	c.writes <- struct{}{}
	return c
}

// Run delivers answers until ctx ends, the stream ends or relay-host has been
// silent for Silence, and closes the stream. It returns why it ended.
func (c *Client) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	watch := NewSilenceWatch(c.stream, "relay-host")
	var background sync.WaitGroup
	background.Go(func() { c.ping(ctx) })
	background.Go(func() {
		if err := watch.Wait(ctx); err != nil {
			cancel(err)
		}
		c.stream.Close() // unblocks the read below, and every write
	})

	cancel(c.read(ctx, bufio.NewReaderSize(watch, 64<<10)))
	cause := cmp.Or(context.Cause(c.given), context.Cause(ctx))
	c.end(cause)
	background.Wait()
	return cause
}

// read delivers answers until there are no more, or until relay-host says more
// than it may.
func (c *Client) read(ctx context.Context, from *bufio.Reader) error {
	aside := newChatter()
	for ctx.Err() == nil && c.given.Err() == nil { // a stream may have more to give when it was closed
		var response Response
		size, err := readMessage(from, &response)
		if err != nil {
			return err
		}
		if !c.deliver(ctx, response) {
			err = aside.hear(size)
		}
		if err != nil {
			return err
		}
	}
	return context.Cause(ctx)
}

// Close ends the conversation: relay-host finishes the step it is in.
func (c *Client) Close() error { return c.stream.Close() }

// ping gives relay-host something to answer. It may be stuck in a write for as
// long as the stream is, so that it does not watch for silence itself.
func (c *Client) ping(ctx context.Context) {
	tick := time.NewTicker(PingEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			// Its answer is a sign of life, and nobody waits for it.
			if ping, err := c.start(ctx, OpPing, nil, nil); err == nil {
				c.forget(ping)
			}
		}
	}
}

// deliver hands a response to the call that waits for it; nobody waits for
// one that was given up, nor for a second end. It reports whether that was the
// end of a request.
func (c *Client) deliver(ctx context.Context, response Response) bool {
	ends := response.Progress == nil
	c.mu.Lock()
	waiting := c.waiting[response.ID]
	if ends {
		delete(c.waiting, response.ID)
	}
	c.mu.Unlock()
	if waiting == nil {
		return false
	}
	select {
	case waiting.responses <- response:
	case <-ctx.Done():
	}
	return ends
}

// end tells every call that there will be no answer.
func (c *Client) end(cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lose(cause)
	for id, waiting := range c.waiting {
		close(waiting.responses)
		delete(c.waiting, id)
	}
}

// call sends one request and waits for its end.
func (c *Client) call(ctx context.Context, op Op, b bound, params any, onProgress func(Progress)) (json.RawMessage, error) {
	defer c.within(ctx, op, b)()
	started, err := c.start(ctx, op, params, nil)
	if err != nil {
		return nil, err
	}
	return c.wait(ctx, started, onProgress)
}

// start sends one request, followed by blob.
func (c *Client) start(ctx context.Context, op Op, params any, blob []byte) (*call, error) {
	started, err := c.register(op)
	if err != nil {
		return nil, err
	}
	if err := c.send(ctx, Request{ID: started.id, Op: op}, params, blob); err != nil {
		c.forget(started)
		return nil, err
	}
	return started, nil
}

// wait returns the end of a request. When ctx ends first, relay-host is told
// to stop after the step it is in, and wait goes on until it has.
func (c *Client) wait(ctx context.Context, started *call, onProgress func(Progress)) (json.RawMessage, error) {
	defer c.forget(started)
	done := ctx.Done()
	for {
		select {
		case response, open := <-started.responses:
			switch {
			case !open:
				return nil, &LostError{started.op, context.Cause(c.over)}
			case response.Progress != nil:
				if onProgress != nil {
					onProgress(response.Progress.cut())
				}
			case response.Error != nil:
				return nil, response.Error.cut()
			default:
				return response.Result, nil
			}
		case <-c.given.Done():
			return nil, &LostError{started.op, context.Cause(c.given)}
		case <-done:
			done = nil
			c.cancelRequest(context.WithoutCancel(ctx), started.id)
		}
	}
}

// cancelRequest asks for the end of a request; nobody waits for the answer,
// since the request's own end is one.
func (c *Client) cancelRequest(ctx context.Context, id uint64) {
	if cancel, err := c.start(ctx, OpCancel, Cancel{ID: id}, nil); err == nil {
		c.forget(cancel)
	}
}

func (c *Client) register(op Op) (*call, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over.Err() != nil {
		return nil, &LostError{op, context.Cause(c.over)}
	}
	c.nextID++
	started := &call{id: c.nextID, op: op, responses: make(chan Response, responsesAhead)}
	c.waiting[started.id] = started
	return started, nil
}

func (c *Client) forget(ended *call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.waiting, ended.id)
}

// send writes a request's line and its blob, as one piece; the first with the
// line before it that begins the conversation.
func (c *Client) send(ctx context.Context, request Request, params any, blob []byte) error {
	if params != nil {
		encoded, err := json.Marshal(params)
		if err != nil {
			return fmt.Errorf("%s: encode parameters: %w", request.Op, err)
		}
		request.Params = encoded
	}
	line, err := EncodeMessage(request)
	if err != nil {
		return fmt.Errorf("%s: %w", request.Op, err)
	}
	select {
	case <-c.writes:
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", request.Op, context.Cause(ctx))
	}
	defer func() { c.writes <- struct{}{} }()
	if !c.begun {
		line = append([]byte(Start+"\n"), line...)
		c.begun = true
	}
	if _, err := c.stream.Write(append(line, blob...)); err != nil {
		return c.writeError(ctx, request.Op, err)
	}
	return nil
}

// writeError is why nothing can be written any more. The reading end learns of
// it, too, and hears more: last words, or how relay-host ended.
func (c *Client) writeError(ctx context.Context, op Op, err error) error {
	select {
	case <-c.over.Done():
		err = context.Cause(c.over)
	case <-ctx.Done():
	}
	return &LostError{op, err}
}
