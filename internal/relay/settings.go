package relay

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/relayctl/relayctl/internal/service"
)

// The settings files inside the folder given by --config.
const (
	RelayPath  = "relay.json"
	KeysPath   = "keys.json"
	WorkersDir = "workers.d" // NAME.json each
)

// Settings is all that a relay is told.
type Settings struct {
	Relay   RelayFile
	Keys    []KeyEntry
	Workers []WorkerFile
	LeftOut []error // workers whose files are not good
	// Open lets every client in and every model through: a relay started by
	// hand without a file of keys.
	Open bool
	// AnyModel lets workers serve models that no settings name: a relay
	// started by hand.
	AnyModel bool
	// Digest names these settings, and whoever renders the files can compute it
	// too: the hex SHA-256 over, for each file in the order of their paths inside
	// the folder: the path, a zero byte, the hex SHA-256 of the file, a newline.
	// "" by hand.
	Digest string
}

// RelayFile is relay.json.
type RelayFile struct {
	ManagedBy        string           `json:"managed_by,omitempty"`
	Listen           string           `json:"listen"`             // for clients and workers, default 127.0.0.1:8080
	Metrics          string           `json:"metrics"`            // default 127.0.0.1:8081, "off" for none
	Admin            string           `json:"admin"`              // a socket's path, default /run/relay/admin.sock, "off" for none
	FirstByteTimeout service.Duration `json:"first_byte_timeout"` // from dispatch to the answer's first byte, default 10m
	IdleTimeout      service.Duration `json:"idle_timeout"`       // between bytes of an answer, default 5m
	RequestTimeout   service.Duration `json:"request_timeout"`    // in all, default 1h
	QueueTimeout     service.Duration `json:"queue_timeout"`      // for a free slot, default 30s
	DrainTimeout     service.Duration `json:"drain_timeout"`      // for running answers when the relay stops, default 30s
	MaxQueue         int              `json:"max_queue"`          // waiting requests per model, default 100; 0: none may wait
	MaxBody          Size             `json:"max_body"`           // of one request, default 32MiB
}

// KeysFile is keys.json.
type KeysFile struct {
	ManagedBy string     `json:"managed_by,omitempty"`
	Keys      []KeyEntry `json:"keys"`
}

// KeyEntry is one API key, known by its hash only.
type KeyEntry struct {
	Name    string   `json:"name"`
	Hash    string   `json:"hash"`              // hex SHA-256 of the key
	Models  []string `json:"models,omitempty"`  // none: all
	Expires string   `json:"expires,omitempty"` // 2027-06-30 (good to the end of that day, UTC) or RFC 3339
	Probe   bool     `json:"probe,omitempty"`   // good for a completion of a few tokens only
	// Former are hashes of keys that this one has replaced, each good for some
	// time more, and no longer than the entry itself.
	Former []FormerKey `json:"former,omitempty"`
}

// FormerKey is a key that was replaced.
type FormerKey struct {
	Hash    string `json:"hash"`
	Expires string `json:"expires"` // as in KeyEntry
}

// WorkerFile is workers.d/NAME.json.
type WorkerFile struct {
	ManagedBy string   `json:"managed_by,omitempty"`
	Name      string   `json:"name"`
	Hashes    []string `json:"hashes"` // hex SHA-256 of each secret that is good now
	Models    []string `json:"models"` // what it may serve
	// Concurrency is how many requests at once of each model it may take, 1 to
	// protocol.MaxConcurrency; of one that is not in it, as many as it says.
	Concurrency map[string]int `json:"concurrency,omitempty"`
}

// DefaultRelay is relay.json with nothing in it.
func DefaultRelay() RelayFile {
	return RelayFile{
		Listen:           "127.0.0.1:8080",
		Metrics:          "127.0.0.1:8081",
		Admin:            "/run/relay/admin.sock",
		FirstByteTimeout: service.Duration(10 * time.Minute),
		IdleTimeout:      service.Duration(5 * time.Minute),
		RequestTimeout:   service.Duration(time.Hour),
		QueueTimeout:     service.Duration(30 * time.Second),
		DrainTimeout:     service.Duration(30 * time.Second),
		MaxQueue:         100,
		MaxBody:          32 << 20,
	}
}

// LoadSettings reads and checks the settings in dir. An unknown member is an
// error, so that a misspelt limit is never a limit left out. All that is wrong
// comes in one error; but a worker's file that is wrong is left out, so that
// what one worker's host reported is never the end of all others.
func LoadSettings(dir string) (*Settings, error) {
	s := &Settings{Relay: DefaultRelay()}
	var keys KeysFile
	digest := sha256.New()
	read := func(path string, into any) error {
		data, err := os.ReadFile(filepath.Join(dir, path))
		if err != nil {
			return err
		}
		fmt.Fprintf(digest, "%s\x00%x\n", path, sha256.Sum256(data))
		if err := service.DecodeStrict(data, into); err != nil {
			return fmt.Errorf("%s: %w", filepath.Join(dir, path), err)
		}
		return nil
	}
	if err := errors.Join(read(KeysPath, &keys), read(RelayPath, &s.Relay)); err != nil {
		return nil, fmt.Errorf("read settings: %w", err)
	}
	s.Keys = keys.Keys
	taken := make(claims)
	if err := s.check(taken); err != nil {
		return nil, fmt.Errorf("check settings in %s: %w", dir, err)
	}
	paths, err := workerFiles(dir)
	if err != nil {
		return nil, err
	}
	for _, path := range paths {
		var worker WorkerFile
		err := read(path, &worker)
		if err == nil && path != WorkersDir+"/"+worker.Name+".json" {
			err = fmt.Errorf("%s: it is that of worker %q", filepath.Join(dir, path), worker.Name)
		}
		if err == nil {
			err = worker.check(taken)
		}
		if err != nil {
			s.LeftOut = append(s.LeftOut, fmt.Errorf("worker left out: %w", err))
			continue
		}
		s.Workers = append(s.Workers, worker)
	}
	s.Digest = hex.EncodeToString(digest.Sum(nil))
	return s, nil
}

// workerFiles lists workers.d, sorted, as paths inside dir. A folder that is
// not there is a relay without workers yet.
func workerFiles(dir string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(dir, WorkersDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read settings: %w", err)
	}
	var paths []string
	for _, entry := range entries {
		if name := entry.Name(); strings.HasSuffix(name, ".json") && !strings.HasPrefix(name, ".") {
			paths = append(paths, WorkersDir+"/"+name)
		}
	}
	return paths, nil
}
