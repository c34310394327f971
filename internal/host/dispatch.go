package host

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/relayctl/relayctl/internal/hostapi"
)

// serve does what a request asks for.
func (h *Host) serve(ctx context.Context, one work, hear func(hostapi.Progress)) (any, error) {
	request := one.request
	switch request.Op {
	case hostapi.OpObserve:
		return with(request, func(params hostapi.Observe) (any, error) { return h.Observe(ctx, params) })
	case hostapi.OpLock:
		tell := func(what string) { hear(hostapi.Progress{Step: hostapi.NoStep, State: hostapi.Waiting, What: what}) }
		return with(request, func(params hostapi.Lock) (any, error) { return h.Lock(ctx, params, tell) })
	case hostapi.OpUnlock:
		return nil, h.Unlock()
	case hostapi.OpPut:
		return nil, h.Put(one.put, one.piece)
	case hostapi.OpApply:
		return with(request, func(params hostapi.Apply) (any, error) { return h.Apply(ctx, params, hear) })
	case hostapi.OpFinish:
		return with(request, func(params hostapi.Finish) (any, error) { return nil, h.Finish(params) })
	case hostapi.OpAsk:
		return with(request, func(params hostapi.Ask) (any, error) { return h.Ask(ctx, params) })
	case hostapi.OpLog:
		return with(request, func(params hostapi.UnitLog) (any, error) { return h.Log(ctx, params) })
	case hostapi.OpHistory:
		return with(request, func(params hostapi.History) (any, error) { return h.History(params) })
	case hostapi.OpFormer:
		return with(request, func(params hostapi.Former) (any, error) { return h.Former(params) })
	case hostapi.OpReveal:
		return h.Reveal()
	}
	return nil, hostapi.BadRequest("unknown operation %q", request.Op)
}

// with decodes a request's parameters.
func with[Params any](request hostapi.Request, do func(Params) (any, error)) (any, error) {
	var params Params
	if err := decodeParams(request, &params); err != nil {
		return nil, err
	}
	return do(params)
}

func decodeParams(request hostapi.Request, params any) error {
	if len(request.Params) == 0 {
		return nil
	}
	if err := json.Unmarshal(request.Params, params); err != nil {
		return hostapi.BadRequest("%s: decode parameters: %v", request.Op, err)
	}
	return nil
}

// answer ends a request with its result or its error.
func (c *Conversation) answer(id uint64, result any, err error) {
	response := hostapi.Response{ID: id}
	if err == nil {
		response.Result, err = json.Marshal(result)
	}
	if err != nil {
		response.Result, response.Error = nil, asError(err)
	}
	line, err := hostapi.EncodeMessage(response)
	if err != nil {
		return // can't be: everything in it was encoded already
	}
	select {
	case c.responses <- line:
	case <-c.gone:
	}
}

// progress tells how a request goes; on a line that is slower than that,
// progress is left out.
func (c *Conversation) progress(id uint64, progress hostapi.Progress) {
	line, err := hostapi.EncodeMessage(hostapi.Response{ID: id, Progress: &progress})
	if err != nil {
		return // can't be: it is text and numbers
	}
	select {
	case c.responses <- line:
	default:
	}
}

// asError is err as it travels.
func asError(err error) *hostapi.Error {
	var told *hostapi.Error
	switch {
	case errors.As(err, &told):
		return told
	case errors.Is(err, context.Canceled):
		return &hostapi.Error{Code: hostapi.CodeCancelled, Message: "cancelled", Step: hostapi.NoStep}
	}
	if told := explained(err); told != nil {
		return told
	}
	return &hostapi.Error{Code: hostapi.CodeInternal, Message: err.Error(), Step: hostapi.NoStep}
}
