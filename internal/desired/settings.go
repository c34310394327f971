package desired

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/relayctl/relayctl/internal/plan"
	"github.com/relayctl/relayctl/internal/stack"
)

// The files that relay-server and relay-worker read, as their loaders want
// them. No code is shared: a test loads what is rendered here.

type relaySettings struct {
	ManagedBy        string `json:"managed_by"`
	Listen           string `json:"listen"`
	Metrics          string `json:"metrics"`
	Admin            string `json:"admin"`
	FirstByteTimeout string `json:"first_byte_timeout"`
	IdleTimeout      string `json:"idle_timeout"`
	RequestTimeout   string `json:"request_timeout"`
	QueueTimeout     string `json:"queue_timeout"`
	MaxQueue         int    `json:"max_queue"`
	MaxBody          string `json:"max_body"`
}

type keyFile struct {
	ManagedBy string     `json:"managed_by"`
	Keys      []keyEntry `json:"keys"`
}

type keyEntry struct {
	Name    string      `json:"name"`
	Hash    string      `json:"hash"`
	Models  []string    `json:"models,omitempty"`
	Expires *time.Time  `json:"expires,omitempty"` // the first moment at which it is no longer good
	Probe   bool        `json:"probe,omitempty"`
	Former  []formerKey `json:"former,omitempty"`
}

type formerKey struct {
	Hash    string    `json:"hash"`
	Expires time.Time `json:"expires"`
}

type workerEntry struct {
	ManagedBy string   `json:"managed_by"`
	Name      string   `json:"name"`
	Hashes    []string `json:"hashes"`
	Models    []string `json:"models"`
	// What it may serve at once of each, whatever it announces.
	Concurrency map[string]int `json:"concurrency"`
}

type workerSettings struct {
	ManagedBy  string        `json:"managed_by"`
	Name       string        `json:"name"`
	Relay      string        `json:"relay"`
	CAFile     string        `json:"ca_file,omitempty"`
	SecretFile string        `json:"secret_file"`
	Models     []workerModel `json:"models"`
}

type workerModel struct {
	Name           string `json:"name"`
	Backend        string `json:"backend"`
	BackendKeyFile string `json:"backend_key_file,omitempty"`
	Upstream       string `json:"upstream,omitempty"`
	Concurrency    int    `json:"concurrency"`
	Kind           string `json:"kind"`
}

// maxBody is the longest request, until a stack can say it.
const maxBody = "32MiB"

func relayJSON(s *stack.Stack) (text, error) {
	r := s.Proxy.Relay
	return encode(relaySettings{
		ManagedBy:        managedBy(s),
		Listen:           r.Listen.String(),
		Metrics:          fmt.Sprintf("%s:%d", metricsAddr, stack.MetricsPort),
		Admin:            adminSocket,
		FirstByteTimeout: r.FirstByteTimeout.String(),
		IdleTimeout:      r.IdleTimeout.String(),
		RequestTimeout:   r.RequestTimeout.String(),
		QueueTimeout:     r.QueueTimeout.String(),
		MaxQueue:         r.MaxQueue,
		MaxBody:          maxBody,
	})
}

func keysJSON(m made) (text, error) {
	s := m.in.Stack
	probe := m.probeHash()
	hashes := []plan.Value{probe}
	file := keyFile{ManagedBy: managedBy(s), Keys: []keyEntry{{Name: stack.ProbeKey, Hash: probe.Text, Probe: true}}}
	for _, k := range s.APIKeys {
		hash := m.keyHash(k)
		hashes = append(hashes, hash)
		entry := keyEntry{Name: k.Name, Hash: hash.Text, Models: slices.Sorted(slices.Values(k.Models)), Former: m.formerKeys(k)}
		if !k.Expires.IsZero() {
			utc := k.Expires.UTC()
			entry.Expires = &utc
		}
		file.Keys = append(file.Keys, entry)
	}
	if i := slices.IndexFunc(hashes, func(v plan.Value) bool { return !v.IsKnown() }); i >= 0 {
		return text{madeOn: hashes[i].MadeOn}, nil
	}
	slices.SortFunc(file.Keys, func(a, b keyEntry) int { return cmp.Compare(a.Name, b.Name) })
	return encode(file)
}

func workerEntryJSON(m made, w *stack.Worker) (text, error) {
	hashes, madeOn := m.workerHashes(w.Name)
	if madeOn != "" {
		return text{madeOn: madeOn}, nil
	}
	entry := workerEntry{ManagedBy: managedBy(m.in.Stack), Name: w.Name, Hashes: hashes, Concurrency: map[string]int{}}
	for _, model := range w.Models {
		entry.Models = append(entry.Models, model.Name)
		entry.Concurrency[model.Name] = model.Concurrency
	}
	slices.Sort(entry.Models)
	return encode(entry)
}

func workerJSON(s *stack.Stack, w *stack.Worker, relay relayWay) (text, error) {
	settings := workerSettings{
		ManagedBy:  managedBy(s),
		Name:       w.Name,
		Relay:      relay.url,
		CAFile:     relay.caFile,
		SecretFile: workerSecretPath,
	}
	for _, m := range w.Models {
		model := workerModel{Name: m.Name, Backend: m.Backend, Concurrency: m.Concurrency, Kind: string(m.Kind)}
		if !m.BackendKey.IsZero() {
			model.BackendKeyFile = backendKeyPath(m)
		}
		if m.Upstream != m.Name {
			model.Upstream = m.Upstream
		}
		settings.Models = append(settings.Models, model)
	}
	slices.SortFunc(settings.Models, func(a, b workerModel) int { return cmp.Compare(a.Name, b.Name) })
	return encode(settings)
}

func managedBy(s *stack.Stack) string {
	return fmt.Sprintf("relayctl for the stack %s: changes made here are undone by the next apply", s.Name)
}

// encode is v as a file that people can read: indented, <, > and & as they are.
func encode(v any) (text, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return text{}, fmt.Errorf("encode settings: %w", err)
	}
	return text{known: b.String()}, nil
}
