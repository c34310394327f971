package hostapi

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
)

// do sends a request and decodes its result.
func do[Result any](ctx context.Context, c *Client, op Op, b bound, params any, onProgress func(Progress)) (Result, error) {
	var result Result
	encoded, err := c.call(ctx, op, b, params, onProgress)
	if err != nil {
		return result, err
	}
	if err := json.Unmarshal(encoded, &result); err != nil {
		return result, fmt.Errorf("%s: decode result: %w", op, err)
	}
	return result, nil
}

// Observe looks at the host and changes nothing.
func (c *Client) Observe(ctx context.Context, params Observe) (Observation, error) {
	return do[Observation](ctx, c, OpObserve, bound{lookTime, stopTime}, params, nil)
}

// Lock takes the host's lock; onWait hears who holds it meanwhile.
func (c *Client) Lock(ctx context.Context, params Lock, onWait func(Progress)) (Locked, error) {
	return do[Locked](ctx, c, OpLock, bound{params.Wait + lookTime, stopTime}, params, onWait)
}

// Unlock gives the lock back.
func (c *Client) Unlock(ctx context.Context) error {
	_, err := c.call(ctx, OpUnlock, bound{endTime, stopTime}, nil, nil)
	return err
}

// piecesAhead is how many pieces of a blob are on their way before the first
// answer has come: 8 MiB, enough to fill 50 ms of a gigabit line.
const piecesAhead = 32

// Put brings a blob to the host, so that steps can name it by its digest.
// encoded is the blob as it travels; onSent hears how many of its bytes have
// arrived.
func (c *Client) Put(ctx context.Context, digest string, encoding Encoding, encoded []byte, onSent func(sent int)) error {
	defer c.within(ctx, OpPut, bound{putTime, stopTime})()
	var sent []*call
	defer func() {
		for _, given := range sent { // up, after an error
			c.forget(given)
		}
	}()
	room := roomFor(encoding, encoded)
	for offset, last := 0, false; !last; offset += MaxPiece {
		end := min(offset+MaxPiece, len(encoded))
		last = end == len(encoded)
		piece := Put{Blob: digest, Size: end - offset, Offset: int64(offset), Last: last, Encoding: encoding, Room: room}
		started, err := c.start(ctx, OpPut, piece, encoded[offset:end])
		if err != nil {
			return err
		}
		sent = append(sent, started)
		for len(sent) == piecesAhead || last && len(sent) > 0 {
			if _, err := c.wait(ctx, sent[0], nil); err != nil {
				return err
			}
			sent = sent[1:]
			if onSent != nil {
				onSent(max(0, end-len(sent)*MaxPiece))
			}
		}
	}
	return nil
}

// roomFor is how many bytes a blob takes on the host. How long it is unpacked
// stands in gzip's last four bytes (RFC 1952, ISIZE).
func roomFor(encoding Encoding, encoded []byte) int64 {
	room := int64(len(encoded))
	if encoding != Gzip || len(encoded) < 4 {
		return 2 * room // as it comes, and complete
	}
	return room + int64(binary.LittleEndian.Uint32(encoded[len(encoded)-4:]))
}

// Apply brings steps about and returns how each changed thing is now. After an
// *Error, the facts of the steps that were done are unknown: observe again.
func (c *Client) Apply(ctx context.Context, params Apply, onProgress func(Progress)) (AppliedSteps, error) {
	return do[AppliedSteps](ctx, c, OpApply, bound{applyTime(params.Steps), stopStepTime}, params, onProgress)
}

// Finish ends an apply.
func (c *Client) Finish(ctx context.Context, params Finish) error {
	_, err := c.call(ctx, OpFinish, bound{endTime, stopTime}, params, nil)
	return err
}

// Ask makes the host send an HTTP request to itself.
func (c *Client) Ask(ctx context.Context, params Ask) (Answer, error) {
	answer, err := do[Answer](ctx, c, OpAsk, bound{params.Timeout + askMargin, stopTime}, params, nil)
	if len(answer.Body) > MaxAnswer {
		return Answer{}, fmt.Errorf("%s: an answer of %d bytes", OpAsk, len(answer.Body))
	}
	return answer, err
}

// Log reads the end of a unit's log.
func (c *Client) Log(ctx context.Context, unit string, lines int) ([]string, error) {
	result, err := do[LogLines](ctx, c, OpLog, bound{lookTime, stopTime}, UnitLog{Unit: unit, Lines: lines}, nil)
	return cutLines(result.Lines, lines), err
}

// Reveal reads the probe key.
func (c *Client) Reveal(ctx context.Context) (Revealed, error) {
	return do[Revealed](ctx, c, OpReveal, bound{lookTime, stopTime}, Reveal{}, nil)
}

// History tells of former applies.
func (c *Client) History(ctx context.Context, params History) (HistoryTold, error) {
	return do[HistoryTold](ctx, c, OpHistory, bound{lookTime, stopTime}, params, nil)
}

// Former tells how things were after an apply. The error is a CodeBadRequest
// where the host's record does not go back that far.
func (c *Client) Former(ctx context.Context, params Former) (FormerTold, error) {
	return do[FormerTold](ctx, c, OpFormer, bound{lookTime, stopTime}, params, nil)
}
