package relay

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
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
	// Open lets every client in and every model through: a relay started by
	// hand without a file of keys.
	Open bool
	// AnyModel lets workers serve models that no settings name: a relay
	// started by hand.
	AnyModel bool
	// Digest names these settings, see Digest; "" by hand.
	Digest string
}

// RelayFile is relay.json.
type RelayFile struct {
	ManagedBy        string   `json:"managed_by,omitempty"`
	Listen           string   `json:"listen"`             // for clients and workers, default 127.0.0.1:8080
	Metrics          string   `json:"metrics"`            // default 127.0.0.1:8081, "off" for none
	Admin            string   `json:"admin"`              // a socket's path, default /run/relay/admin.sock, "off" for none
	FirstByteTimeout Duration `json:"first_byte_timeout"` // from dispatch to the answer's first byte, default 10m
	IdleTimeout      Duration `json:"idle_timeout"`       // between bytes of an answer, default 5m
	RequestTimeout   Duration `json:"request_timeout"`    // in all, default 1h
	QueueTimeout     Duration `json:"queue_timeout"`      // for a free slot, default 30s
	DrainTimeout     Duration `json:"drain_timeout"`      // for running answers when the relay stops, default 30s
	MaxQueue         int      `json:"max_queue"`          // waiting requests per model, default 100; 0: none may wait
	MaxBody          Size     `json:"max_body"`           // of one request, default 32MiB
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
	Probe   bool     `json:"probe,omitempty"`   // good for a completion of one token only
}

// WorkerFile is workers.d/NAME.json.
type WorkerFile struct {
	ManagedBy string   `json:"managed_by,omitempty"`
	Name      string   `json:"name"`
	Hashes    []string `json:"hashes"` // hex SHA-256 of each secret that is good now
	Models    []string `json:"models"` // what it may serve
}

// DefaultRelay is relay.json with nothing in it.
func DefaultRelay() RelayFile {
	return RelayFile{
		Listen:           "127.0.0.1:8080",
		Metrics:          "127.0.0.1:8081",
		Admin:            "/run/relay/admin.sock",
		FirstByteTimeout: Duration(10 * time.Minute),
		IdleTimeout:      Duration(5 * time.Minute),
		RequestTimeout:   Duration(time.Hour),
		QueueTimeout:     Duration(30 * time.Second),
		DrainTimeout:     Duration(30 * time.Second),
		MaxQueue:         100,
		MaxBody:          32 << 20,
	}
}

// LoadSettings reads and checks the settings in dir. An unknown member is an
// error, so that a misspelt limit is never a limit left out. All that is wrong
// comes in one error.
func LoadSettings(dir string) (*Settings, error) {
	s := &Settings{Relay: DefaultRelay()}
	var keys KeysFile
	digest := sha256.New()
	files := []string{KeysPath, RelayPath}
	workers, err := workerFiles(dir)
	if err != nil {
		return nil, err
	}
	var problems []error
	for _, path := range append(files, workers...) {
		data, err := os.ReadFile(filepath.Join(dir, path))
		if err != nil {
			problems = append(problems, fmt.Errorf("read settings: %w", err))
			continue
		}
		fmt.Fprintf(digest, "%s\x00%x\n", path, sha256.Sum256(data))
		var worker WorkerFile
		into := map[string]any{RelayPath: &s.Relay, KeysPath: &keys}[path]
		if into == nil {
			into = &worker
		}
		if err := decodeStrict(data, into); err != nil {
			problems = append(problems, fmt.Errorf("read settings: %s: %w", filepath.Join(dir, path), err))
		}
		if into == &worker {
			s.Workers = append(s.Workers, worker)
		}
	}
	s.Keys = keys.Keys
	s.Digest = hex.EncodeToString(digest.Sum(nil))
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("check settings in %s: %w", dir, err)
	}
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

func decodeStrict(data []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("more after the JSON object")
	}
	return nil
}

var (
	labelPattern  = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)
	modelPattern  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$`)
	workerPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`) // by hand; in settings it is a label
	hashPattern   = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// ValidModel reports whether name can be a model's.
func ValidModel(name string) bool {
	return modelPattern.MatchString(name) && !strings.Contains(name, "..")
}

