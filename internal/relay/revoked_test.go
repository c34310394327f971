package relay_test

import (
	"context"
	"io"
	"testing"
	"testing/synctest"

	"github.com/relayctl/relayctl/internal/protocol"
	"github.com/relayctl/relayctl/internal/relay"
)

// TestRevokedKey: a request that came before its key was revoked, or lost its
// model, is refused as long as no worker has it.
func TestRevokedKey(t *testing.T) {
	changes := map[string]struct {
		change func(*stack)
		status int
		code   string
	}{
		"revoked":   {func(st *stack) { st.keys = st.keys[1:] }, 401, "invalid_api_key"},
		"expired":   {func(st *stack) { st.keys[0].Expires = "2000-01-01T00:00:00Z" }, 401, "invalid_api_key"},
		"narrowed":  {func(st *stack) { st.keys[0].Models = []string{"other"} }, 404, "model_not_found"},
		"unchanged": {func(*stack) {}, 200, ""},
	}
	for name, test := range changes {
		for _, where := range []string{"sending its body", "waiting for a slot"} {
			synctest.Test(t, func(t *testing.T) {
				st := newStack(t)
				b, stop := inMemory(t, st)
				free := make(chan struct{})
				served := 0
				w := b.join("gpu-1", func(ctx context.Context, s *protocol.Stream) {
					if served++; served == 1 {
						<-free
					}
					answerWith("{}")(ctx, s)
				}, offer("m", 1))
				st.keys = append(st.keys, relay.KeyEntry{Name: "first", Hash: workerSecret("first").Hash()})
				if err := b.Reload(st.load(t)); err != nil {
					t.Fatal(err)
				}
				first := make(chan reply, 1)
				go func() { first <- b.ask(t.Context(), workerSecret("first"), askM) }()
				synctest.Wait()

				body, send := io.Pipe()
				late := make(chan reply, 1)
				go func() { late <- b.send(t.Context(), laptopKey, body) }()
				half := len(askM) / 2
				io.WriteString(send, askM[:half])
				if where == "waiting for a slot" {
					io.WriteString(send, askM[half:])
					send.Close()
				}
				synctest.Wait()
				test.change(st)
				if err := b.Reload(st.load(t)); err != nil {
					t.Fatal(err)
				}
				if where == "sending its body" {
					io.WriteString(send, askM[half:])
					send.Close()
				}
				synctest.Wait()
				close(free)
				<-first
				got := <-late
				if got.status != test.status || test.code != "" && errorCode(t, got.body) != test.code {
					t.Errorf("%s while %s: %+v", name, where, got)
				}
				if refused := test.status != 200; refused != (served == 1) {
					t.Errorf("%s while %s: the engine was asked %d times", name, where, served)
				}
				w.stop()
				stop()
			})
		}
	}
}
