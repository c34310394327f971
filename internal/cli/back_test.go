package cli_test

import (
	"context"

	"github.com/relayctl/relayctl/internal/engine"
)

func (h *hosts) PlanRollback(_ context.Context, to int) (*engine.Rollback, error) {
	h.look()
	h.to = to
	return h.rollback, h.err
}

func (h *hosts) Rollback(ctx context.Context, _ *engine.Rollback, show func(*engine.Outcome) error) (*engine.Outcome, error) {
	h.applied++
	return h.apply(ctx, h, show)
}

func (h *hosts) PlanDestroy(_ context.Context, purge bool) (*engine.Planned, error) {
	h.look()
	h.purge = purge
	return h.planned, h.err
}

func (h *hosts) Destroy(ctx context.Context, _ *engine.Planned, show func(*engine.Outcome) error) (*engine.Outcome, error) {
	h.applied++
	return h.apply(ctx, h, show)
}
