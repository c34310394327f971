package relay

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/relayctl/relayctl/internal/protocol"
	"github.com/relayctl/relayctl/internal/secret"
	"github.com/relayctl/relayctl/internal/service"
)

// ByHand is what a relay started by hand is told, by flags and environment.
type ByHand struct {
	Listen         string       // LISTEN_ADDR
	RequestTimeout string       // REQUEST_TIMEOUT_SECS, "" for the default
	WorkerSecret   secret.Value // WORKER_SECRET
	APIKeysFile    string       // API_KEYS_FILE, "" to take every client
	Metrics        string       // "off" for none
	Admin          string       // "off" for none
}

// Settings makes settings of h. Without a file of keys every client is taken,
// and then only ones on this machine can come.
func (h ByHand) Settings() (*Settings, error) {
	if h.WorkerSecret.IsZero() {
		return nil, errors.New("WORKER_SECRET is not set: workers have to know it too")
	}
	s := &Settings{Relay: DefaultRelay(), Open: h.APIKeysFile == "", AnyModel: true}
	s.Relay.Listen, s.Relay.Metrics, s.Relay.Admin = h.Listen, h.Metrics, h.Admin
	s.Workers = []WorkerFile{{Hashes: []string{h.WorkerSecret.Hash()}}}
	if h.RequestTimeout != "" {
		seconds, err := strconv.Atoi(h.RequestTimeout)
		if err != nil || seconds < 1 || seconds > 7*24*3600 {
			return nil, fmt.Errorf("REQUEST_TIMEOUT_SECS: %q is no number of seconds over 0", h.RequestTimeout)
		}
		s.Relay.RequestTimeout = service.Duration(time.Duration(seconds) * time.Second)
		s.Relay.FirstByteTimeout = min(s.Relay.FirstByteTimeout, s.Relay.RequestTimeout)
	}
	if s.Open {
		return s, checkLoopback(h.Listen)
	}
	keys, err := readKeysFile(h.APIKeysFile)
	s.Keys = keys
	return s, err
}

// checkLoopback refuses an address that others than this machine reach.
func checkLoopback(listen string) error {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", listen, err)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fmt.Errorf("listen on %s: without API_KEYS_FILE every client is taken, so only a loopback address such as 127.0.0.1:8080 is allowed", listen)
	}
	return nil
}

// readKeysFile reads lines of name=hash; empty lines and those that begin with
// # count for nothing.
func readKeysFile(path string) ([]KeyEntry, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read API keys: %w", err)
	}
	var keys []KeyEntry
	for i, line := range strings.Split(string(data), "\n") {
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, hash, ok := strings.Cut(line, "=")
		name, hash = strings.TrimSpace(name), strings.ToLower(strings.TrimSpace(hash))
		if !ok || !hashPattern.MatchString(hash) || !protocol.ValidWorker(name) {
			return nil, fmt.Errorf("read API keys: %s line %d is not NAME=SHA256 in hex", path, i+1)
		}
		keys = append(keys, KeyEntry{Name: name, Hash: hash})
	}
	return keys, nil
}
