package engine

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"
)

// ControlHandler takes the orders that make the engine misbehave, each a POST:
// /hang, /unhang, /die, /load.
func (s *Stub) ControlHandler() http.Handler {
	mux := http.NewServeMux()
	order := func(path string, do func()) {
		mux.HandleFunc("POST "+path, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusNoContent)
			do()
		})
	}
	order("/hang", s.Hang)
	order("/unhang", s.Unhang)
	order("/die", s.Die)
	order("/load", s.Load)
	return mux
}

// serveControl serves the control port, from before the model has loaded.
func (s *Stub) serveControl(ctx context.Context) (stop func(), err error) {
	if s.config.Control == "" {
		return func() {}, nil
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", s.config.Control)
	if err != nil {
		return nil, fmt.Errorf("start control port: %w", err)
	}
	server := &http.Server{Handler: s.ControlHandler(), ReadHeaderTimeout: 10 * time.Second}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		server.Serve(listener)
	}()
	return func() {
		// Lets the answer to /die out.
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		server.Shutdown(ctx)
		server.Close()
		<-ended
	}, nil
}
