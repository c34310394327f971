package protocol

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/gorilla/websocket"
)

// Transport carries whole binary messages. One goroutine reads and one
// writes; Close may be called by any, more than once, and ends both.
type Transport interface {
	// ReadMessage reads one message into buf and returns its length. A
	// message longer than buf is an error.
	ReadMessage(buf []byte) (int, error)
	WriteMessage(msg []byte) error
	Close() error
}

// WebSocket makes a Transport of ws, which must be used for nothing else.
func WebSocket(ws *websocket.Conn) Transport {
	ws.SetReadLimit(MaxMessage)
	return &webSocket{ws}
}

type webSocket struct{ ws *websocket.Conn }

func (w *webSocket) ReadMessage(buf []byte) (int, error) {
	kind, r, err := w.ws.NextReader()
	if err != nil {
		return 0, err
	}
	if kind != websocket.BinaryMessage {
		return 0, fmt.Errorf("%w: a text message", ErrFrame)
	}
	n, err := io.ReadFull(r, buf)
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return n, nil
	case err != nil:
		return n, err
	}
	if _, err := io.ReadFull(r, make([]byte, 1)); !errors.Is(err, io.EOF) {
		return n, fmt.Errorf("%w: message over %d bytes", ErrFrame, len(buf))
	}
	return n, nil
}

func (w *webSocket) WriteMessage(msg []byte) error {
	return w.ws.WriteMessage(websocket.BinaryMessage, msg)
}

// Close says goodbye as WebSocket asks for, if that goes at once.
func (w *webSocket) Close() error {
	bye := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
	w.ws.WriteControl(websocket.CloseMessage, bye, time.Now().Add(50*time.Millisecond))
	return w.ws.Close()
}
