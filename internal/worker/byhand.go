package worker

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/relayctl/relayctl/internal/protocol"
	"github.com/relayctl/relayctl/internal/secret"
)

// ByHand is what a worker started by hand is told, by flags and environment.
type ByHand struct {
	Relay       string       // PROXY_URL
	CAFile      string       // PROXY_CA, "" for what the system trusts
	Secret      secret.Value // WORKER_SECRET
	Backend     string       // BACKEND_URL
	BackendKey  secret.Value // BACKEND_KEY, none for an engine without
	Models      string       // MODELS, with commas between
	Name        string       // WORKER_NAME
	Concurrency string       // MAX_CONCURRENCY per model, "" for the default
}

// Settings makes settings of h.
func (h ByHand) Settings() (*Settings, error) {
	if h.Relay == "" || h.Secret.IsZero() || h.Backend == "" || h.Models == "" {
		return nil, errors.New("PROXY_URL, WORKER_SECRET, BACKEND_URL and --models are all needed")
	}
	if err := checkSecret(h.Secret); err != nil {
		return nil, fmt.Errorf("WORKER_SECRET: %w", err)
	}
	var ca []byte
	if h.CAFile != "" {
		var err error
		if ca, err = os.ReadFile(h.CAFile); err != nil {
			return nil, fmt.Errorf("PROXY_CA: %w", err)
		}
	}
	concurrency, err := strconv.Atoi(cmp.Or(h.Concurrency, strconv.Itoa(DefaultConcurrency)))
	if err != nil || concurrency < 1 {
		return nil, fmt.Errorf("MAX_CONCURRENCY: %q is no number over 0", h.Concurrency)
	}
	f := File{Name: h.Name, Relay: webURL(h.Relay), DrainTimeout: defaultDrain}
	var keys []secret.Value
	for name := range strings.SplitSeq(h.Models, ",") {
		if name = strings.TrimSpace(name); name != "" {
			f.Models = append(f.Models, FileModel{Name: name, Backend: h.Backend, Concurrency: concurrency})
			keys = append(keys, h.BackendKey)
		}
	}
	return f.settings(ca, h.Secret, keys)
}

// webURL takes the WebSocket schemes too, which say the same here.
func webURL(text string) string {
	if strings.HasPrefix(text, "ws://") || strings.HasPrefix(text, "wss://") {
		return "http" + strings.TrimPrefix(text, "ws")
	}
	return text
}

// defaultName is this machine's, with what no name may hold replaced.
func defaultName() string {
	host, err := os.Hostname()
	if err != nil {
		return "worker"
	}
	name := strings.Map(func(r rune) rune {
		if protocol.ValidWorker("a" + string(r)) {
			return r
		}
		return '-'
	}, host)
	name = strings.TrimLeft(name, "._-")
	return cmp.Or(name[:min(len(name), 63)], "worker")
}
