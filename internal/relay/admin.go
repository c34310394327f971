package relay

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"slices"
	"time"

	"github.com/relayctl/relayctl/internal/protocol"
)

// Status is what GET /v1/status on the admin socket answers.
type Status struct {
	Program  string         `json:"program"` // name and version
	Started  time.Time      `json:"started"`
	Settings string         `json:"settings"` // digest of those in force, "" by hand
	Stopping bool           `json:"stopping"`
	Requests int            `json:"requests"` // inside now, waiting ones included
	Workers  []WorkerStatus `json:"workers"`  // those of the settings and all that are connected, by name
	Models   []ModelStatus  `json:"models"`   // by name
}

// WorkerStatus is one connection of a worker, or a worker without one.
type WorkerStatus struct {
	Name        string              `json:"name"`
	Connected   bool                `json:"connected"`
	Program     string              `json:"program,omitempty"`
	Since       time.Time           `json:"since,omitzero"`
	From        string              `json:"from,omitempty"`  // address it comes from, as the relay sees it
	State       string              `json:"state,omitempty"` // serving or held (no new work)
	RoundTripMS float64             `json:"round_trip_ms,omitempty"`
	Models      []WorkerModelStatus `json:"models"` // what it serves; without a connection, what it may serve
}

// WorkerModelStatus is one model at one worker.
type WorkerModelStatus struct {
	Name        string `json:"name"`
	Concurrency int    `json:"concurrency"` // 0 without a connection
	Running     int    `json:"running"`
}

// ModelStatus is one model over all workers.
type ModelStatus struct {
	Name    string `json:"name"`
	Workers int    `json:"workers"` // connected now
	Of      int    `json:"of"`      // that may serve it by the settings
	Slots   int    `json:"slots"`
	Running int    `json:"running"`
	Waiting int    `json:"waiting"`
}

// DrainRequest is the body of POST /v1/drain; all of it may be left out.
type DrainRequest struct {
	ComeBack protocol.ComeBack `json:"come_back"` // after_close (default) or at_once
	Timeout  Duration          `json:"timeout"`   // for running answers, default 30s
	Hold     Duration          `json:"hold"`      // for what closes the connections, before they are used again; default 30s
}

// DrainResult answers it, when the answers running at its start have ended or
// the timeout has passed.
type DrainResult struct {
	Workers int `json:"workers"` // told
	Running int `json:"running"` // at the start
	Left    int `json:"left"`    // of these at the end
}

// adminRoutes serves the admin socket. Who may open that may do all this.
func (s *Server) adminRoutes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, s.Status())
	})
	mux.HandleFunc("POST /v1/drain", s.serveDrain)
	mux.HandleFunc("POST /v1/resume", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]int{"workers": s.resume(s.connected())})
	})
	return mux
}

func (s *Server) serveDrain(w http.ResponseWriter, r *http.Request) {
	d := DrainRequest{ComeBack: protocol.AfterClose, Timeout: Duration(30 * time.Second), Hold: Duration(30 * time.Second)}
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

// Drain tells all workers to come back, and waits for the answers that run at
// its start. With after_close they get no new work until their connection is
// closed from outside, or hold has passed; requests wait in the queues. With
// at_once each opens a second connection that takes over.
func (s *Server) Drain(ctx context.Context, d DrainRequest) DrainResult {
	links := s.connected()
	result := DrainResult{Workers: len(links), Running: s.scheduler.runningAt(links)}
	for _, l := range links {
		if d.ComeBack == protocol.AfterClose {
			s.scheduler.hold(l, true)
		}
		l.conn.Drain(protocol.Drain{ComeBack: d.ComeBack, WithinMS: 250 + rand.IntN(750)})
	}
	s.log.Info("workers told to come back", "come_back", d.ComeBack, "workers", result.Workers, "running", result.Running)
	if d.ComeBack == protocol.AfterClose {
		s.scheduler.expect(s.scheduler.names(), time.Now().Add(time.Duration(d.Timeout+d.Hold)))
	}
	waiting, cancel := context.WithTimeout(ctx, time.Duration(d.Timeout))
	defer cancel()
	result.Left = s.scheduler.waitIdle(waiting, links)
	if d.ComeBack == protocol.AfterClose {
		s.holdUntil(links, time.Duration(d.Hold))
	}
	return result
}

// holdUntil uses links again after hold, those that are still there: nobody
// closed them after all.
func (s *Server) holdUntil(links []*link, hold time.Duration) {
	s.running.Go(func() {
		timer := time.NewTimer(hold)
		defer timer.Stop()
		for _, l := range links {
			select {
			case <-l.conn.Done():
			case <-timer.C:
				s.resume(links)
				return
			}
		}
	})
}

// resume gives links work again, less those that were replaced or want none,
// and returns to how many.
func (s *Server) resume(links []*link) (resumed int) {
	for _, l := range links {
		s.mu.Lock()
		newest := s.byName[l.name] == l && !l.leaving
		s.mu.Unlock()
		if newest {
			s.scheduler.hold(l, false)
			resumed++
		}
	}
	return resumed
}

// Status tells what the relay does now.
func (s *Server) Status() Status {
	st := s.current()
	status := Status{
		Program:  "relay-server " + s.version,
		Started:  s.started,
		Settings: st.settings.Digest,
		Stopping: s.gate.closed(),
		Requests: s.gate.count(),
		Models:   s.scheduler.load(),
	}
	for i := range status.Models {
		m := &status.Models[i]
		for _, worker := range st.settings.Workers {
			if slices.Contains(worker.Models, m.Name) {
				m.Of++
			}
		}
	}
	present := make(map[string]bool)
	for _, l := range s.connected() {
		present[l.name] = true
		status.Workers = append(status.Workers, s.workerStatus(l))
	}
	for _, worker := range st.settings.Workers {
		if worker.Name != "" && !present[worker.Name] {
			status.Workers = append(status.Workers, absent(worker))
		}
	}
	slices.SortFunc(status.Workers, func(a, b WorkerStatus) int {
		return cmp.Or(cmp.Compare(a.Name, b.Name), a.Since.Compare(b.Since))
	})
	return status
}

func (s *Server) workerStatus(l *link) WorkerStatus {
	held, models := s.scheduler.serves(l)
	state := "serving"
	if held {
		state = "held"
	}
	return WorkerStatus{
		Name: l.name, Connected: true, Program: l.hello.Program, Since: l.since, From: l.from,
		State: state, RoundTripMS: ms(l.conn.RoundTrip()), Models: models,
	}
}

func absent(worker WorkerFile) WorkerStatus {
	w := WorkerStatus{Name: worker.Name, Models: []WorkerModelStatus{}}
	for _, model := range worker.Models {
		w.Models = append(w.Models, WorkerModelStatus{Name: model})
	}
	return w
}

// listenUnix listens on a socket that only its owner may open. A socket that
// another process left is taken over; anything else in its place is not.
func listenUnix(path string) (net.Listener, error) {
	info, err := os.Lstat(path)
	switch {
	case err == nil && info.Mode().Type() != fs.ModeSocket:
		return nil, fmt.Errorf("listen on %s: there is something that is no socket", path)
	case err == nil:
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("listen on %s: %w", path, err)
		}
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	return l, nil
}
