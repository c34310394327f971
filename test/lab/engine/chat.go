package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// Orders, in the member "stub" of a completion request, tells the engine how
// to answer that one. vLLM ignores members that it does not know.
type Orders struct {
	// Tokens is the length of the answer; 0 leaves it to Config.
	Tokens int `json:"tokens,omitempty"`
	// FirstMS and IntervalMS set the pace, in milliseconds; null leaves it to
	// Config.
	FirstMS    *int `json:"first_ms,omitempty"`
	IntervalMS *int `json:"interval_ms,omitempty"`
	// Status, when not 0, is answered with an error body instead.
	Status int `json:"status,omitempty"`
	// BreakAfter, when not 0, ends the connection after that many tokens.
	BreakAfter int `json:"break_after,omitempty"`
	// Answer is the text to give, a token per word; empty counts.
	Answer string `json:"answer,omitempty"`
}

type chatRequest struct {
	Model    string `json:"model"`
	Messages []struct {
		Role    string          `json:"role"`
		Content json.RawMessage `json:"content"`
	} `json:"messages"`
	Stream        bool `json:"stream"`
	StreamOptions struct {
		IncludeUsage bool `json:"include_usage"`
	} `json:"stream_options"`
	MaxTokens           *int   `json:"max_tokens"`
	MaxCompletionTokens *int   `json:"max_completion_tokens"`
	Stub                Orders `json:"stub"`
}

type usage struct {
	Prompt     int `json:"prompt_tokens"`
	Total      int `json:"total_tokens"`
	Completion int `json:"completion_tokens"`
}

// answer is a completion as it will be given.
type answer struct {
	id         string
	model      string
	created    int64
	words      []string
	first      time.Duration
	interval   time.Duration
	breakAfter int
	finish     string
	prompt     int
}

func (s *Stub) chat(w http.ResponseWriter, r *http.Request) {
	// Read to its end: until then net/http does not watch for a client that
	// hangs up.
	body, err := io.ReadAll(r.Body)
	if err != nil {
		writeError(w, http.StatusBadRequest, "BadRequestError", "", "cannot read the body: "+err.Error())
		return
	}
	var req chatRequest
	if err := json.Unmarshal(body, &req); err != nil {
		writeError(w, http.StatusBadRequest, "BadRequestError", "", "cannot read the body: "+err.Error())
		return
	}
	if !s.knows(w, req.Model) {
		return
	}
	if len(req.Messages) == 0 {
		writeError(w, http.StatusBadRequest, "BadRequestError", "messages", "there are no messages")
		return
	}
	if req.Stub.Status != 0 {
		writeError(w, req.Stub.Status, "InternalServerError", "", "told to fail")
		return
	}
	if s.config.Moods.refuses(w, req) {
		return
	}
	s.counts.begin()
	a := s.plan(req)
	if err = s.loader.wait(r.Context(), s.config.Moods.Wake); err != nil {
		s.counts.end("")
		return
	}
	if req.Stream {
		err = s.stream(w, r, a, req.StreamOptions.IncludeUsage)
	} else {
		err = s.whole(w, r, a)
	}
	if err == nil {
		s.counts.end(a.finish)
		return
	}
	s.counts.end("")
	if errors.Is(err, http.ErrAbortHandler) {
		panic(http.ErrAbortHandler) // net/http's way to cut a connection
	}
}

// plan decides an answer's words and pace.
func (s *Stub) plan(req chatRequest) answer {
	a := answer{
		id: fmt.Sprintf("chatcmpl-%d", time.Now().UnixNano()), model: req.Model, created: time.Now().Unix(),
		first: s.config.FirstToken, interval: s.config.Interval, breakAfter: req.Stub.BreakAfter, finish: "stop",
	}
	for _, m := range req.Messages {
		a.prompt += len(strings.Fields(string(m.Content)))
	}
	if ms := req.Stub.FirstMS; ms != nil {
		a.first = time.Duration(*ms) * time.Millisecond
	}
	if ms := req.Stub.IntervalMS; ms != nil {
		a.interval = time.Duration(*ms) * time.Millisecond
	}
	a.words = strings.SplitAfter(req.Stub.Answer, " ")
	if req.Stub.Answer == "" {
		a.words = counting(max(req.Stub.Tokens, 0), s.config.Tokens)
	}
	for _, limit := range []*int{req.MaxTokens, req.MaxCompletionTokens} {
		if limit != nil && *limit >= 0 && *limit < len(a.words) {
			a.words, a.finish = a.words[:*limit], "length"
		}
	}
	return a
}

