package attack

import (
	"encoding/binary"
	"strings"

	"github.com/relayctl/relayctl/internal/protocol"
)

// The operation codes of RFC 6455.
const (
	continuation = 0x0
	text         = 0x1
	binaryData   = 0x2
	closing      = 0x8
	ping         = 0x9
	pong         = 0xa

	final    = 0x80
	reserved = 0x40 // RSV1: compressed, where that was agreed on
)

// Sent is what is sent on a WebSocket after HELLO, in one go.
type Sent struct {
	Name  string
	Bytes []byte
	Ends  bool // the receiver has to end the connection by itself
}

// WebSocket is all that breaks the rules of WebSocket or strains them. masked
// is what the sender's frames have to be: those of a client are.
func WebSocket(masked bool) []Sent {
	a := sender{masked}
	whole := protocol.AppendFrame(nil, protocol.Frame{Type: protocol.TypePing, Payload: []byte("12345678")})
	other := sender{!masked}
	all := []Sent{
		{"text", a.frame(final|text, whole), true},
		{"empty text", a.frame(final|text, nil), true},
		{"not masked, or masked", other.frame(final|binaryData, whole), true},
		{"compressed", a.frame(final|reserved|binaryData, []byte{0xaa, 0x00, 0x00}), true},
		{"compressed ping", a.frame(final|reserved|ping, nil), true},
		{"second reserved bit", a.frame(final|0x20|binaryData, whole), true},
		{"third reserved bit", a.frame(final|0x10|binaryData, whole), true},
		{"continuation of nothing", a.frame(final|continuation, whole), true},
		{"message inside a message", append(a.frame(binaryData, whole[:4]), a.frame(final|binaryData, whole)...), true},
		{"fragmented text", append(a.frame(text, whole[:4]), a.frame(final|continuation, whole[4:])...), true},
		{"fragmented ping", a.frame(ping, []byte("x")), true},
		{"ping that is too long", a.frame(final|ping, make([]byte, 126)), true},
		{"close that is too long", a.frame(final|closing, make([]byte, 126)), true},
		{"close of one byte", a.frame(final|closing, []byte{3}), true},
		{"close with no code", a.frame(final|closing, []byte{0, 0}), true},
		{"close with a code that is none", a.frame(final|closing, []byte{0x13, 0x88, 0xff}), true},
		{"close with no UTF-8", a.frame(final|closing, []byte{3, 0xe8, 0xff, 0xfe}), true},
		{"close", a.frame(final|closing, nil), true},
		{"more than 64 KiB", a.frame(final|binaryData, make([]byte, protocol.MaxMessage+1)), true},
		{"63 bits of length", a.header(final|binaryData, 1<<63-1), true},
		{"64 bits of length", a.header(final|binaryData, 1<<64-1), true},
		{"a length in too many bytes", append(a.header(final|binaryData, 0)[:1:1], append([]byte{a.bit() | 127, 0, 0, 0, 0, 0, 0, 0, byte(len(whole))}, append(a.key(), a.mask(whole)...)...)...), false},
		{"a header that ends in the middle", a.header(final|binaryData, 1000)[:3], true},
		{"a message that ends in the middle", append(a.header(final|binaryData, 1000), make([]byte, 10)...), true},
		{"a fragmented message without end", a.frame(binaryData, whole[:4]), true},
		{"empty fragments", append(a.frame(binaryData, nil), repeat(a.frame(continuation, nil), 5000)...), true},
		{"more than 64 KiB in fragments", append(a.frame(binaryData, nil), repeat(a.frame(continuation, make([]byte, 1000)), 70)...), true},
		{"not WebSocket", []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n" + strings.Repeat("x", 1000)), true},

		{"fragmented into bytes", fragments(a, whole), false},
		{"a ping between fragments", append(append(a.frame(binaryData, whole[:4]), a.frame(final|ping, []byte("x"))...), a.frame(final|continuation, whole[4:])...), false},
		{"pings", repeat(a.frame(final|ping, []byte(strings.Repeat("x", 125))), 3000), false},
		{"pongs", repeat(a.frame(final|pong, []byte("x")), 3000), false},
		{"empty messages", repeat(a.frame(final|binaryData, nil), 3000), false},
	}
	for code := byte(3); code < 16; code++ {
		if code < closing || code > pong {
			all = append(all, Sent{"reserved operation", a.frame(final|code, whole), true})
		}
	}
	for name, f := range map[string]protocol.Frame{
		"PINGs":                  {Type: protocol.TypePing, Payload: []byte("12345678")},
		"PONGs":                  {Type: protocol.TypePong, Payload: []byte("12345678")},
		"DRAINs":                 {Type: protocol.TypeDrain, Payload: []byte(`{"come_back":"after_close"}`)},
		"frames of another time": {Type: 0x77, Flags: protocol.FlagOptional, Payload: []byte("later")},
		"CREDITs for nobody":     {Type: protocol.TypeCredit, Stream: 1 << 30, Payload: []byte{0xff, 0xff, 0xff, 0xff}},
		"RESETs for nobody":      {Type: protocol.TypeReset, Stream: 1 << 30, Payload: []byte(`{}`)},
		"BODYs for nobody":       {Type: protocol.TypeBody, Stream: 1 << 30, Payload: make([]byte, 900)},
		"ENDs for nobody":        {Type: protocol.TypeEnd, Stream: 1 << 30},
	} {
		one := protocol.AppendFrame(nil, f)
		full := a.frame(final|binaryData, repeat(one, protocol.MaxMessage/2/len(one)))
		ends := f.Type == protocol.TypeDrain && masked // a relay closes the connection of a worker that leaves
		all = append(all, Sent{name, repeat(full, 8), ends}, Sent{name + ", each alone", repeat(a.frame(final|binaryData, one), 500), ends})
	}
	return all
}

func repeat(what []byte, n int) []byte { return []byte(strings.Repeat(string(what), n)) }

// fragments is a message of one byte in each frame.
func fragments(a sender, message []byte) []byte {
	all := a.frame(binaryData, nil)
	for _, b := range message {
		all = append(all, a.frame(continuation, []byte{b})...)
	}
	return append(all, a.frame(final|continuation, nil)...)
}

// sender writes frames of WebSocket.
type sender struct{ masked bool }

func (a sender) bit() byte {
	if a.masked {
		return 0x80
	}
	return 0
}

func (a sender) key() []byte {
	if a.masked {
		return []byte{1, 2, 3, 4}
	}
	return nil
}

func (a sender) mask(payload []byte) []byte {
	if !a.masked {
		return payload
	}
	all := make([]byte, len(payload))
	for i := range payload {
		all[i] = payload[i] ^ byte(1+i%4)
	}
	return all
}

// header is that of a frame whose payload has length bytes.
func (a sender) header(first byte, length uint64) []byte {
	h := []byte{first}
	switch {
	case length < 126:
		h = append(h, a.bit()|byte(length))
	case length < 1<<16:
		h = binary.BigEndian.AppendUint16(append(h, a.bit()|126), uint16(length))
	default:
		h = binary.BigEndian.AppendUint64(append(h, a.bit()|127), length)
	}
	return append(h, a.key()...)
}

func (a sender) frame(first byte, payload []byte) []byte {
	return append(a.header(first, uint64(len(payload))), a.mask(payload)...)
}
