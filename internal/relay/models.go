package relay

import (
	"context"
	"net/http"
	"strings"
	"time"

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
func (s *Server) listModels(_ context.Context, rq *request, w http.ResponseWriter, r *http.Request) {
	k, refusal := s.reader(rq, w, r)
	if refusal != nil {
		rq.refuse(w, refusal)
		return
	}
	data := []modelObject{}
	for _, name := range s.scheduler.names() {
		if k.allows(name) {
			data = append(data, s.modelObject(name))
		}
	}
	rq.outcome, rq.status = answered, http.StatusOK
	writeJSON(w, http.StatusOK, map[string]any{"object": "list", "data": data})
}

// getModel answers as the list does, for one model.
func (s *Server) getModel(_ context.Context, rq *request, w http.ResponseWriter, r *http.Request) {
	k, refusal := s.reader(rq, w, r)
	if refusal != nil {
		rq.refuse(w, refusal)
		return
	}
	name := strings.TrimPrefix(r.URL.Path, modelPrefix)
	if !k.allows(name) || !s.scheduler.knows(name) {
		rq.refuse(w, unknownModelError(name))
		return
	}
	rq.outcome, rq.status = answered, http.StatusOK
	writeJSON(w, http.StatusOK, s.modelObject(name))
}

// reader finds the key of a request that only reads what models there are.
func (s *Server) reader(rq *request, w http.ResponseWriter, r *http.Request) (*key, *openai.Error) {
	k, err := s.current().ring.client(r.Header, time.Now())
	if err != nil {
		w.Header().Set("WWW-Authenticate", "Bearer")
		return nil, err.told
	}
	rq.key = k.name
	if k.probe {
		return nil, &openai.Error{Status: http.StatusForbidden, Type: openai.TypePermission, Code: "probe_only", Message: "this key is good for a completion of a few tokens only"}
	}
	return k, nil
}
