package engine

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/relayctl/relayctl/internal/openai"
	"github.com/relayctl/relayctl/internal/plan"
)

// refusal is an HTTP answer that is no token.
type refusal struct {
	status  int
	code    string // of the error in it, as the relay or the engine has it
	message string
	after   time.Duration // what Retry-After says; zero: nothing
}

func (r *refusal) Error() string {
	if r.message == "" {
		return fmt.Sprintf("the answer is %d %s", r.status, http.StatusText(r.status))
	}
	return fmt.Sprintf("the answer is %d: %s", r.status, r.message)
}

// The relay's codes that something is decided by.
const (
	codeFirstByte  = "first_byte_timeout" // the engine had as long as a client may wait
	codeKeyRefused = "engine_key_refused"

	codeUnreachable = "engine_unreachable"
)

// passing reports whether the same request may go well a little later.
func (r *refusal) passing() bool {
	if r.code == codeFirstByte || r.code == codeKeyRefused {
		return false
	}
	switch r.status {
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// ofShape reports whether another form of the request may be taken.
func (r *refusal) ofShape() bool {
	switch r.status {
	case http.StatusBadRequest, http.StatusUnprocessableEntity, http.StatusNotImplemented:
		return true
	}
	return false
}

// ofEngine reports whether an engine that failed may be behind it, rather than
// what was asked for.
func (r *refusal) ofEngine() bool {
	own := func(prefix string) bool { return strings.HasPrefix(r.code, prefix) }
	if slices.ContainsFunc([]string{"no_worker", "queue_", "relay_", "worker_"}, own) {
		return false // the relay's own word, of something else
	}
	switch r.status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusTooManyRequests:
		return true
	}
	return r.status >= 500
}

var (
	// errNoTokenWithin means that an answer began, or did not, and no token came.
	errNoTokenWithin = errors.New("no token within")
	// errHangs means that none came for as long as clients may wait.
	errHangs = errors.New("as long as a client may wait")
	// errNoAnswer means that a way led to no HTTP answer.
	errNoAnswer = errors.New("no answer")
)

// passing reports whether what failed may go well a little later.
func passing(err error) bool {
	var said *refusal
	return errors.As(err, &said) && said.passing() || errors.Is(err, errNoAnswer)
}

// shape is a form of the request for a token.
type shape struct {
	limit  string // the member that bounds the answer
	tokens int
	stream bool
	system bool // with a system message
}

// shapes are the forms of the request for a token, in the order in which they
// are tried: what nearly every engine takes comes first. There are engines that
// take no limit below 16, that know one name of the limit only, that don't
// stream, and chat templates that want a system message.
func shapes() []shape {
	var list []shape
	for _, system := range []bool{false, true} {
		for _, stream := range []bool{true, false} {
			list = append(list,
				shape{"max_tokens", 1, stream, system},
				shape{"max_completion_tokens", 16, stream, system},
				shape{"max_tokens", 16, stream, system})
		}
	}
	return list
}

// request is the body that asks a model for a token.
func (s shape) request(model string) []byte {
	type message struct {
		Role    string `json:"role"`
		Content string `json:"content"`
	}
	messages := []message{{"user", "Say OK."}}
	if s.system {
		messages = slices.Insert(messages, 0, message{"system", "Be brief."})
	}
	members := map[string]any{"model": model, "messages": messages, s.limit: s.tokens}
	if s.stream {
		members["stream"] = true
	}
	body, err := json.Marshal(members)
	if err != nil {
		panic(fmt.Sprintf("encode a request of strings: %v", err))
	}
	return body
}

// askForToken asks a model for one token and returns how long it took. What an
// engine finds fault with is asked in another form. Its error is a *refusal,
// wraps errNoTokenWithin or errNoAnswer, or says how the answer broke.
func askForToken(ctx context.Context, w way, model string, within time.Duration) (time.Duration, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, within, fmt.Errorf("%w %s", errNoTokenWithin, plan.Seconds(within)))
	defer cancel()
	var first error
	for _, form := range shapes() {
		took, err := askOnce(ctx, w, form.request(model))
		var said *refusal
		if !errors.As(err, &said) || !said.ofShape() {
			return took, err
		}
		if first == nil {
			first = err
		}
	}
	return 0, first
}

