package protocol

import (
	"strconv"
	"strings"
)

// The heads of requests and answers are JSON, and both programs write it in one
// form: members in order, no spaces. Here that form is written and read without
// reflection, since it happens twice for every request: by encoding/json alone
// it was a tenth of what a relayed request costs. Whatever has another form, or
// strings that need escapes, is left to encoding/json.

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
	if plainLength(text) == len(text) {
		return append(append(append(dst, '"'), text...), '"')
	}
	dst, _ = appendJSON(dst, text) // a string always encodes
	return dst
}

// plainLength is how much of text stands for itself in JSON.
func plainLength(text string) int {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return i
		}
	}
	return len(text)
}

func decodeRequest(f Frame) (RequestHead, error) {
	var h RequestHead
	r := plainReader{rest: string(f.Payload)}
	r.want(`{"id":`)
	h.ID = r.text()
	r.want(`,"model":`)
	h.Model = r.text()
	r.want(`,"method":`)
	h.Method = r.text()
	r.want(`,"target":`)
	h.Target = r.text()
	h.Header = r.fields()
	r.want(`,"length":`)
	h.Length = int64(r.number())
	r.want(`}`)
	if r.whole() {
		return h, nil
	}
	var other RequestHead // not h, which stays off the heap
	err := decode(f, &other)
	return other, err
}

func decodeResponse(f Frame) (ResponseHead, error) {
	var h ResponseHead
	r := plainReader{rest: string(f.Payload)}
	r.want(`{"status":`)
	h.Status = r.number()
	h.Header = r.fields()
	r.want(`}`)
	if r.whole() {
		return h, nil
	}
	var other ResponseHead
	err := decode(f, &other)
	return other, err
}

// plainReader reads the one form. Once it meets another it is lost, and what it
// has returned is void.
type plainReader struct {
	rest string
	lost bool
}

func (r *plainReader) whole() bool { return !r.lost && r.rest == "" }

// has passes over text if it comes next.
func (r *plainReader) has(text string) (ok bool) {
	r.rest, ok = strings.CutPrefix(r.rest, text)
	return ok
}

func (r *plainReader) want(text string) {
	r.lost = !r.has(text) || r.lost
}

func (r *plainReader) text() string {
	r.want(`"`)
	n := plainLength(r.rest)
	text := r.rest[:n]
	r.rest = r.rest[n:]
	r.want(`"`)
	return text
}

// number reads up to nine digits, which fit into any type.
func (r *plainReader) number() int {
	n := 0
	for n < len(r.rest) && n < 9 && '0' <= r.rest[n] && r.rest[n] <= '9' {
		n++
	}
	digits := r.rest[:n]
	r.rest = r.rest[n:]
	value, err := strconv.Atoi(digits)
	if err != nil || n > 1 && digits[0] == '0' {
		r.lost = true
	}
	return value
}

// fields reads the header, where there is one.
func (r *plainReader) fields() []Field {
	if !r.has(`,"header":[`) {
		return nil
	}
	fields := make([]Field, 0, 8)
	for {
		var f Field
		r.want(`[`)
		f[0] = r.text()
		r.want(`,`)
		f[1] = r.text()
		r.want(`]`)
		fields = append(fields, f)
		if r.lost || !r.has(`,`) {
			break
		}
	}
	r.want(`]`)
	return fields
}
