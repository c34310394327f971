package relay

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"

	"github.com/relayctl/relayctl/internal/openai"
	"github.com/relayctl/relayctl/internal/protocol"
)

// route is one path that is served. Everything else is refused.
type route struct {
	method string
	serve  http.HandlerFunc
}

// routes serves clients and workers. Paths are compared byte for byte as they
// came, so that no spelling of a path is one thing here and another behind.
func (s *Server) routes() http.Handler {
	table := map[string]route{
		"/health":              {http.MethodGet, s.health},
		"/v1/models":           {http.MethodGet, s.api("/v1/models", s.listModels)},
		modelRoute:             {http.MethodGet, s.api(modelRoute, s.getModel)},
		"/v1/chat/completions": {http.MethodPost, s.api("/v1/chat/completions", s.chat)},
		protocol.ConnectPath:   {http.MethodGet, s.connect},
	}
	unknown := s.api("", s.unknownURL)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path, _, _ := strings.Cut(r.RequestURI, "?")
		if strings.HasPrefix(path, modelPrefix) {
			path = modelRoute
		}
		found, ok := table[path]
		switch {
		case !ok || !protocol.PlainTarget(r.RequestURI):
			unknown(w, r)
		case r.Method != found.method:
			w.Header().Set("Allow", found.method)
			s.api(path, s.wrongMethod)(w, r)
		default:
			found.serve(w, r)
		}
	})
}

func (s *Server) unknownURL(_ context.Context, _ *request, _ http.ResponseWriter, r *http.Request) *openai.Error {
	return invalidError(http.StatusNotFound, "unknown_url", "", "this relay does not serve "+r.Method+" "+shortened(r.URL.Path))
}

func (s *Server) wrongMethod(_ context.Context, _ *request, _ http.ResponseWriter, r *http.Request) *openai.Error {
	return invalidError(http.StatusMethodNotAllowed, "wrong_method", "", "this URL does not take "+r.Method)
}

// health tells whether the process takes requests. It names nobody, since a
// mistaken proxy might show it to the world.
func (s *Server) health(w http.ResponseWriter, _ *http.Request) {
	status, text := http.StatusOK, "ok"
	if s.gate.closed() {
		status, text = http.StatusServiceUnavailable, "stopping"
	}
	writeJSON(w, status, map[string]string{"status": text})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v) // a client that left needs no answer
}
