package relay_test

import (
	"context"
	"net/http"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/relayctl/relayctl/internal/protocol"
	"github.com/relayctl/relayctl/internal/relay"
	"github.com/relayctl/relayctl/internal/secret"
)

// TestStatusTellsSecretsApart: while a worker moves to a new secret, each of
// its connections shows the one that it came with, and the older stays until
// its last answer has ended.
func TestStatusTellsSecretsApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := newStack(t)
		next := workerSecret("gpu-1-next")
		st.workers[0].Hashes = append(st.workers[0].Hashes, next.Hash())
		b, stop := inMemory(t, st)
		release := make(chan struct{})
		first := b.join("gpu-1", func(ctx context.Context, s *protocol.Stream) {
			if eventStream(ctx, s, "data: 1\n\n") == nil {
				<-release
				s.Write(ctx, []byte("data: [DONE]\n\n"), true)
			}
		}, offer("m", 2))
		running := b.askLater(t.Context(), `{"model":"m","stream":true}`)
		synctest.Wait()
		renewed, err := b.tryJoin(next, protocol.WorkerHello{Name: "gpu-1", Instance: "gpu-1", Models: []protocol.Offer{offer("m", 2)}}, answerWith(`{}`))
		if err != nil {
			t.Fatal(err)
		}
		mustUse(t, b, workerSecret("gpu-1"), next)
		close(release)
		if got := <-running; got.status != http.StatusOK || got.body != "data: 1\n\ndata: [DONE]\n\n" || got.err != nil {
			t.Errorf("the answer on the older connection: %+v", got)
		}
		<-first.ended
		synctest.Wait()
		mustUse(t, b, next)
		first.stop()
		renewed.stop()
		stop()
	})
}

// mustUse holds which secrets gpu-1's connections came with.
func mustUse(t *testing.T, b *bubble, secrets ...secret.Value) {
	t.Helper()
	used := map[string]bool{}
	for _, w := range b.Status().Workers {
		if w.Name == "gpu-1" && w.Connected {
			used[w.Secret] = true
		}
	}
	for _, s := range secrets {
		if !used[s.Hash()[:12]] {
			t.Errorf("no connection shows %s: %v", s.Hash()[:12], used)
		}
	}
	if len(used) != len(secrets) {
		t.Errorf("%d secrets in use, want %d", len(used), len(secrets))
	}
}

// TestStatusCountsRequests: those to models that ended, and how many of them
// failed; what the probe asked and what never named a model are no such thing.
func TestStatusCountsRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, stop := inMemory(t, newStack(t))
		time.Sleep(time.Minute)
		w := b.join("gpu-1", func(ctx context.Context, s *protocol.Stream) {
			if s.Request().Model == "renamed" {
				s.Reset(protocol.ResetEngine, "the engine broke off")
				return
			}
			answerWith(`{}`)(ctx, s)
		}, offer("m", 1), offer("renamed", 1))
		for _, one := range []struct {
			key  secret.Value
			body string
		}{
			{laptopKey, askM},
			{laptopKey, askM},
			{laptopKey, `{"model":"renamed"}`},
			{laptopKey, `{"model":"nobody's"}`},
			{narrowKey, askM},
			{secret.New("wrong"), askM},
			{probeKey, `{"model":"m","max_tokens":1}`},
		} {
			b.ask(t.Context(), one.key, one.body)
		}
		synctest.Wait()
		if got := b.Status(); got.Ended != 3 || got.Failed != 1 {
			t.Errorf("%d ended, %d failed; want 3 and 1", got.Ended, got.Failed)
		}
		w.stop()
		stop()
	})
}

// TestFormerKey: a key that was replaced is good until its own end, and never
// longer than the entry.
func TestFormerKey(t *testing.T) {
	former := secret.New("rk_former-former-former-former-former-00")
	for name, row := range map[string]struct {
		entry, former   string
		first, inAnHour int
	}{
		"within its grace":     {"", "30m", 200, 401},
		"longer than an hour":  {"", "48h", 200, 200},
		"the entry ends first": {"30m", "48h", 200, 401},
		"the grace is over":    {"48h", "-1s", 401, 401},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				st := newStack(t)
				st.keys[0].Expires = at(t, row.entry)
				st.keys[0].Former = []relay.FormerKey{{Hash: former.Hash(), Expires: at(t, row.former)}}
				b, stop := inMemory(t, st)
				w := b.join("gpu-1", answerWith(`{}`), offer("m", 1))
				if got := b.ask(t.Context(), former, askM); got.status != row.first {
					t.Errorf("at first: %+v, want %d", got, row.first)
				}
				if got := b.ask(t.Context(), laptopKey, askM); got.status != 200 {
					t.Errorf("the present key: %+v", got)
				}
				time.Sleep(time.Hour)
				if got := b.ask(t.Context(), former, askM); got.status != row.inAnHour {
					t.Errorf("in an hour: %+v, want %d", got, row.inAnHour)
				}
				w.stop()
				stop()
			})
		})
	}
}

// at is the moment some time from now, as settings write it.
func at(t *testing.T, in string) string {
	t.Helper()
	if in == "" {
		return ""
	}
	d, err := time.ParseDuration(in)
	if err != nil {
		t.Fatal(err)
	}
	return time.Now().Add(d).UTC().Format(time.RFC3339)
}

// TestFormerKeyNeedsAnEnd: one without an end, or that is another's key, is
// refused with the settings.
func TestFormerKeyNeedsAnEnd(t *testing.T) {
	for name, former := range map[string]relay.FormerKey{
		"no end":        {Hash: laptopKey.Hash()[:62] + "00"},
		"no date":       {Hash: laptopKey.Hash()[:62] + "00", Expires: "soon"},
		"no hash":       {Hash: "abc", Expires: "2099-01-01"},
		"a key's own":   {Hash: laptopKey.Hash(), Expires: "2099-01-01"},
		"another one's": {Hash: narrowKey.Hash(), Expires: "2099-01-01"},
	} {
		st := newStack(t)
		st.keys[0].Former = []relay.FormerKey{former}
		writeJSON(t, filepath.Join(st.dir, "relay.json"), st.relay)
		writeJSON(t, filepath.Join(st.dir, "keys.json"), map[string]any{"keys": st.keys})
		if _, err := relay.LoadSettings(st.dir); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}