// askOnce asks in one form.
func askOnce(ctx context.Context, w way, body []byte) (time.Duration, error) {
	began := time.Now()
	said, err := w.send(ctx, http.MethodPost, "/v1/chat/completions", body)
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
		r.code = parsed.Code
	}
	r.message = openai.ErrorText(body)
	return r
}

const (
	maxRefusal    = 64 << 10 // how much of an error's body is read, in bytes
	maxCompletion = 1 << 20  // how much of an answer in one piece is, in bytes
)

// completion is what is looked at of an answer, or of an event of one.
type completion struct {
	Choices []struct {
		Delta   map[string]json.RawMessage `json:"delta"`
		Message map[string]json.RawMessage `json:"message"`
		Text    json.RawMessage            `json:"text"`
		Finish  json.RawMessage            `json:"finish_reason"`
	} `json:"choices"`
	Usage struct {
		Generated json.RawMessage `json:"completion_tokens"`
	} `json:"usage"`
}

// generated are the members of a delta, or a message, in which engines put what
// the model generates.
var generated = []string{
	"content", "reasoning", "reasoning_content", "reasoning_details", "thinking", "thinking_blocks",
	"tool_calls", "function_call", "refusal", "audio",
}

// hasToken reports whether the model has generated something. A single token
// can be half a character, which engines send as empty text with the reason to
// finish, or count only; the first event, with nothing but the role, comes
// before any token.
func (c completion) hasToken() bool {
	for _, choice := range c.Choices {
		for _, name := range generated {
			if isFilled(choice.Delta[name]) || isFilled(choice.Message[name]) {
				return true
			}
		}
		if isFilled(choice.Text) || isFilled(choice.Finish) && string(choice.Finish) != `"error"` {
			return true
		}
	}
	return isFilled(c.Usage.Generated) && string(c.Usage.Generated) != "0"
}

// isFilled reports whether a JSON value holds anything.
func isFilled(value json.RawMessage) bool {
	switch string(value) {
	case "", "null", `""`, "[]", "{}":
		return false
	}
	return true
}

// awaitToken reads an answer up to the first token: a stream of events, or all
// of it in one piece where the engine does not stream.
func awaitToken(body io.Reader) error {
	reader := bufio.NewReader(body)
	if inOnePiece(reader) {
		return readWhole(reader)
	}
	events := openai.NewEventReader(reader)
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
		if has, err := readToken(data); has || err != nil {
			return err
		}
	}
}

// inOnePiece reports whether a JSON object comes rather than events. Engines
// give either under any media type.
func inOnePiece(reader *bufio.Reader) bool {
	for {
		next, err := reader.Peek(1)
		if err != nil || !strings.ContainsRune(" \t\r\n", rune(next[0])) {
			return err == nil && next[0] == '{'
		}
		reader.Discard(1)
	}
}

func readWhole(body io.Reader) error {
	data, err := io.ReadAll(io.LimitReader(body, maxCompletion))
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	has, err := readToken(data)
	if err == nil && !has {
		err = errors.New("the answer has no token")
	}
	return err
}

// readToken reports whether an answer, or an event of one, has a token.
func readToken(data []byte) (bool, error) {
	if failure, ok := openai.ParseError(data); ok {
		return false, fmt.Errorf("the answer broke off: %s", openai.FirstLine(failure.Message))
	}
	var said completion
	if err := json.Unmarshal(data, &said); err != nil {
		return false, fmt.Errorf("read the answer: %w", err)
	}
	return said.hasToken(), nil
}
