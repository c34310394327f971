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
	turn := s.nextTurn()
	links := s.connected()
	if d.ComeBack == protocol.AfterClose {
		links = slices.DeleteFunc(links, func(l *link) bool { return l.from.direct })
	}
	result := DrainResult{Workers: len(links), Running: s.scheduler.runningAt(links)}
	for _, l := range links {
		if d.ComeBack == protocol.AfterClose {
			s.returning(l)
			s.scheduler.hold(l, true)
		}
		l.conn.Drain(protocol.Drain{ComeBack: d.ComeBack, WithinMS: 250 + rand.IntN(750)})
	}
	s.log.Info("workers told to come back", "come_back", d.ComeBack, "workers", result.Workers, "running", result.Running)
	waiting, cancel := context.WithTimeout(ctx, time.Duration(d.Timeout))
	defer cancel()
	result.Left = s.scheduler.waitIdle(waiting, links)
	if d.ComeBack == protocol.AfterClose {
		s.holdUntil(links, time.Duration(d.Hold), turn)
	}
	return result
}

// returning notes that l was told to come back when it is closed.
func (s *Server) returning(l *link) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l.returns = true
}

// holdUntil uses links again after hold, those that are still there: nobody
// closed them after all. A drain or a resume that comes later decides instead.
func (s *Server) holdUntil(links []*link, hold time.Duration, turn int) {
	s.running.Go(func() {
		timer := time.NewTimer(hold)
		defer timer.Stop()
		for _, l := range links {
			select {
			case <-l.conn.Done():
			case <-timer.C:
				if s.isTurn(turn) {
					s.resume(links)
				}
				return
			}
		}
	})
}

// nextTurn begins a drain.
func (s *Server) nextTurn() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drainTurn++
	return s.drainTurn
}

func (s *Server) isTurn(turn int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.drainTurn == turn
}

// resume gives links work again, less those that were replaced or want none,
// and returns to how many.
func (s *Server) resume(links []*link) (resumed int) {
	for _, l := range links {
		s.mu.Lock()
		newest := s.byName[l.name] == l && !l.leaving
		l.returns = false
		s.mu.Unlock()
		if newest {
			s.scheduler.hold(l, false)
			resumed++
		}
	}
	return resumed
}
