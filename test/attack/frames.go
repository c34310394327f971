// Package attack makes what somebody sends who means harm, or whose program is
// broken: on the connection between relay and worker, as frames and as
// WebSocket. All of it comes from a seed, so that a failure can be had again.
package attack

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/relayctl/relayctl/internal/protocol"
)

// Messages are those of one session: up to n, of frames that break the rules or
// only look like it. Streams that may be open have ids from 1 on.
func Messages(r *rand.Rand, n int) [][]byte {
	all := make([][]byte, 1+r.IntN(n))
	tame := r.IntN(3) > 0 // sessions that keep to the form for a while get further
	for i := range all {
		for range 1 + r.IntN(6) {
			all[i] = append(all[i], frame(r, tame && r.IntN(20) > 0)...)
		}
		if !tame && r.IntN(20) == 0 {
			all[i] = all[i][:r.IntN(len(all[i])+1)] // cut anywhere
		}
		if r.IntN(200) == 0 {
			all[i] = append(all[i], make([]byte, protocol.MaxMessage)...)
		}
		if len(all[i]) > protocol.MaxMessage && tame {
			all[i] = all[i][:0]
		}
	}
	return all
}

// frame is one frame, in form or not.
func frame(r *rand.Rand, tame bool) []byte {
	kind := protocol.Type(1 + r.IntN(11))
	if tame {
		kind = []protocol.Type{protocol.TypeOpen, protocol.TypeHead, protocol.TypeBody, protocol.TypeBody, protocol.TypeEnd, protocol.TypeReset, protocol.TypeCredit,
			protocol.TypePing, protocol.TypePong, protocol.TypeDrain, 0x40}[r.IntN(11)]
	} else if r.IntN(8) == 0 {
		kind = protocol.Type(r.Uint32())
	}
	onConnection := kind == protocol.TypeHello || kind >= protocol.TypePing && kind <= protocol.TypeClose
	f := protocol.Frame{Type: kind, Stream: 1 + r.Uint32N(3), Payload: payload(r, kind, tame)}
	if onConnection {
		f.Stream = 0
	}
	if kind > protocol.TypeClose {
		f.Flags = protocol.FlagOptional
	}
	if !tame {
		switch r.IntN(8) {
		case 0:
			f.Stream = []uint32{0, 1, 2, 1 << 31, 1<<32 - 1, r.Uint32()}[r.IntN(6)]
		case 1:
			f.Flags = byte(r.Uint32())
		}
	}
	if len(f.Payload) > 1<<16-1 {
		f.Payload = f.Payload[:1<<16-1]
	}
	encoded := protocol.AppendFrame(nil, f)
	if !tame && r.IntN(10) == 0 { // a length that is none
		binary.BigEndian.PutUint16(encoded[2:], uint16([]int{0, 1, 7, len(f.Payload) + 1, len(f.Payload) - 1, protocol.MaxPayload, protocol.MaxPayload + 1, 1<<16 - 1}[r.IntN(8)]))
	}
	return encoded
}

// payload is what a frame of that type carries, or what it should not.
func payload(r *rand.Rand, kind protocol.Type, tame bool) []byte {
	if !tame && r.IntN(4) == 0 {
		return junk(r)
	}
	pick := func(texts ...string) []byte { return []byte(texts[r.IntN(len(texts))]) }
	switch kind {
	case protocol.TypeHello:
		return pick(Hellos()...)
	case protocol.TypeOpen:
		if tame {
			return pick(`{"id":"req_1","model":"m","method":"POST","target":"/v1/chat/completions","length":4}`, `{"model":"m","method":"GET","target":"/"}`, `{}`)
		}
		return pick(`{"length":-1}`, `{"length":9223372036854775807}`, `{"length":1e99}`, `{"model":["m"]}`, `{"header":[["a"]]}`, `{"header":[["a","b","c"]]}`, `{"header":{"a":"b"}}`,
			`{"id":"a","id":"b","model":"m","model":"n"}`, `{"target":"/v1/chat/completions\r\nX-Evil: 1","method":"POST","model":"m"}`, `{"method":"POST\r\n\r\n","model":"m"}`, `[]`, `null`, `1`)
	case protocol.TypeHead:
		if tame {
			return pick(`{"status":200}`, `{"status":200,"header":[["Content-Type","text/event-stream"]]}`, `{"status":404,"header":[["Content-Length","5"]]}`, `{"status":503}`)
		}
		return pick(`{"status":0}`, `{"status":-200}`, `{"status":101}`, `{"status":100}`, `{"status":199}`, `{"status":600}`, `{"status":999999999}`, `{"status":1e3}`, `{"status":"200"}`, `{}`, `[]`,
			`{"status":204,"header":[["Content-Length","5"]]}`, `{"status":200,"header":[["Content-Length","-1"],["Transfer-Encoding","chunked"]]}`, `{"status":200,"header":[["X\r\nSet-Cookie","a"],["Set-Cookie","a\r\nb"]]}`,
			`{"status":200,"header":null}`, `{"status":200,"header":[null]}`, `{"status":200,"status":500}`)
	case protocol.TypeBody:
		return []byte(strings.Repeat("x", 1+r.IntN(1<<(1+r.IntN(15)))))
	case protocol.TypeReset:
		return pick(`{"code":"engine_failed","text":"x"}`, `{"code":"refused"}`, `{"code":"engine_unreachable","detail":"d"}`, `{"code":"cancelled"}`, `{"code":""}`, `{}`, `null`,
			`{"code":"x\u001b[2J","text":"`+strings.Repeat("x", 3000)+`"}`)
	case protocol.TypeCredit:
		amount := []uint32{1, 100, 1 << 10, 1 << 18}
		if !tame {
			amount = []uint32{0, 1 << 24, 1<<24 + 1, 1 << 31, 1<<31 - 1, 1<<32 - 1}
		}
		return binary.BigEndian.AppendUint32(nil, amount[r.IntN(len(amount))])
	case protocol.TypePing, protocol.TypePong:
		return binary.BigEndian.AppendUint64(nil, r.Uint64())
	case protocol.TypeDrain:
		return pick(`{"come_back":"at_once"}`, `{"come_back":"after_close","within_ms":10}`, `{"come_back":"never"}`, `{"come_back":"x","within_ms":-1}`, `{}`, `{"within_ms":9223372036854775807}`)
	case protocol.TypeClose:
		return pick(`{"code":"shutdown"}`, `{"code":"drained","text":"x"}`, `{"code":"\u0000"}`, `{}`, `{"code":1}`)
	}
	return nil
}

