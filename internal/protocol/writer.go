package protocol

import (
	"encoding/binary"
	"runtime"
	"time"
)

// write is the one writer of the connection. Whatever waits goes out in as few
// messages as the limits allow, and nothing waits for more to come.
func (c *Conn) write() {
	stall := time.AfterFunc(WriteTimeout, func() { c.fail(ErrWriteStalled) })
	stall.Stop()
	defer stall.Stop()
	buf := make([]byte, 0, MaxMessage)
	for {
		select {
		case <-c.done:
			return
		case <-c.kick:
		}
		for {
			runtime.Gosched() // who is about to write goes first: many at once make one message
			batch, last := c.collect(buf[:0])
			if len(batch) == 0 {
				break
			}
			stall.Reset(WriteTimeout)
			err := c.transport.WriteMessage(batch)
			stall.Stop()
			if last != nil {
				err = last
			}
			if err != nil {
				c.fail(err)
				return
			}
		}
	}
}

// collect moves what waits into one message: control frames first, then the
// streams in turn, a frame each. After the last message of a connection that
// this side closes it returns the reason.
func (c *Conn) collect(batch []byte) ([]byte, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	batch = c.collectControl(batch)
	if c.closing != nil {
		frame := encodeText(TypeClose, 0, c.closing)
		if len(c.control) == 0 && len(batch)+len(frame) <= MaxMessage {
			return append(batch, frame...), c.closing
		}
		return batch, nil
	}
	for len(c.ready) > 0 && MaxMessage-len(batch) > 2*HeaderSize {
		s := c.ready[0]
		c.ready[0] = nil
		c.ready = c.ready[1:]
		batch = s.collect(batch)
	}
	return batch, nil
}

func (c *Conn) collectControl(batch []byte) []byte {
	if c.pong != nil {
		batch = AppendFrame(batch, Frame{Type: TypePong, Payload: c.pong})
		c.pong = nil
	}
	taken := 0
	for taken < len(c.control) {
		size := HeaderSize + int(binary.BigEndian.Uint16(c.control[taken+2:]))
		if len(batch)+size > MaxMessage {
			break
		}
		batch = append(batch, c.control[taken:taken+size]...)
		taken += size
	}
	c.control = append(c.control[:0], c.control[taken:]...)
	return batch
}
