package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"time"

	"github.com/relayctl/relayctl/internal/host/machine"
	"github.com/relayctl/relayctl/internal/hostapi"
	"github.com/relayctl/relayctl/internal/plan"
)

// Ask sends an HTTP request to this machine and returns the answer, of which
// at most hostapi.MaxAnswer bytes of the body.
func (h *Host) Ask(ctx context.Context, params hostapi.Ask) (hostapi.Answer, error) {
	if params.Timeout <= 0 || params.Timeout > hostapi.MaxAskTime {
		return hostapi.Answer{}, hostapi.BadRequest("a timeout of %v", params.Timeout)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, params.Timeout, fmt.Errorf("no answer within %s", plan.Seconds(params.Timeout)))
	defer cancel()
	request := machine.Request{
		Method: params.Method, URL: params.URL, Host: params.Host, Header: maps.Clone(params.Header), Body: params.Body,
		Socket: params.Socket, User: plan.RelayUser, RootCA: params.RootCA,
	}
	if params.Probe {
		token, err := h.store.Secret(plan.SecretProbe)
		if err != nil {
			return hostapi.Answer{}, err
		}
		if request.Header == nil {
			request.Header = map[string]string{}
		}
		request.Header["Authorization"] = "Bearer " + token.Reveal()
	}
	begun := time.Now()
	response, err := h.Send(ctx, request)
	if wrong := (*machine.RequestError)(nil); errors.As(err, &wrong) {
		return hostapi.Answer{}, hostapi.BadRequest("%v", wrong)
	}
	if err != nil {
		return hostapi.Answer{}, err
	}
	defer response.Body.Close()
	answer := hostapi.Answer{Status: response.StatusCode, Header: map[string]string{}}
	for name := range response.Header {
		answer.Header[name] = response.Header.Get(name)
	}
	first := make([]byte, 1)
	n, err := io.ReadFull(response.Body, first)
	answer.FirstByte = time.Since(begun)
	if err == nil {
		var rest []byte
		rest, err = io.ReadAll(io.LimitReader(response.Body, hostapi.MaxAnswer-1))
		answer.Body = append(first[:n], rest...)
	}
	if err != nil && err != io.EOF {
		return hostapi.Answer{}, request.Failed(ctx, err)
	}
	return answer, nil
}

// Reveal returns the key that is good for a one-token probe, and nothing else.
func (h *Host) Reveal() (hostapi.Revealed, error) {
	token, err := h.store.Secret(plan.SecretProbe)
	if err != nil {
		return hostapi.Revealed{}, err
	}
	return hostapi.Revealed{Key: token.Reveal()}, nil
}

// Log returns the last lines of a unit's log.
func (h *Host) Log(ctx context.Context, params hostapi.UnitLog) (hostapi.LogLines, error) {
	if err := h.kinds.CheckName(plan.ID{Kind: plan.KindUnit, Name: params.Unit}); err != nil {
		return hostapi.LogLines{}, err
	}
	if params.Lines < 1 || params.Lines > machine.MaxLogLines {
		return hostapi.LogLines{}, hostapi.BadRequest("%d lines of a log", params.Lines)
	}
	lines, err := h.ReadLog(ctx, params.Lines, "-u", params.Unit)
	return hostapi.LogLines{Lines: lines}, err
}
