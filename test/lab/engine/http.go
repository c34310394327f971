package engine

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
)

// maxBody bounds a request's body, in bytes.
const maxBody = 64 << 20

// EchoHeader, set on any request that passes the key check, makes the engine
// answer with an Echo of that request instead of what the path does.
const EchoHeader = "X-Stub-Echo"

// EchoQuery does the same in the query, for requests whose headers do not all
// come through.
const EchoQuery = "stub-echo"

// Echo is a request as it arrived.
type Echo struct {
	Method string      `json:"method"`
	Target string      `json:"target"` // path and query, byte for byte
	Host   string      `json:"host"`
	Header http.Header `json:"header"`
	Body   []byte      `json:"body"`
}

// Handler is the API, without load time or shutdown.
func (s *Stub) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Server", "uvicorn")
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		switch {
		case guarded(r.URL.Path) && !s.admits(r):
			writeJSON(w, http.StatusUnauthorized, map[string]string{"error": "Unauthorized"})
		case r.Header.Get(EchoHeader) != "" || r.URL.Query().Has(EchoQuery):
			echo(w, r)
		default:
			s.route(w, r)
		}
	})
}

// guarded reports whether vLLM asks for the key on a path. What it leaves
// open, /invocations and its completions among it, is open here.
func guarded(path string) bool {
	for _, prefix := range []string{"/v1", "/v2", "/inference"} {
		if strings.HasPrefix(path, prefix) {
			return true
		}
	}
	return false
}

func (s *Stub) admits(r *http.Request) bool {
	if s.config.Key == "" || r.Method == http.MethodOptions {
		return true
	}
	scheme, key, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	want, got := sha256.Sum256([]byte(s.config.Key)), sha256.Sum256([]byte(key))
	return strings.EqualFold(scheme, "bearer") && subtle.ConstantTimeCompare(want[:], got[:]) == 1
}

// route does not use http.ServeMux, which would clean the path and redirect.
func (s *Stub) route(w http.ResponseWriter, r *http.Request) {
	method, handle := http.MethodGet, http.HandlerFunc(nil)
	switch r.URL.Path {
	case "/health", "/ping":
		handle = func(w http.ResponseWriter, _ *http.Request) {} // 200, empty
	case "/version":
		handle = func(w http.ResponseWriter, _ *http.Request) {
			writeJSON(w, http.StatusOK, map[string]string{"version": "0.32.0"})
		}
	case "/metrics":
		handle = s.metrics
	case "/v1/models":
		handle = s.models
	case "/v1/chat/completions", "/invocations":
		method, handle = http.MethodPost, s.chat
	default:
		writeJSON(w, http.StatusNotFound, map[string]string{"detail": "Not Found"})
		return
	}
	if r.Method != method {
		w.Header().Set("Allow", method)
		writeJSON(w, http.StatusMethodNotAllowed, map[string]string{"detail": "Method Not Allowed"})
		return
	}
	handle(w, r)
}

func echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		writeError(w, http.StatusBadRequest, "BadRequestError", "", err.Error())
		return
	}
	writeJSON(w, http.StatusOK, Echo{r.Method, r.RequestURI, r.Host, r.Header, body})
}

func (s *Stub) metrics(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	s.counts.write(w, s.config.Models[0], s.loader.loads())
}

func (s *Stub) models(w http.ResponseWriter, _ *http.Request) {
	type model struct {
		ID          string  `json:"id"`
		Object      string  `json:"object"`
		Created     int64   `json:"created"`
		OwnedBy     string  `json:"owned_by"`
		Root        string  `json:"root"`
		Parent      *string `json:"parent"`
		MaxModelLen int     `json:"max_model_len"`
	}
	data := make([]model, 0, len(s.config.Models))
	for _, name := range s.config.Models {
		data = append(data, model{name, "model", s.created.Unix(), "vllm", s.config.Models[0], nil, 2048})
	}
	writeJSON(w, http.StatusOK, map[string]any{"object": "list", "data": data})
}

// knows writes vLLM's answer to a model it does not serve and returns false.
func (s *Stub) knows(w http.ResponseWriter, model string) bool {
	if slices.Contains(s.config.Models, model) {
		return true
	}
	writeError(w, http.StatusNotFound, "NotFoundError", "model", fmt.Sprintf(
		"The model `%s` does not exist. Valid aliases: %s.", model, strings.Join(s.config.Models, ", ")))
	return false
}

// writeError writes an error in vLLM's form; an empty param is null.
func writeError(w http.ResponseWriter, status int, kind, param, message string) {
	type body struct {
		Message string  `json:"message"`
		Type    string  `json:"type"`
		Param   *string `json:"param"`
		Code    int     `json:"code"`
	}
	e := body{Message: message, Type: kind, Code: status}
	if param != "" {
		e.Param = &param
	}
	writeJSON(w, status, map[string]body{"error": e})
}

func writeJSON(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(value)
}
