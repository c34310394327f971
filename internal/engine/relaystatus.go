package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/relayctl/relayctl/internal/hostapi"
)

// relayStatus is what is read of a relay's status: the answer to
// GET /v1/status on its admin socket.
type relayStatus struct {
	Started time.Time     `json:"started"`
	Ended   uint64        `json:"ended"`  // requests since then
	Failed  uint64        `json:"failed"` // of these
	Workers []relayWorker `json:"workers"`
	Models  []relayModel  `json:"models"`
}

type relayWorker struct {
	Name      string `json:"name"`
	Connected bool   `json:"connected"`
	Direct    bool   `json:"direct"` // no proxy stands in front of it
	Secret    string `json:"secret"` // how the hash of the secret begins that it came with

	Models []workerModel `json:"models"`
}

type workerModel struct {
	Name   string         `json:"name"`
	Failed *engineFailure `json:"failed"` // the last time that its engine did; nil: nothing failed since it answered last
}

// engineFailure is what a worker told of its engine.
type engineFailure struct {
	At   time.Time `json:"at"` // by the relay's clock
	Code string    `json:"code"`
	Text string    `json:"text"` // a line: "nothing listens on 127.0.0.1:9001"
}

type relayModel struct {
	Name    string `json:"name"`
	Workers int    `json:"workers"` // connected
	Running int    `json:"running"`
	Waiting int    `json:"waiting"`
}

// connections is how many workers' connections there are.
type connections struct{ all, direct int }

func (r relayStatus) connections() connections {
	var n connections
	for _, worker := range r.Workers {
		if worker.Connected {
			n.all++
		}
		if worker.Connected && worker.Direct {
			n.direct++
		}
	}
	return n
}

// of lists the connections of a worker: one that comes back may have two for a
// while.
func (r relayStatus) of(worker string) []relayWorker {
	return slices.DeleteFunc(slices.Clone(r.Workers), func(w relayWorker) bool { return w.Name != worker || !w.Connected })
}

// failure is how the engine of a worker's model failed last; nil: it did not,
// or has answered since.
func (r relayStatus) failure(worker, model string) *engineFailure {
	var last *engineFailure
	for _, w := range r.of(worker) {
		for _, m := range w.Models {
			if m.Name == model && m.Failed != nil && (last == nil || m.Failed.At.After(last.At)) {
				last = m.Failed
			}
		}
	}
	return last
}

// secretsOf reports whether a worker is connected with the secret of a hash,
// and whether with another one.
func (r relayStatus) secretsOf(name, hash string) (renewed, older bool) {
	for _, worker := range r.of(name) {
		isRenewed := worker.Secret != "" && strings.HasPrefix(hash, worker.Secret)
		renewed, older = renewed || isRenewed, older || !isRenewed
	}
	return renewed, older
}

// model is what the relay says of a model; zero where it knows none of it.
func (r relayStatus) model(name string) relayModel {
	for _, model := range r.Models {
		if model.Name == name {
			return model
		}
	}
	return relayModel{Name: name}
}

const (
	adminSocket = "/run/relay/admin.sock"
	adminTime   = 5 * time.Second
)

// relayStatus asks the relay on the host how it is. An error means that it
// could not be asked.
func (h *host) relayStatus(ctx context.Context) (relayStatus, error) {
	var status relayStatus
	said, err := h.client.Ask(ctx, hostapi.Ask{Socket: adminSocket, Method: http.MethodGet, URL: "http://relay/v1/status", Timeout: adminTime})
	switch {
	case err != nil:
	case said.Status != http.StatusOK:
		err = fmt.Errorf("it answers %d", said.Status)
	default:
		err = json.Unmarshal(said.Body, &status)
	}
	if err != nil {
		return status, fmt.Errorf("ask the relay for its status: %w", err)
	}
	return status, nil
}
