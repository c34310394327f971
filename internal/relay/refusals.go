package relay

import (
	"cmp"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

// maxSources bounds how many sources of refusals are told apart in a second.
const maxSources = 20

// otherSources stands for all beyond that.
const otherSources = "others"

// refusals sums up what anybody may cause, key or not: a line per source and
// second, so that nobody can fill the log, or have its limits drop the lines of
// others.
type refusals struct {
	log *slog.Logger

	mu       sync.Mutex
	bySource map[string]map[string]int // how many, by source and code; nil: none since they were told
}

// count takes note of a refusal, to be told within a second.
func (r *refusals) count(source, code string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.bySource == nil {
		r.bySource = make(map[string]map[string]int)
		time.AfterFunc(time.Second, r.tell)
	}
	if r.bySource[source] == nil && len(r.bySource) >= maxSources {
		source = otherSources
	}
	if r.bySource[source] == nil {
		r.bySource[source] = make(map[string]int)
	}
	r.bySource[source][code]++
}

// tell writes what was counted into the log.
func (r *refusals) tell() {
	r.mu.Lock()
	counted := r.bySource
	r.bySource = nil
	r.mu.Unlock()
	for _, source := range slices.Sorted(maps.Keys(counted)) {
		codes := slices.SortedFunc(maps.Keys(counted[source]), func(a, b string) int {
			return cmp.Or(cmp.Compare(counted[source][b], counted[source][a]), cmp.Compare(a, b))
		})
		all := 0
		for i, code := range codes {
			all += counted[source][code]
			codes[i] = fmt.Sprintf("%s: %d", code, counted[source][code])
		}
		r.log.Info("refused", "from", source, "requests", all, "codes", strings.Join(codes, ", "))
	}
}

// sourceOf is the address that a request comes from. A proxy on this machine
// says for whom it speaks, at the end of what it was told itself.
func sourceOf(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return otherSources
	}
	peer, err := netip.ParseAddr(host)
	forwarded := r.Header.Values("X-Forwarded-For")
	if err != nil || !peer.IsLoopback() || len(forwarded) == 0 {
		return host
	}
	last := forwarded[len(forwarded)-1]
	if client, err := netip.ParseAddr(strings.TrimSpace(last[strings.LastIndexByte(last, ',')+1:])); err == nil {
		return client.String()
	}
	return host
}
