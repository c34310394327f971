package relay

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/relayctl/relayctl/internal/protocol"
	"github.com/relayctl/relayctl/internal/service"
)

// adminRoutes serves the admin socket. Who may open that may do all this.
func (s *Server) adminRoutes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, s.Status())
	})
	mux.HandleFunc("POST /v1/drain", s.serveDrain)
	mux.HandleFunc("POST /v1/resume", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]int{"workers": s.scheduler.resume(s.scheduler.connected())})
	})
	return mux
}

func (s *Server) serveDrain(w http.ResponseWriter, r *http.Request) {
	d := DrainRequest{ComeBack: protocol.AfterClose, Timeout: service.Duration(30 * time.Second), Hold: service.Duration(30 * time.Second)}
	dec := json.NewDecoder(r.Body)
	dec.DisallowUnknownFields()
	if err := dec.Decode(&d); err != nil && !errors.Is(err, io.EOF) {
		invalidError(http.StatusBadRequest, "invalid_body", "", err.Error()).Write(w)
		return
	}
	if d.ComeBack != protocol.AfterClose && d.ComeBack != protocol.AtOnce {
		invalidError(http.StatusBadRequest, "invalid_body", "come_back", "come_back is after_close or at_once").Write(w)
		return
	}
	control := http.NewResponseController(w)
	control.SetReadDeadline(time.Time{})
	control.SetWriteDeadline(time.Now().Add(time.Duration(d.Timeout) + clientStall))
	writeJSON(w, http.StatusOK, s.Drain(r.Context(), d))
}
