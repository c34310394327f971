package relay_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/relayctl/relayctl/internal/protocol"
)

// everyRequestEnds throws a storm of requests at two workers that misbehave in
// every way, with clients that leave and workers that come and go, and then
// holds the books against each other.
func everyRequestEnds(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 7))
	st := newStack(t)
	st.relay["max_queue"], st.relay["queue_timeout"] = 5, "2s"
	b, stop := inMemory(t, st)
	moody := func(ctx context.Context, s *protocol.Stream) {
		body, _ := readBody(ctx, s)
		switch {
		case strings.Contains(body, "hang"):
			hang(ctx, s)
		case strings.Contains(body, "refuse"):
			s.Reset(protocol.ResetUnreachable, "")
		case strings.Contains(body, "break"):
			eventStream(ctx, s, "data: 1\n\n")
			time.Sleep(time.Millisecond) // or the reset overtakes it
			s.Reset(protocol.ResetEngine, "")
		default:
			slowly(100*time.Millisecond)(ctx, s)
		}
	}
	one, two := b.join("gpu-1", moody, offer("m", 3)), b.join("gpu-2", moody, offer("m", 3))
	const n = 400
	done := make(chan reply, n)
	for i := range n {
		what := []string{"fine", "fine", "hang", "refuse", "break"}[random.IntN(5)]
		ctx, leave := context.WithTimeout(t.Context(), time.Duration(1+random.IntN(3000))*time.Millisecond)
		go func() {
			defer leave()
			done <- b.ask(ctx, laptopKey, fmt.Sprintf(`{"model":"m","what":%q}`, what))
		}()
		time.Sleep(time.Duration(random.IntN(60)) * time.Millisecond)
		if i%100 == 99 {
			two.stop()
			two = b.join("gpu-2", moody, offer("m", 3))
		}
	}
	for range n {
		<-done
	}
	time.Sleep(time.Minute)
	holdBooks(t, b, n)
	for _, m := range b.Status().Models {
		if m.Running != 0 || m.Waiting != 0 {
			t.Errorf("left behind: %+v", m)
		}
	}
	one.stop()
	two.stop()
	stop()
}

// holdBooks holds that n requests came in and each ended in one outcome, and
// that every outcome was among them.
func holdBooks(t *testing.T, b *bubble, n int) {
	t.Helper()
	got := scrape(t, b.metrics, "relay.test")
	if got["relay_requests_received_total"] != strconv.Itoa(n) {
		t.Errorf("%s requests received, %d sent", got["relay_requests_received_total"], n)
	}
	ended := 0
	for _, outcome := range []string{"answered", "refused", "cancelled", "broken"} {
		c, err := strconv.Atoi(got[`relay_requests_total{outcome="`+outcome+`"}`])
		if err != nil || c == 0 {
			t.Errorf("%d requests were %s, %v: the storm is too mild", c, outcome, err)
		}
		ended += c
	}
	if ended != n || b.Status().Requests != 0 {
		t.Errorf("of %d requests %d have ended, %d are inside", n, ended, b.Status().Requests)
	}
}