// junk is no payload of any type.
func junk(r *rand.Rand) []byte {
	all := make([]byte, r.IntN(1<<(1+r.IntN(16))))
	switch r.IntN(4) {
	case 0:
		for i := range all {
			all[i] = byte(r.Uint32())
		}
	case 1:
		return []byte(strings.Repeat("[", len(all)))
	case 2:
		return []byte(strings.Repeat(`{"a":`, len(all)/5))
	}
	return all
}

// Hellos are greetings that lie, or are none.
func Hellos() []string {
	deep := strings.Repeat("[", 12000)
	hellos := []string{
		``, `null`, `1`, `"x"`, `[]`, `{`, `{}`, deep, `{"models":` + deep, `{"x":` + strings.Repeat(`{"x":`, 5000) + `1` + strings.Repeat(`}`, 5001), "\xff\xfe", `{"name":"gpu-1"}x`,
	}
	member := func(name, value string) {
		members := map[string]string{
			"protocol": `{"min":1,"max":1}`, "program": `"p"`, "name": `"gpu-1"`, "instance": `"i"`, "window": `262144`, "models": `[{"name":"renamed","concurrency":4,"kind":"chat"}]`,
		}
		members[name] = value
		text := ""
		for _, each := range []string{"protocol", "program", "name", "instance", "window", "models"} {
			text += fmt.Sprintf(`,%q:%s`, each, members[each])
		}
		hellos = append(hellos, "{"+text[1:]+"}")
	}
	for _, name := range []string{"protocol", "program", "name", "instance", "window", "models"} {
		for _, value := range []string{`null`, `true`, `-1`, `0`, `1e308`, `99999999999999999999`, `""`, `"x"`, `[]`, `[1]`, `{}`, `{"min":[]}`, `"` + strings.Repeat("x", 30000) + `"`, `"\u001b[2J\u202e\u0000"`, `"\ud800"`} {
			member(name, value)
		}
	}
	for _, versions := range []string{`{"min":2,"max":9}`, `{"min":-5,"max":0}`, `{"min":9,"max":1}`, `{"min":1}`, `{"min":-9223372036854775808,"max":9223372036854775807}`} {
		member("protocol", versions)
	}
	for _, name := range []string{`"gpu-2"`, `"GPU-1"`, `"gpu-1\u0000"`, `" gpu-1"`, `"gpu-1\n"`, `"../gpu-1"`, `"edge"`} {
		member("name", name)
	}
	for _, window := range []string{`32767`, `16777217`, `4294967296`, `-262144`, `1.5`} {
		member("window", window)
	}
	offer := `{"name":"renamed","concurrency":4,"kind":"chat"}`
	for _, models := range []string{
		`[` + offer + `,` + offer + `]`, `[{"name":"renamed","concurrency":0}]`, `[{"name":"renamed","concurrency":4097}]`, `[{"name":"renamed","concurrency":-1}]`, `[{"concurrency":1}]`, `[null]`, `[[]]`,
		`[{"name":"","concurrency":1}]`, `[{"name":"m\u0000","concurrency":1}]`, `[{"name":"not-ours","concurrency":1},{"name":"../x","concurrency":1}]`, `[` + strings.Repeat(`{},`, 300) + `{}]`,
	} {
		member("models", models)
	}
	return hellos
}
