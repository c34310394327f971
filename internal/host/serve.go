package host

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/relayctl/relayctl/internal/hostapi"
)

// Bounds of the conversation.
const (
	requestsAhead  = 64              // requests that may wait; relayctl sends 32 pieces of a blob ahead
	responsesAhead = 64              // responses that may wait for a slow line; progress is left out beyond
	flushTime      = 5 * time.Second // for the last responses, once the other end is silent
)

// errEnd is the end of the conversation as it should be.
var errEnd = errors.New("end of the conversation")

// Conversation is one run of relay-host.
type Conversation struct {
	host *Host
	in   io.ReadCloser
	out  io.WriteCloser

	responses chan []byte
	served    chan struct{} // closed when the last request has ended
	gone      chan struct{} // closed when nobody takes responses any more

	mu      sync.Mutex
	cancels map[uint64]context.CancelFunc // of requests that wait or run
}

// work is a request with the bytes that followed it.
type work struct {
	ctx     context.Context
	request hostapi.Request
	put     hostapi.Put
	piece   []byte
}

// NewConversation prepares to serve what comes from in, and to answer to out.
func NewConversation(host *Host, in io.ReadCloser, out io.WriteCloser) *Conversation {
	return &Conversation{
		host: host, in: in, out: out,
		responses: make(chan []byte, responsesAhead), served: make(chan struct{}), gone: make(chan struct{}),
		cancels: map[uint64]context.CancelFunc{},
	}
}

// Serve greets and serves until the end of input, hostapi.Silence without a
// byte, or the end of ctx; then it ends the step that runs, gives the lock
// back and closes in and out. The error is nil after an end of input or of ctx.
func (c *Conversation) Serve(ctx context.Context, hello hostapi.Hello) error {
	if err := hostapi.WriteGreeting(c.out, hello); err != nil {
		return fmt.Errorf("greet: %w", err)
	}
	asked := ctx
	ctx, end := context.WithCancelCause(ctx)
	queue := make(chan work, requestsAhead)
	heard := hostapi.NewSilenceWatch(c.in, "relayctl")

	var reading, writing sync.WaitGroup
	reading.Go(func() {
		defer close(queue)
		end(c.read(ctx, queue, heard))
	})
	reading.Go(func() {
		if err := heard.Wait(ctx); err != nil {
			end(err)
		}
		c.giveUp()
	})
	writing.Go(c.write)

	for one := range queue { // ends when reading does
		c.do(one)
	}
	unlock := c.host.Close()
	close(c.served)
	close(c.responses)
	c.flush(&writing)
	reading.Wait()
	if cause := context.Cause(ctx); asked.Err() == nil && !errors.Is(cause, errEnd) {
		return cause
	}
	return unlock
}

// giveUp ends the reading, and some time later the wait for responses to be
// taken.
func (c *Conversation) giveUp() {
	c.in.Close() // unblocks read
	select {
	case <-c.served:
	case <-time.After(flushTime):
		close(c.gone)
	}
}

// read takes requests in until the input ends. Ping and cancel are answered
// here, so that they never wait for what runs.
func (c *Conversation) read(ctx context.Context, queue chan<- work, heard io.Reader) error {
	input := bufio.NewReaderSize(heard, 64<<10)
	err := hostapi.ReadStart(input)
	for {
		var request hostapi.Request
		if err == nil {
			err = hostapi.ReadMessage(input, &request)
		}
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.Is(err, io.EOF):
			return errEnd
		case err != nil:
			return fmt.Errorf("read request: %w", err)
		}
		one := work{request: request}
		if request.Op == hostapi.OpPut {
			if one.put, one.piece, err = readPiece(input, request); err != nil {
				return fmt.Errorf("read blob: %w", err)
			}
		}
		c.accept(ctx, queue, one)
	}
}

// readPiece reads the bytes that follow a put. Without knowing how many there
// are, nothing after them can be read.
func readPiece(input *bufio.Reader, request hostapi.Request) (hostapi.Put, []byte, error) {
	var put hostapi.Put
	if err := decodeParams(request, &put); err != nil {
		return put, nil, err
	}
	if put.Size < 0 || put.Size > hostapi.MaxPiece {
		return put, nil, fmt.Errorf("a piece of %d bytes", put.Size)
	}
	piece := make([]byte, put.Size)
	_, err := io.ReadFull(input, piece)
	return put, piece, err
}

// accept answers what is answered at once and queues the rest; a queue that is
// full refuses.
func (c *Conversation) accept(ctx context.Context, queue chan<- work, one work) {
	switch one.request.Op {
	case hostapi.OpPing:
		c.answer(one.request.ID, nil, nil)
		return
	case hostapi.OpCancel:
		var params hostapi.Cancel
		err := decodeParams(one.request, &params)
		if err == nil {
			c.cancel(params.ID)
		}
		c.answer(one.request.ID, nil, err)
		return
	}
	requestCtx, cancel := context.WithCancel(ctx)
	one.ctx = requestCtx
	c.mu.Lock()
	c.cancels[one.request.ID] = cancel
	c.mu.Unlock()
	select {
	case queue <- one:
	default:
		c.cancel(one.request.ID)
		c.answer(one.request.ID, nil, hostapi.BadRequest("more than %d requests wait", requestsAhead))
	}
}

// cancel gives a request up; one that has ended already is none.
func (c *Conversation) cancel(id uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if cancel := c.cancels[id]; cancel != nil {
		cancel()
		delete(c.cancels, id)
	}
}

// do serves one request.
func (c *Conversation) do(one work) {
	defer c.cancel(one.request.ID)
	if one.ctx.Err() != nil {
		c.answer(one.request.ID, nil, context.Canceled)
		return
	}
	result, err := c.host.serve(one.ctx, one, func(progress hostapi.Progress) { c.progress(one.request.ID, progress) })
	c.answer(one.request.ID, result, err)
}

// write sends responses until there are no more. After an error it goes on
// taking them: a step must not wait for a line that is dead.
func (c *Conversation) write() {
	dead := false
	for response := range c.responses {
		if dead {
			continue
		}
		if _, err := c.out.Write(response); err != nil {
			dead = true
		}
	}
}

// flush gives the last responses some time to go out, and closes the output.
func (c *Conversation) flush(writing *sync.WaitGroup) {
	timer := time.AfterFunc(flushTime, func() { c.out.Close() })
	writing.Wait()
	timer.Stop()
	c.out.Close()
}