// counting is an answer in which a missing or repeated token shows.
func counting(ordered, usual int) []string {
	n := ordered
	if n == 0 {
		n = usual
	}
	words := make([]string, n)
	for i := range words {
		words[i] = fmt.Sprintf("%d ", i+1)
	}
	return words
}

// each makes the tokens one by one, at the answer's pace, and hands them over.
func (s *Stub) each(ctx context.Context, a answer, hand func(word string) error) error {
	wait := a.first
	for i, word := range a.words {
		if err := sleep(ctx, wait); err != nil {
			return err
		}
		if err := s.engine.pass(ctx); err != nil {
			return err
		}
		if a.breakAfter > 0 && i == a.breakAfter {
			return http.ErrAbortHandler
		}
		s.counts.token()
		if err := hand(word); err != nil {
			return err
		}
		wait = a.interval
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) error {
	if d == 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (a answer) usage() usage {
	return usage{Prompt: a.prompt, Completion: len(a.words), Total: a.prompt + len(a.words)}
}

func (s *Stub) whole(w http.ResponseWriter, r *http.Request, a answer) error {
	err := s.each(r.Context(), a, func(string) error { return nil })
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, map[string]any{
		"id": a.id, "object": "chat.completion", "created": a.created, "model": a.model,
		"choices": []any{map[string]any{
			"index": 0, "logprobs": nil, "finish_reason": a.finish,
			"message": map[string]any{"role": "assistant", "content": strings.Join(a.words, ""), "tool_calls": []any{}},
		}},
		"usage": a.usage(),
	})
	return nil
}

// stream sends the answer as vLLM does: the role with empty content, a token
// per event, the finish reason with the last one, then the usage if asked for.
func (s *Stub) stream(w http.ResponseWriter, r *http.Request, a answer, includeUsage bool) error {
	out := http.NewResponseController(w)
	w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	send := func(data string) error {
		if _, err := fmt.Fprintf(w, "data: %s\n\n", data); err != nil {
			return err
		}
		return out.Flush()
	}
	if err := s.engine.pass(r.Context()); err != nil {
		return err
	}
	if err := send(a.chunk(map[string]any{"role": "assistant", "content": ""}, nil)); err != nil {
		return err
	}
	sent := 0
	err := s.each(r.Context(), a, func(word string) error {
		var finish any
		if sent++; sent == len(a.words) {
			finish = a.finish
		}
		return send(a.chunk(map[string]any{"content": word}, finish))
	})
	if err != nil {
		return err
	}
	if includeUsage {
		last, err := json.Marshal(map[string]any{"id": a.id, "object": "chat.completion.chunk", "created": a.created,
			"model": a.model, "choices": []any{}, "usage": a.usage()})
		if err != nil {
			return err
		}
		if err := send(string(last)); err != nil {
			return err
		}
	}
	return send("[DONE]")
}

func (a answer) chunk(delta map[string]any, finish any) string {
	type choice struct {
		Index  int            `json:"index"`
		Delta  map[string]any `json:"delta"`
		Log    any            `json:"logprobs"`
		Finish any            `json:"finish_reason"`
	}
	text, _ := json.Marshal(struct { // plain data: it cannot fail
		ID      string   `json:"id"`
		Object  string   `json:"object"`
		Created int64    `json:"created"`
		Model   string   `json:"model"`
		Choices []choice `json:"choices"`
	}{a.id, "chat.completion.chunk", a.created, a.model, []choice{{0, delta, nil, finish}}})
	return string(text)
}
