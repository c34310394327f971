package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/relayctl/relayctl/internal/openai"
)

// refusal is an HTTP answer that is no token.
type refusal struct {
	status  int
	message string
	after   time.Duration // what Retry-After says; zero: nothing
}

func (r *refusal) Error() string {
	if r.message == "" {
		return fmt.Sprintf("the answer is %d %s", r.status, http.StatusText(r.status))
	}
	return fmt.Sprintf("the answer is %d: %s", r.status, r.message)
}

// passing reports whether the same request may go well a little later.
func (r *refusal) passing() bool {
	switch r.status {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// errNoTokenWithin means that an answer began, or did not, and no token came.
var errNoTokenWithin = errors.New("no token within")

// passing reports whether what failed may go well a little later.
func passing(err error) bool {
	var said *refusal
	return errors.As(err, &said) && said.passing() || errors.Is(err, errNoAnswer)
}

// errNoAnswer means that a way led to no HTTP answer.
var errNoAnswer = errors.New("no answer")

// askForToken asks a model for one token and returns how long it took. Its
// error is a *refusal, wraps errNoTokenWithin or errNoAnswer, or says how the
// stream broke.
func askForToken(ctx context.Context, w way, model string, within time.Duration) (time.Duration, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, within, fmt.Errorf("%w %g s", errNoTokenWithin, within.Seconds()))
	defer cancel()
	began := time.Now()
	said, err := w.send(ctx, http.MethodPost, "/v1/chat/completions", tokenRequest(model))
	if err != nil {
		return 0, causeOf(ctx, fmt.Errorf("%w: %w", errNoAnswer, err))
	}
	defer said.body.Close()
	if said.status != http.StatusOK {
		return 0, refused(said)
	}
	if err := awaitToken(said.body); err != nil {
		return 0, causeOf(ctx, err)
	}
	if said.firstByte > 0 {
		return said.firstByte, nil
	}
	return time.Since(began), nil
}

// causeOf is why ctx ended, where it did, else err.
func causeOf(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// refused reads an answer that is an error.
func refused(said *answer) *refusal {
	r := &refusal{status: said.status}
	if seconds, err := strconv.Atoi(said.header("Retry-After")); err == nil && seconds > 0 {
		r.after = time.Duration(seconds) * time.Second
	}
	body, err := io.ReadAll(io.LimitReader(said.body, maxRefusal))
	if err != nil {
		return r // the status says enough
	}
	if parsed, ok := openai.ParseError(body); ok {
		r.message = firstLine(parsed.Message)
	}
	return r
}

// maxRefusal is how much of an error's body is read, in bytes.
const maxRefusal = 64 << 10

// chunk is what is looked at of an event of a streamed completion.
type chunk struct {
	Choices []struct {
		Delta struct {
			Content          string `json:"content"`
			Reasoning        string `json:"reasoning"`
			ReasoningContent string `json:"reasoning_content"`
		} `json:"delta"`
		FinishReason *string `json:"finish_reason"`
	} `json:"choices"`
}

// hasToken reports whether the model has generated something. A single token
// can be half a character, which engines send as empty text with the reason to
// finish; the first event, with nothing but the role, comes before any token.
func (c chunk) hasToken() bool {
	for _, choice := range c.Choices {
		delta := choice.Delta
		if delta.Content != "" || delta.Reasoning != "" || delta.ReasoningContent != "" || choice.FinishReason != nil {
			return true
		}
	}
	return false
}

// awaitToken reads a stream of events up to the first token.
func awaitToken(stream io.Reader) error {
	events := openai.NewEventReader(stream)
	for {
		data, err := events.Next()
		switch {
		case errors.Is(err, io.EOF):
			return errors.New("the answer ended without a token")
		case err != nil:
			return fmt.Errorf("read the answer: %w", err)
		case string(data) == openai.Done:
			return errors.New("the answer ended without a token")
		}
		if failure, ok := openai.ParseError(data); ok {
			return fmt.Errorf("the answer broke off: %s", firstLine(failure.Message))
		}
		var event chunk
		if err := json.Unmarshal(data, &event); err != nil {
			return fmt.Errorf("read the answer: %w", err)
		}
		if event.hasToken() {
			return nil
		}
	}
}

// firstLine keeps what a stranger says on one line of bounded length.
func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	if len(line) > maxSaid {
		line = strings.ToValidUTF8(line[:maxSaid], "") + "…"
	}
	return line
}

// maxSaid is how much of an error's message is repeated, in bytes.
const maxSaid = 300
