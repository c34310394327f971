// Package protocol is what the relay and its workers agree on: the frames on
// their one WebSocket, the messages in them, flow control, limits and codes.
// docs/protocol.md describes it for other implementations.
package protocol

import "time"

// Subprotocol is the WebSocket subprotocol both ends must name.
const Subprotocol = "relay.v1"

// ConnectPath is where a worker opens its WebSocket.
const ConnectPath = "/v1/worker/connect"

// MinVersion and MaxVersion bound the versions this build speaks inside
// Subprotocol. The relay uses the highest that both ends know.
const (
	MinVersion = 1
	MaxVersion = 1
)

// Limits of one message and one frame, in bytes. A frame is small so that a
// large upload never holds a token back by more than one frame; a message
// carries many frames so that a burst of tokens costs one write.
const (
	MaxPayload = 32 << 10 // payload of any frame
	MaxBody    = 16 << 10 // payload of a BODY frame that this build sends
	MaxMessage = 64 << 10 // one WebSocket message, frame headers included
)

// Window is how many bytes of a stream's body this build takes before its
// reader has to make room, and the bounds of what a peer may announce.
const (
	Window    = 256 << 10
	minWindow = MaxPayload
	maxWindow = 16 << 20
)

// Times of one connection. Proxies in between close what is silent for a
// minute, so both ends ping well inside that.
const (
	HelloTimeout = 10 * time.Second // for the whole exchange of HELLO
	PingEvery    = 20 * time.Second
	SilenceLimit = 45 * time.Second // without one byte: the peer is gone
	WriteTimeout = 10 * time.Second // for one message to leave
)

const (
	outLimit     = 64 << 10 // bytes of one stream waiting for the writer
	controlLimit = 4 << 20  // bytes of control frames waiting for the writer
)
