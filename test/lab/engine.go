package lab

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/relayctl/relayctl/internal/secret"
)

// Engine is a model server that runs on a host as a systemd service, on the
// host's loopback only.
type Engine struct {
	Host *Host
	// URL is where it listens, as the host sees it: http://127.0.0.1:PORT.
	URL string
	// Key is the API key it asks for.
	Key string
	// Model is the name it serves.
	Model string
	// Unit is its systemd service.
	Unit string
}

// engineService is what differs between the engines' units.
type engineService struct {
	name    string
	port    int
	model   string
	key     string // empty: a new one
	program string // ExecStart, with %d for the folder that holds the key
	lines   string // further lines of [Service]
	limit   time.Duration
}

// on is the engine of a service on a host.
func (s engineService) on(h *Host) Engine {
	return Engine{
		Host: h, Key: s.key, Model: s.model, Unit: s.name + ".service",
		URL: "http://127.0.0.1:" + strconv.Itoa(s.port),
	}
}

// startEngine writes a service and starts it. It returns when the engine
// answers, or at once where limit is 0.
func (h *Host) startEngine(ctx context.Context, s engineService) (Engine, error) {
	if s.key == "" {
		s.key = secret.NewToken().Reveal()
	}
	e := s.on(h)
	keyFile := "/etc/lab/" + s.name + ".key"
	unit := fmt.Sprintf(`[Unit]
Description=Engine %s of the lab
After=network.target

[Service]
ExecStart=%s
LoadCredential=key:%s
DynamicUser=yes
KillMode=mixed
Restart=no
%s
[Install]
WantedBy=multi-user.target
`, s.name, s.program, keyFile, s.lines)
	err := errors.Join(
		h.WriteFile(ctx, keyFile, []byte(e.Key), 0o600),
		h.WriteFile(ctx, "/etc/systemd/system/"+e.Unit, []byte(unit), 0o644),
	)
	if err == nil {
		_, err = h.run(ctx, nil, "systemctl", "enable", "--now", "--quiet", e.Unit)
	}
	if err == nil && s.limit > 0 {
		ctx, cancel := context.WithTimeout(ctx, s.limit)
		defer cancel()
		err = e.Await(ctx)
	}
	if err != nil {
		return e, fmt.Errorf("start engine %s: %w", s.name, err)
	}
	return e, nil
}

// Await waits until the engine answers /health.
func (e Engine) Await(ctx context.Context) error {
	err := poll(ctx, 50*time.Millisecond, func() (bool, error) {
		_, err := e.Host.run(ctx, nil, "curl", "-sf", "-o", "/dev/null", "--max-time", "2", e.URL+"/health")
		return err == nil, nil
	})
	if err != nil {
		log, _ := e.Host.run(context.WithoutCancel(ctx), nil, "journalctl", "--no-pager", "--lines=20", "--unit="+e.Unit)
		return fmt.Errorf("wait for %s: %w; its journal: %s", e.Unit, err, tail(log))
	}
	return nil
}

// Stop stops the service.
func (e Engine) Stop(ctx context.Context) error { return e.systemctl(ctx, "stop") }

// Start starts the service again and waits until it answers.
func (e Engine) Start(ctx context.Context) error {
	if err := e.systemctl(ctx, "start"); err != nil {
		return err
	}
	return e.Await(ctx)
}

func (e Engine) systemctl(ctx context.Context, verb string) error {
	_, err := e.Host.run(ctx, nil, "systemctl", verb, e.Unit)
	return err
}

// Metrics asks the engine for its metrics and returns the values by name,
// labels left out; of names that differ in labels alone, the sum.
func (e Engine) Metrics(ctx context.Context) (map[string]float64, error) {
	text, err := e.Host.run(ctx, nil, "curl", "-sf", "--max-time", "5", e.URL+"/metrics")
	if err != nil {
		return nil, err
	}
	values := map[string]float64{}
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 2 || strings.HasPrefix(line, "#") {
			continue
		}
		name, _, _ := strings.Cut(line, "{")
		name, _, _ = strings.Cut(name, " ")
		value, err := strconv.ParseFloat(f[len(f)-1], 64)
		if err != nil {
			return nil, fmt.Errorf("read metrics: %w", err)
		}
		values[name] += value
	}
	return values, nil
}
