package protocol

import (
	"bytes"
	"strconv"
	"strings"
)

// The heads of requests and answers are JSON, and both programs write it in one
// form: members in order, no spaces. Here that form is written and read without
// reflection, since it happens twice for every request: by encoding/json alone
// it was a tenth of what a relayed request costs. It is read by cutting it at its
// quotes; what does not come out the same when it is written again has another
// form, or strings with escapes, and is left to encoding/json.

// headRoom is what most frames of a head fit into.
const headRoom = 512

// encodeRequest makes an OPEN frame of h, in room where that suffices.
func encodeRequest(room *[headRoom]byte, stream uint32, h RequestHead) ([]byte, error) {
	frame := appendText(append(room[:HeaderSize], `{"id":`...), h.ID)
	frame = appendText(append(frame, `,"model":`...), h.Model)
	frame = appendText(append(frame, `,"method":`...), h.Method)
	frame = appendText(append(frame, `,"target":`...), h.Target)
	frame = appendFields(frame, h.Header)
	frame = strconv.AppendInt(append(frame, `,"length":`...), h.Length, 10)
	return seal(append(frame, '}'), TypeOpen, stream)
}

// encodeResponse makes a HEAD frame of h, in room where that suffices.
func encodeResponse(room *[headRoom]byte, stream uint32, h ResponseHead) ([]byte, error) {
	frame := strconv.AppendInt(append(room[:HeaderSize], `{"status":`...), int64(h.Status), 10)
	frame = appendFields(frame, h.Header)
	return seal(append(frame, '}'), TypeHead, stream)
}

func appendFields(dst []byte, fields []Field) []byte {
	if len(fields) == 0 {
		return dst
	}
	dst = append(dst, `,"header":[`...)
	for i, f := range fields {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendText(append(dst, '['), f[0])
		dst = appendText(append(dst, ','), f[1])
		dst = append(dst, ']')
	}
	return append(dst, ']')
}

func appendText(dst []byte, text string) []byte {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			quoted, _ := appendJSON(nil, text) // a string always encodes
			return append(dst, quoted...)      // dst stays off the heap
		}
	}
	return append(append(append(dst, '"'), text...), '"')
}

// maxParts bounds into how many parts a head is cut at its quotes. With that
// many it has over 25 fields, or another form.
const maxParts = 128

func cutAtQuotes(room *[maxParts]string, payload []byte) []string {
	parts, rest := room[:0], string(payload)
	for more := true; more && len(parts) < maxParts; {
		var part string
		part, rest, more = strings.Cut(rest, `"`)
		parts = append(parts, part)
	}
	return parts
}

func decodeRequest(f Frame) (RequestHead, error) {
	parts := cutAtQuotes(new([maxParts]string), f.Payload)
	if last := len(parts) - 1; last >= 18 {
		h := RequestHead{ID: parts[3], Model: parts[7], Method: parts[11], Target: parts[15]}
		h.Header = fieldsIn(parts[min(19, last-1) : last-1])
		h.Length, _ = strconv.ParseInt(strings.Trim(parts[last], ":}"), 10, 64)
		if again, err := encodeRequest(new([headRoom]byte), f.Stream, h); err == nil && bytes.Equal(again[HeaderSize:], f.Payload) {
			return h, nil
		}
	}
	var h RequestHead
	err := decode(f, &h)
	return h, err
}

func decodeResponse(f Frame) (ResponseHead, error) {
	parts := cutAtQuotes(new([maxParts]string), f.Payload)
	if len(parts) > 2 {
		var h ResponseHead
		h.Header = fieldsIn(parts[min(5, len(parts)):])
		h.Status, _ = strconv.Atoi(strings.Trim(parts[2], ":,}"))
		if again, err := encodeResponse(new([headRoom]byte), f.Stream, h); err == nil && bytes.Equal(again[HeaderSize:], f.Payload) {
			return h, nil
		}
	}
	var h ResponseHead
	err := decode(f, &h)
	return h, err
}

// fieldsIn makes a field of every four parts: a name, a comma, a value and what
// stands before the next.
func fieldsIn(parts []string) []Field {
	if len(parts) < 4 {
		return nil
	}
	fields := make([]Field, len(parts)/4)
	for i := range fields {
		fields[i] = Field{parts[4*i], parts[4*i+2]}
	}
	return fields
}
