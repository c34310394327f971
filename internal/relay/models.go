package relay

import (
	"context"
	"net/http"
	"strings"

	"github.com/relayctl/relayctl/internal/openai"
)

// One model's path is modelPrefix and its name, in which clients may or may not
// escape slashes and colons; modelRoute stands for all of them.
const (
	modelPrefix = "/v1/models/"
	modelRoute  = "/v1/models/{id}"
)

// modelObject is a model in OpenAI's form.
type modelObject struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Created int64  `json:"created"`
	OwnedBy string `json:"owned_by"`
}

func (s *Server) modelObject(name string) modelObject {
	return modelObject{name, "model", s.started.Unix(), "relay"}
}

// listModels lists what the key may use, from memory: clients ask for it to
// see whether the relay is there at all.
func (s *Server) listModels(_ context.Context, rq *request, w http.ResponseWriter, r *http.Request) *openai.Error {
	k, refusal := s.reader(rq, w, r)
	if refusal != nil {
		return refusal
	}
	data := []modelObject{}
	for _, name := range s.scheduler.names() {
		if k.allows(name) {
			data = append(data, s.modelObject(name))
		}
	}
	return rq.answerJSON(w, map[string]any{"object": "list", "data": data})
}

// getModel answers as the list does, for one model.
func (s *Server) getModel(_ context.Context, rq *request, w http.ResponseWriter, r *http.Request) *openai.Error {
	k, refusal := s.reader(rq, w, r)
	name := strings.TrimPrefix(r.URL.Path, modelPrefix)
	switch {
	case refusal != nil:
		return refusal
	case !k.allows(name) || !s.scheduler.knows(name):
		return unknownModelError(name)
	}
	return rq.answerJSON(w, s.modelObject(name))
}

// answerJSON answers with v.
func (rq *request) answerJSON(w http.ResponseWriter, v any) *openai.Error {
	rq.outcome, rq.status = answered, http.StatusOK
	writeJSON(w, http.StatusOK, v)
	return nil
}

// reader finds the key of a request that only reads what models there are.
func (s *Server) reader(rq *request, w http.ResponseWriter, r *http.Request) (*key, *openai.Error) {
	k, refusal := s.identify(rq, w, r)
	if refusal == nil && k.probe {
		refusal = probeOnly("")
	}
	return k, refusal
}
