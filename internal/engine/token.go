package engine

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
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
}

func (r *refusal) Error() string {
	if r.message == "" {
		return fmt.Sprintf("the answer is %d %s", r.status, http.StatusText(r.status))
	}
	return fmt.Sprintf("the answer is %d: %s", r.status, r.message)
}

// The relay's codes that something is decided by.
const (
	codeFirstByte   = "first_byte_timeout" // the engine had as long as a client may wait
	codeKeyRefused  = "engine_key_refused"
	codeUnreachable = "engine_unreachable"
)

var (
	errNoTokenWithin = errors.New("no token within")              // an answer began, or did not, and no token came
	errHangs         = errors.New("as long as a client may wait") // none came for so long
	errNoAnswer      = errors.New("no answer")                    // a way led to no HTTP answer
	errNoToken       = errors.New("the answer ended without a token")
)

// isUnavailable reports whether a status says that what should answer is not
// there, or not ready.
func isUnavailable(status int) bool {
	return status >= http.StatusBadGateway && status <= http.StatusGatewayTimeout
}

// passing reports whether what failed may go well a little later.
func passing(err error) bool {
	var said *refusal
	if !errors.As(err, &said) {
		return errors.Is(err, errNoAnswer)
	}
	return said.code != codeFirstByte && said.code != codeKeyRefused &&
		(said.status == http.StatusTooManyRequests || isUnavailable(said.status))
}

// isOfEngine reports whether an engine that failed may be why no token came,
// rather than what was asked for.
func isOfEngine(err error) bool {
	var said *refusal
	if !errors.As(err, &said) {
		return !errors.Is(err, errNoTokenWithin) && !errors.Is(err, errNoAnswer)
	}
	for _, own := range []string{"no_worker", "queue_", "relay_", "worker_"} {
		if strings.HasPrefix(said.code, own) {
			return false // the relay's own word, of something else
		}
	}
	return said.status >= 500 || slices.Contains([]int{http.StatusUnauthorized, http.StatusForbidden, http.StatusTooManyRequests}, said.status)
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
	messages := []map[string]string{{"role": "user", "content": "Say OK."}}
	if s.system {
		messages = slices.Insert(messages, 0, map[string]string{"role": "system", "content": "Be brief."})
	}
	members := map[string]any{"model": model, "messages": messages, s.limit: s.tokens}
	if s.stream {
		members["stream"] = true
	}
	body, _ := json.Marshal(members) // texts and numbers always have a form
	return body
}

// askForToken asks a model for one token and returns how long it took. What an
// engine finds fault with is asked in another form. Its error is a *refusal,
// wraps errNoTokenWithin or errNoAnswer, or says how the answer broke.
func askForToken(ctx context.Context, w way, model string, within time.Duration) (time.Duration, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, within, fmt.Errorf("%w %s", errNoTokenWithin, plan.Seconds(within)))
	defer cancel()
	faults := []int{http.StatusBadRequest, http.StatusUnprocessableEntity, http.StatusNotImplemented}
	var first error
	for _, form := range shapes() {
		took, err := askOnce(ctx, w, form.request(model))
		var said *refusal
		if !errors.As(err, &said) || !slices.Contains(faults, said.status) {
			return took, err
		}
		first = cmp.Or(first, err)
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
	next := openai.NewEventReader(reader).Next
	if inOnePiece(reader) {
		next = func() ([]byte, error) { return nextWhole(reader) }
	}
	for {
		data, err := next()
		switch {
		case errors.Is(err, io.EOF), string(data) == openai.Done:
			return errNoToken
		case err != nil:
			return fmt.Errorf("read the answer: %w", err)
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

// nextWhole is all that is left of an answer; io.EOF: nothing is.
func nextWhole(body io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(body, maxCompletion))
	if err == nil && len(data) == 0 {
		err = io.EOF
	}
	return data, err
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
