package worker

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/relayctl/relayctl/internal/protocol"
	"github.com/relayctl/relayctl/internal/secret"
	"github.com/relayctl/relayctl/internal/service"
)

// File is worker.json.
type File struct {
	ManagedBy    string           `json:"managed_by,omitempty"`
	Name         string           `json:"name"`
	Relay        string           `json:"relay"`                   // https://llm.example.com or http://127.0.0.1:8080
	CAFile       string           `json:"ca_file,omitempty"`       // PEM: these are trusted and nothing else; without it what the system trusts
	SecretFile   string           `json:"secret_file"`             // the secret this worker is known by at the relay
	DrainTimeout service.Duration `json:"drain_timeout,omitempty"` // for running answers when the worker stops, default 60s
	Models       []FileModel      `json:"models"`
}

// FileModel is one model of worker.json.
type FileModel struct {
	Name           string `json:"name"`                       // what clients say
	Backend        string `json:"backend"`                    // the engine's URL, with or without a /v1 at its end
	BackendKeyFile string `json:"backend_key_file,omitempty"` // the engine's key
	Upstream       string `json:"upstream,omitempty"`         // the engine's own name for the model, where it differs
	Concurrency    int    `json:"concurrency"`                // requests at once, default 16
	Kind           string `json:"kind"`                       // chat, the default
}

// DefaultConcurrency is how many requests a model takes at once.
const DefaultConcurrency = 16

// defaultDrain is for how long a worker that stops lets answers finish.
const defaultDrain = service.Duration(time.Minute)

// Settings is all that a worker is told, checked and with the secrets read.
type Settings struct {
	Name         string
	Relay        *url.URL
	Roots        *x509.CertPool // nil: what the system trusts
	Secret       secret.Value
	DrainTimeout time.Duration
	Models       []Model
	// Digest names these settings, secrets left out, and whoever renders the
	// files can compute it too: the hex SHA-256 over, for the ca_file under the
	// name ca.pem (where there is one) and then worker.json: the name, a zero
	// byte, the hex SHA-256 of the file, a newline. "" by hand.
	Digest string
}

// Model is one model that the worker serves.
type Model struct {
	Name        string
	Backend     *url.URL // without a path beyond what comes before /v1
	Key         secret.Value
	Upstream    string // "" where it is Name
	Concurrency int
	Kind        string
}

// LoadSettings reads and checks worker.json at path and the files it names;
// their paths are relative to it. An unknown member is an error. All that is
// wrong comes in one error.
func LoadSettings(path string) (*Settings, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read settings: %w", err)
	}
	file := File{DrainTimeout: defaultDrain}
	if err := service.DecodeStrict(data, &file); err != nil {
		return nil, fmt.Errorf("read settings: %s: %w", path, err)
	}
	digest := sha256.New()
	dir := filepath.Dir(path)
	var ca []byte
	var problems []error
	if file.CAFile != "" {
		if ca, err = os.ReadFile(beside(dir, file.CAFile)); err != nil {
			problems = append(problems, fmt.Errorf("ca_file: %w", err))
		}
		fmt.Fprintf(digest, "ca.pem\x00%x\n", sha256.Sum256(ca))
	}
	fmt.Fprintf(digest, "worker.json\x00%x\n", sha256.Sum256(data))
	own, err := readSecret(dir, file.SecretFile)
	if err != nil {
		problems = append(problems, fmt.Errorf("secret_file: %w", err))
	}
	keys := make([]secret.Value, len(file.Models))
	for i, m := range file.Models {
		if m.BackendKeyFile == "" {
			continue
		}
		if keys[i], err = readSecret(dir, m.BackendKeyFile); err != nil {
			problems = append(problems, fmt.Errorf("model %q: backend_key_file: %w", m.Name, err))
		}
	}
	s, err := file.settings(ca, own, keys)
	if err := errors.Join(append(problems, err)...); err != nil {
		return nil, fmt.Errorf("check settings in %s: %w", path, err)
	}
	s.Digest = hex.EncodeToString(digest.Sum(nil))
	return s, nil
}

