package relay_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/relayctl/relayctl/internal/protocol"
)

// TestModelThatLeftTheStackIsGone as soon as nobody serves it or waits for it,
// whichever of its last traces goes last.
func TestModelThatLeftTheStackIsGone(t *testing.T) {
	leaves := map[string]func(t *testing.T, b *bubble, w *handWorker, finish func()){
		"its worker disconnects": func(_ *testing.T, _ *bubble, w *handWorker, finish func()) {
			finish()
			w.stop()
		},
		"its worker disconnects under its last answer": func(_ *testing.T, _ *bubble, w *handWorker, _ func()) { w.stop() },
		"its last answer ends":                         func(_ *testing.T, _ *bubble, _ *handWorker, finish func()) { finish() },
	}
	for name, leave := range leaves {
		for _, workerToo := range []bool{false, true} {
			synctest.Test(t, func(t *testing.T) {
				st := newStack(t)
				b, stop := inMemory(t, st)
				release := make(chan struct{})
				w := b.join("gpu-2", func(ctx context.Context, s *protocol.Stream) {
					select {
					case <-release:
						answerWith("{}")(ctx, s)
					case <-ctx.Done():
					}
				}, offer("other", 1), offer("m", 1))
				running := b.askLater(t.Context(), `{"model":"other"}`)
				waiting := b.askLater(t.Context(), `{"model":"other"}`)
				synctest.Wait()
				st.workers[1].Models = []string{"m"}
				if workerToo {
					st.workers = st.workers[:1]
				}
				if err := b.Reload(st.load(t)); err != nil {
					t.Fatal(err)
				}
				leave(t, b, w, func() {
					close(release)
					synctest.Wait()
				})
				<-running
				<-waiting
				synctest.Wait()
				if got := b.ask(t.Context(), laptopKey, `{"model":"other"}`); got.status != 404 || errorCode(t, got.body) != "model_not_found" {
					t.Errorf("%s (%v): asked for: %+v", name, workerToo, got)
				}
				if list := b.get("/v1/models"); strings.Contains(list, "other") || !strings.Contains(list, `"m"`) {
					t.Errorf("%s (%v): the list is %s", name, workerToo, list)
				}
				w.stop()
				stop()
			})
		}
	}
}

// get reads a URL of the API.
func (b *bubble) get(path string) string {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, b.URL+path, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("X-Api-Key", laptopKey.Reveal())
	response, err := b.client.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return string(data)
}
