package relay

import (
	"cmp"
	"slices"
	"time"
)

// Status is what GET /v1/status on the admin socket answers.
type Status struct {
	Program  string         `json:"program"` // name and version
	Started  time.Time      `json:"started"`
	Settings string         `json:"settings"` // digest of those in force, "" by hand
	Stopping bool           `json:"stopping"`
	Requests int            `json:"requests"` // inside now, waiting ones included
	Ended    uint64         `json:"ended"`    // clients' requests to models that have ended since the start, probes left out
	Failed   uint64         `json:"failed"`   // of these, answered with a status of 500 or more, or cut off
	Workers  []WorkerStatus `json:"workers"`  // those of the settings and all that are connected, by name
	Models   []ModelStatus  `json:"models"`   // by name
}

// WorkerStatus is one connection of a worker, or a worker without one.
type WorkerStatus struct {
	Name        string              `json:"name"`
	Connected   bool                `json:"connected"`
	Program     string              `json:"program,omitempty"`
	Since       time.Time           `json:"since,omitzero"`
	From        string              `json:"from,omitempty"`   // address it comes from, as the relay sees it
	Direct      bool                `json:"direct,omitempty"` // no reverse proxy stands between
	State       string              `json:"state,omitempty"`  // serving or held (no new work)
	Secret      string              `json:"secret,omitempty"` // the first 12 digits of the hash of the secret it came with
	RoundTripMS float64             `json:"round_trip_ms,omitempty"`
	Models      []WorkerModelStatus `json:"models"` // what it serves; without a connection, what it may serve
}

// WorkerModelStatus is one model at one worker.
type WorkerModelStatus struct {
	Name        string `json:"name"`
	Concurrency int    `json:"concurrency"` // 0 without a connection
	Running     int    `json:"running"`
	// Failed is how the engine failed the last request that it was given; nil
	// where it did not.
	Failed *EngineFailure `json:"failed,omitempty"`
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

// Status tells what the relay does now.
func (s *Server) Status() Status {
	st := s.current()
	status := Status{
		Program:  "relay-server " + s.version,
		Started:  s.started,
		Settings: st.settings.Digest,
		Stopping: s.gate.closed(),
		Requests: s.gate.count(),
		Ended:    s.metrics.ended.Load(),
		Failed:   s.metrics.failed.Load(),
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
	for _, l := range s.scheduler.connected() {
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
	status := WorkerStatus{
		Name: l.name, Connected: true, Program: l.hello.Program, Since: l.since, From: l.from, Direct: l.direct,
		State: "serving", Secret: l.hash[:min(len(l.hash), fingerprint)], RoundTripMS: ms(l.conn.RoundTrip()), Models: []WorkerModelStatus{},
	}
	s.scheduler.mu.Lock()
	defer s.scheduler.mu.Unlock()
	if l.held {
		status.State = "held"
	}
	for _, sl := range l.slots {
		status.Models = append(status.Models, WorkerModelStatus{sl.model.name, sl.capacity, sl.model.running[l.name], sl.failed.Load()})
	}
	slices.SortFunc(status.Models, func(a, b WorkerModelStatus) int { return cmp.Compare(a.Name, b.Name) })
	return status
}

// fingerprint is how many digits of a hash tell secrets apart for people and
// programs that know the hashes.
const fingerprint = 12

func absent(worker WorkerFile) WorkerStatus {
	w := WorkerStatus{Name: worker.Name, Models: []WorkerModelStatus{}}
	for _, model := range worker.Models {
		w.Models = append(w.Models, WorkerModelStatus{Name: model})
	}
	return w
}

// load tells each model's present state, by name.
func (s *scheduler) load() []ModelStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	models := make([]ModelStatus, 0, len(s.models))
	for name, m := range s.models {
		status := ModelStatus{Name: name, Waiting: len(m.queue)}
		workers := make(map[string]bool)
		for _, sl := range m.slots {
			if !workers[sl.link.name] { // two connections of a worker share its engine
				workers[sl.link.name] = true
				status.Slots += sl.capacity
			}
		}
		status.Workers = len(workers)
		for _, n := range m.running {
			status.Running += n
		}
		models = append(models, status)
	}
	slices.SortFunc(models, func(a, b ModelStatus) int { return cmp.Compare(a.Name, b.Name) })
	return models
}