func beside(dir, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

// readSecret reads a file whose content, less surrounding white space, is a
// secret.
func readSecret(dir, path string) (secret.Value, error) {
	if path == "" {
		return secret.Value{}, errors.New("is missing")
	}
	data, err := os.ReadFile(beside(dir, path))
	if err != nil {
		return secret.Value{}, err
	}
	value := secret.New(strings.TrimSpace(string(data)))
	return value, checkSecret(value)
}

// checkSecret refuses what no header can carry.
func checkSecret(value secret.Value) error {
	text := value.Reveal()
	if text == "" {
		return errors.New("is empty")
	}
	for i := range len(text) {
		if text[i] < ' ' || text[i] >= 0x7f {
			return errors.New("holds a control character, or one outside ASCII")
		}
	}
	return nil
}

// settings checks f and makes settings of it. keys are those of the models'
// engines, in their order; ca is the content of the CA file, nil for none.
func (f File) settings(ca []byte, own secret.Value, keys []secret.Value) (*Settings, error) {
	s := &Settings{Name: f.Name, Secret: own, DrainTimeout: time.Duration(f.DrainTimeout)}
	var problems []error
	fault := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	if !protocol.ValidWorker(f.Name) {
		fault("name: %q is no valid name", f.Name)
	}
	if f.DrainTimeout <= 0 {
		fault("drain_timeout: must be over 0")
	}
	var err error
	if s.Relay, err = parseURL(f.Relay); err != nil {
		fault("relay: %w", err)
	}
	if ca != nil {
		s.Roots = x509.NewCertPool()
		if !s.Roots.AppendCertsFromPEM(ca) {
			fault("ca_file: no certificate in it")
		}
	}
	if len(f.Models) == 0 || len(f.Models) > protocol.MaxOffers {
		fault("models: there must be 1 to %d", protocol.MaxOffers)
	}
	for i, m := range f.Models {
		model, err := m.model(keys[i])
		if err != nil {
			fault("model %q: %w", m.Name, err)
		}
		if slices.ContainsFunc(s.Models, func(other Model) bool { return other.Name == m.Name }) {
			fault("model %q stands there twice", m.Name)
		}
		s.Models = append(s.Models, model)
	}
	return s, errors.Join(problems...)
}

func (f FileModel) model(key secret.Value) (Model, error) {
	m := Model{Name: f.Name, Key: key, Upstream: f.Upstream, Concurrency: f.Concurrency, Kind: f.Kind}
	if m.Concurrency == 0 {
		m.Concurrency = DefaultConcurrency
	}
	if m.Kind == "" {
		m.Kind = "chat"
	}
	if m.Upstream == m.Name {
		m.Upstream = ""
	}
	backend, err := parseURL(f.Backend)
	switch {
	case !protocol.ValidModel(f.Name):
		return m, errors.New("no valid model name")
	case m.Concurrency < 1 || m.Concurrency > protocol.MaxConcurrency:
		return m, fmt.Errorf("concurrency: must be 1 to %d", protocol.MaxConcurrency)
	case m.Kind != "chat":
		return m, fmt.Errorf("kind: %q is not supported yet, chat is", m.Kind)
	case err != nil:
		return m, fmt.Errorf("backend: %w", err)
	}
	backend.Path = strings.TrimSuffix(strings.TrimRight(backend.Path, "/"), "/v1")
	m.Backend = backend
	return m, nil
}

// parseURL takes an http or https URL of a host and perhaps a path.
func parseURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, errors.New("is no URL")
	case u.Scheme != "http" && u.Scheme != "https", u.Host == "", u.Opaque != "":
		return nil, fmt.Errorf("%q is no http or https URL", u.Redacted())
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("the URL must have neither user nor query")
	}
	return u, nil
}
