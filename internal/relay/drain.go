package relay

import (
	"context"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/relayctl/relayctl/internal/protocol"
	"github.com/relayctl/relayctl/internal/service"
)

// DrainRequest is the body of POST /v1/drain; all of it may be left out.
type DrainRequest struct {
	ComeBack protocol.ComeBack `json:"come_back"` // after_close (default) or at_once
	Timeout  service.Duration  `json:"timeout"`   // for running answers, default 30s
	Hold     service.Duration  `json:"hold"`      // for what closes the connections, before they are used again; default 30s
}

// DrainResult answers it, when the answers running at its start have ended or
// the timeout has passed.
type DrainResult struct {
	Workers int `json:"workers"` // told
	Running int `json:"running"` // at the start
	Left    int `json:"left"`    // of these at the end
}

// Drain tells workers to come back, and waits for the answers that run at its
// start. With after_close they get no new work until their connection is closed
// from outside, or hold has passed; requests wait in the queues. Those that
// nothing stands in front of are left alone then, since nobody closes them. With
// at_once each opens a second connection that takes over.
func (s *Server) Drain(ctx context.Context, d DrainRequest) DrainResult {
	latest, cancel := context.WithCancel(s.gate.stopping)
	s.mu.Lock()
	s.endHold()
	s.endHold = cancel
	s.mu.Unlock()
	links := s.scheduler.connected()
	if d.ComeBack == protocol.AfterClose {
		links = slices.DeleteFunc(links, func(l *link) bool { return l.direct })
		s.scheduler.pause(links)
	}
	running, _ := s.scheduler.busy(links)
	for _, l := range links {
		l.conn.Drain(protocol.Drain{ComeBack: d.ComeBack, WithinMS: 250 + rand.IntN(750)})
	}
	s.log.Info("workers told to come back", "come_back", d.ComeBack, "workers", len(links), "running", running)
	waiting, cancel := context.WithTimeout(ctx, time.Duration(d.Timeout))
	defer cancel()
	left := s.scheduler.waitIdle(waiting, links)
	if d.ComeBack == protocol.AfterClose {
		s.running.Go(func() { s.holdUntil(latest, links, time.Duration(d.Hold)) })
	}
	return DrainResult{Workers: len(links), Running: running, Left: left}
}

// holdUntil uses links again after hold, those that are still there: nobody
// closed them after all. A drain that comes later, which ends latest, decides
// instead.
func (s *Server) holdUntil(latest context.Context, links []*link, hold time.Duration) {
	timer := time.NewTimer(hold)
	defer timer.Stop()
	select {
	case <-latest.Done():
	case <-timer.C:
		s.scheduler.resume(links)
	}
}
