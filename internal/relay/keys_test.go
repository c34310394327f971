package relay_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/relayctl/relayctl/internal/relay"
)

// whoIs asks which key a header carries, as all routes do.
func whoIs(t testing.TB, s *relay.Settings, h http.Header, now time.Time) string {
	t.Helper()
	name, err := relay.KeyName(s, h, now)
	if err != nil {
		return err.Error()
	}
	return name
}

func TestPresentedKey(t *testing.T) {
	s := newStack(t).load(t)
	key, other := laptopKey.Reveal(), narrowKey.Reveal()
	tests := []struct {
		name string
		h    http.Header
		want string
	}{
		{"bearer", http.Header{"Authorization": {"Bearer " + key}}, "laptop"},
		{"bearer in other case", http.Header{"Authorization": {"bEARER  " + key + " "}}, "laptop"},
		{"x-api-key", http.Header{"X-Api-Key": {key}}, "laptop"},
		{"both, the same", http.Header{"X-Api-Key": {key}, "Authorization": {"Bearer " + key}}, "laptop"},
		{"both, different", http.Header{"X-Api-Key": {other}, "Authorization": {"Bearer " + key}}, "wrong API key"},
		{"two bearers", http.Header{"Authorization": {"Bearer " + key, "Bearer " + other}}, "wrong API key"},
		{"two keys", http.Header{"X-Api-Key": {key, key}}, "wrong API key"},
		{"basic", http.Header{"Authorization": {"Basic " + key}}, "wrong API key"},
		{"basic beside a good key", http.Header{"Authorization": {"Basic x"}, "X-Api-Key": {key}}, "wrong API key"},
		{"bare token", http.Header{"Authorization": {key}}, "wrong API key"},
		{"nothing", http.Header{}, "no API key in the request"},
		{"empty", http.Header{"X-Api-Key": {" "}}, "no API key in the request"},
		{"the hash", http.Header{"X-Api-Key": {laptopKey.Hash()}}, "wrong API key"},
		{"part of it", http.Header{"X-Api-Key": {key[:len(key)-1]}}, "wrong API key"},
		{"64 KB", http.Header{"X-Api-Key": {strings.Repeat("x", 64<<10)}}, "wrong API key"},
	}
	for _, test := range tests {
		if got := whoIs(t, s, test.h, time.Now()); got != test.want {
			t.Errorf("%s: got %s, want %s", test.name, got, test.want)
		}
	}
}

func TestKeysExpire(t *testing.T) {
	at := func(text string) time.Time {
		moment, err := time.Parse(time.RFC3339, text)
		if err != nil {
			t.Fatal(err)
		}
		return moment
	}
	tests := []struct {
		expires string
		now     time.Time
		want    string
	}{
		{"2027-06-30", at("2027-06-30T23:59:59Z"), "laptop"},
		{"2027-06-30", at("2027-07-01T00:00:00Z"), "expired API key"},
		{"2027-06-30", at("2027-07-01T01:59:59+02:00"), "laptop"},
		{"2027-06-30T12:00:00+02:00", at("2027-06-30T09:59:59Z"), "laptop"},
		{"2027-06-30T12:00:00+02:00", at("2027-06-30T10:00:00Z"), "expired API key"},
	}
	for _, test := range tests {
		st := newStack(t)
		st.keys[0].Expires = test.expires
		h := http.Header{"X-Api-Key": {laptopKey.Reveal()}}
		if got := whoIs(t, st.load(t), h, test.now); got != test.want {
			t.Errorf("%s at %v: got %s, want %s", test.expires, test.now, got, test.want)
		}
	}
}

// FuzzKeyHeaders: whatever stands in the headers, only the right key is let
// in, the answer is a 401 otherwise, and it repeats nothing of what came.
func FuzzKeyHeaders(f *testing.F) {
	s := newStack(f).load(f)
	for _, seed := range []string{"", "Bearer ", "Bearer x", "' OR 1=1 --", "\xff\xfe", "Bearer " + laptopKey.Reveal(), laptopKey.Reveal(), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="} {
		f.Add(seed, seed)
	}
	f.Fuzz(func(t *testing.T, authorization, apiKey string) {
		h := http.Header{}
		if authorization != "" {
			h.Set("Authorization", authorization)
		}
		if apiKey != "" {
			h.Set("X-Api-Key", apiKey)
		}
		name, err := relay.KeyName(s, h, time.Now())
		good := strings.Contains(authorization+apiKey, "rk_")
		if err == nil && !good {
			t.Fatalf("%q and %q came in as %s", authorization, apiKey, name)
		}
		if err == nil {
			return
		}
		w := httptest.NewRecorder()
		relay.WriteKeyError(w, err)
		if w.Code != http.StatusUnauthorized || len(apiKey) > 20 && strings.Contains(w.Body.String(), apiKey) {
			t.Fatalf("got %d %s", w.Code, w.Body)
		}
		errorCode(t, w.Body.String())
	})
}