func (s *Settings) check() error {
	problems := s.Relay.check()
	seen := make(map[string]string) // what a name or hash is taken by
	taken := func(what, by string) {
		if other, ok := seen[what]; ok {
			problems = append(problems, fmt.Errorf("%s: its name or hash is that of %s too", by, other))
		}
		seen[what] = by
	}
	for _, key := range s.Keys {
		by := "key " + strconv.Quote(key.Name)
		taken("key "+key.Name, by)
		taken(key.Hash, by)
		if _, err := expiry(key.Expires); err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", by, err))
		}
		problems = append(problems, checkEntry(by, key.Name, []string{key.Hash}, key.Models)...)
	}
	for _, worker := range s.Workers {
		by := "worker " + strconv.Quote(worker.Name)
		taken("worker "+worker.Name, by)
		for _, hash := range worker.Hashes {
			taken(hash, by)
		}
		problems = append(problems, checkEntry(by, worker.Name, worker.Hashes, worker.Models)...)
	}
	return errors.Join(problems...)
}

func checkEntry(by, name string, hashes, models []string) (problems []error) {
	if !labelPattern.MatchString(name) {
		problems = append(problems, fmt.Errorf("%s: no valid name", by))
	}
	for _, hash := range hashes {
		if !hashPattern.MatchString(hash) {
			problems = append(problems, fmt.Errorf("%s: a hash is not 64 lower-case hex digits", by))
		}
	}
	for _, model := range models {
		if !ValidModel(model) {
			problems = append(problems, fmt.Errorf("%s: no valid model name: %q", by, model))
		}
	}
	return problems
}

func (r *RelayFile) check() (problems []error) {
	positive := map[string]Duration{
		"first_byte_timeout": r.FirstByteTimeout,
		"idle_timeout":       r.IdleTimeout,
		"request_timeout":    r.RequestTimeout,
		"queue_timeout":      r.QueueTimeout,
		"drain_timeout":      r.DrainTimeout,
	}
	for _, name := range slices.Sorted(maps.Keys(positive)) {
		if positive[name] <= 0 {
			problems = append(problems, fmt.Errorf("%s: must be over 0", name))
		}
	}
	if r.Listen == "" || r.Metrics == "" || r.Admin == "" {
		problems = append(problems, errors.New("listen, metrics and admin must not be empty"))
	}
	if r.MaxQueue < 0 {
		problems = append(problems, errors.New("max_queue: must not be below 0"))
	}
	if r.MaxBody < 1024 || r.MaxBody > 1<<30 {
		problems = append(problems, errors.New("max_body: must be between 1KiB and 1GiB"))
	}
	return problems
}

// expiry is the moment a key ends; zero for never.
func expiry(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if day, err := time.Parse(time.DateOnly, text); err == nil {
		return day.AddDate(0, 0, 1), nil
	}
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, fmt.Errorf("expires: %q is neither a date nor RFC 3339", text)
	}
	return at, nil
}

// Duration is a time.Duration written as Go does: "30s", "1h30m".
type Duration time.Duration

// UnmarshalText parses d.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	*d = Duration(parsed)
	return err
}

// MarshalText prints d.
func (d Duration) MarshalText() ([]byte, error) {
	return []byte(time.Duration(d).String()), nil
}

// Size is a number of bytes, written as "32MiB", "512KiB", "1GiB" or "1000".
type Size int64

var sizeUnits = []struct {
	suffix string
	bytes  int64
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"", 1}}

// UnmarshalText parses s.
func (s *Size) UnmarshalText(text []byte) error {
	for _, unit := range sizeUnits {
		digits, ok := strings.CutSuffix(string(text), unit.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(digits, 10, 32)
		if err != nil || n < 0 {
			return fmt.Errorf("%q is no size such as 32MiB", text)
		}
		*s = Size(n * unit.bytes)
		return nil
	}
	return nil
}

// MarshalText prints s in the largest unit that leaves no rest.
func (s Size) MarshalText() ([]byte, error) {
	for _, unit := range slices.Backward(sizeUnits[:3]) {
		if s > 0 && int64(s)%unit.bytes == 0 {
			return []byte(strconv.FormatInt(int64(s)/unit.bytes, 10) + unit.suffix), nil
		}
	}
	return []byte(strconv.FormatInt(int64(s), 10)), nil
}
