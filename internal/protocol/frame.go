package protocol

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Type says what a frame is.
type Type uint8

// The frame types of version 1.
const (
	TypeHello  Type = 1
	TypeOpen   Type = 2
	TypeHead   Type = 3
	TypeBody   Type = 4
	TypeEnd    Type = 5
	TypeReset  Type = 6
	TypeCredit Type = 7
	TypePing   Type = 8
	TypePong   Type = 9
	TypeDrain  Type = 10
	TypeClose  Type = 11
)

// FlagOptional on a frame of a type the receiver does not know says that it
// may be skipped. Without it such a frame ends the connection.
const FlagOptional = 1

// HeaderSize is the length of a frame's header: type, flags, the payload's
// length in two bytes and the stream in four, big-endian.
const HeaderSize = 8

// ErrFrame is wrapped by every error about a malformed frame.
var ErrFrame = errors.New("malformed frame")

// Frame is one unit of the protocol. Payload points into the message it was
// parsed from.
type Frame struct {
	Type    Type
	Flags   uint8
	Stream  uint32
	Payload []byte
}

// AppendFrame appends f to dst. The payload must not be over MaxPayload.
func AppendFrame(dst []byte, f Frame) []byte {
	dst = appendHeader(dst, f.Type, f.Flags, f.Stream, len(f.Payload))
	return append(dst, f.Payload...)
}

func appendHeader(dst []byte, t Type, flags uint8, stream uint32, length int) []byte {
	dst = append(dst, byte(t), flags)
	dst = binary.BigEndian.AppendUint16(dst, uint16(length))
	return binary.BigEndian.AppendUint32(dst, stream)
}

// NextFrame parses the first frame of msg and returns what follows it. It
// allocates nothing. The error wraps ErrFrame.
func NextFrame(msg []byte) (f Frame, rest []byte, err error) {
	if len(msg) < HeaderSize {
		return Frame{}, nil, fmt.Errorf("%w: %d bytes are too few for a header", ErrFrame, len(msg))
	}
	length := int(binary.BigEndian.Uint16(msg[2:]))
	if length > MaxPayload {
		return Frame{}, nil, fmt.Errorf("%w: payload of %d bytes is over %d", ErrFrame, length, MaxPayload)
	}
	if len(msg)-HeaderSize < length {
		return Frame{}, nil, fmt.Errorf("%w: payload of %d bytes is cut at %d", ErrFrame, length, len(msg)-HeaderSize)
	}
	f = Frame{
		Type:    Type(msg[0]),
		Flags:   msg[1],
		Stream:  binary.BigEndian.Uint32(msg[4:]),
		Payload: msg[HeaderSize : HeaderSize+length : HeaderSize+length],
	}
	if err := f.check(); err != nil {
		return Frame{}, nil, err
	}
	return f, msg[HeaderSize+length:], nil
}

// check holds f to what its type allows.
func (f Frame) check() error {
	onStream, want := true, -1 // bytes, -1 for any number
	switch f.Type {
	case TypeOpen, TypeHead, TypeBody, TypeReset:
	case TypeEnd:
		want = 0
	case TypeCredit:
		want = 4
	case TypeHello, TypeDrain, TypeClose:
		onStream = false
	case TypePing, TypePong:
		onStream, want = false, 8
	default:
		if f.Flags&FlagOptional != 0 {
			return nil
		}
		return fmt.Errorf("%w: unknown type %d", ErrFrame, f.Type)
	}
	switch {
	case onStream && f.Stream == 0:
		return fmt.Errorf("%w: type %d without a stream", ErrFrame, f.Type)
	case !onStream && f.Stream != 0:
		return fmt.Errorf("%w: type %d on stream %d", ErrFrame, f.Type, f.Stream)
	case want >= 0 && len(f.Payload) != want:
		return fmt.Errorf("%w: type %d with %d bytes, not %d", ErrFrame, f.Type, len(f.Payload), want)
	case f.Type == TypeBody && len(f.Payload) == 0:
		return fmt.Errorf("%w: empty body", ErrFrame)
	}
	return nil
}
