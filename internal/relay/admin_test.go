package relay_test

import (
	"encoding/json"
	"io"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/relayctl/relayctl/internal/relay"
)

func bodyReader(body string) io.Reader {
	if body == "" {
		return nil
	}
	return strings.NewReader(body)
}

func TestAdmin(t *testing.T) {
	st := newStack(t)
	path := filepath.Join(t.TempDir(), "admin.sock")
	st.relay["admin"] = path
	settings := st.load(t)
	r := startRelay(t, settings)
	connectedWorker(t, r, "gpu-1", echoEngine(t).URL, 7, "m")

	code, body := adminCall(t, path, "GET", "/v1/status", "")
	var got relay.Status
	if err := json.Unmarshal([]byte(body), &got); err != nil || code != 200 {
		t.Fatalf("got %d %s, %v", code, body, err)
	}
	if got.Program != "relay-server test" || got.Settings != settings.Digest || got.Stopping || time.Since(got.Started) > time.Minute {
		t.Errorf("got %s", body)
	}
	one := got.Workers[0]
	if !strings.HasPrefix(one.From, "127.0.0.1:") || one.Since.IsZero() {
		t.Errorf("got %+v", one)
	}
	got.Workers[0].From, got.Workers[0].Since, got.Workers[0].RoundTripMS = "", time.Time{}, 0
	wantWorkers := []relay.WorkerStatus{
		{Name: "gpu-1", Connected: true, Program: "relay-worker test", Direct: true, State: "serving", Secret: workerSecret("gpu-1").Hash()[:12],
			Models: []relay.WorkerModelStatus{{Name: "m", Concurrency: 7}}},
		{Name: "gpu-2", Models: []relay.WorkerModelStatus{{Name: "m"}, {Name: "other"}}},
	}
	wantModels := []relay.ModelStatus{
		{Name: "m", Workers: 1, Of: 2, Slots: 7},
		{Name: "other", Of: 1},
		{Name: "renamed", Of: 1},
	}
	if diff := cmp.Diff(wantWorkers, got.Workers); diff != "" {
		t.Errorf("workers (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(wantModels, got.Models); diff != "" {
		t.Errorf("models (-want +got):\n%s", diff)
	}

	for _, test := range []struct {
		method, url, body string
		status            int
		answer            string
	}{
		{"POST", "/v1/drain", `{"timeout":"1s","hold":"1m"}`, 200, `{"workers":0,"running":0,"left":0}`},
		{"POST", "/v1/resume", "", 200, `{"workers":1}`},
		{"POST", "/v1/drain", `{"come_back":"at_once"}`, 200, `{"workers":1,"running":0,"left":0}`},
		{"POST", "/v1/drain", `{"come_back":"never"}`, 400, ""},
		{"POST", "/v1/drain", `{"hurry":true}`, 400, ""},
		{"GET", "/v1/drain", "", 405, ""},
		{"GET", "/v1/models", "", 404, ""},
	} {
		status, answer := adminCall(t, path, test.method, test.url, test.body)
		if status != test.status || test.answer != "" && strings.TrimSpace(answer) != test.answer {
			t.Errorf("%s %s %s: got %d %s", test.method, test.url, test.body, status, answer)
		}
	}
}

var sample = regexp.MustCompile(`(?m)^(relay_\S+) (\S+)$`)

// scrape reads the metrics of ours, less histograms' buckets.
func scrape(t testing.TB, client *http.Client, address string) map[string]string {
	t.Helper()
	response, err := client.Get("http://" + address + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	values := make(map[string]string)
	for _, m := range sample.FindAllStringSubmatch(string(data), -1) {
		if !strings.Contains(m[1], "_bucket") && !strings.Contains(m[1], "_sum") {
			values[m[1]] = m[2]
		}
	}
	return values
}

func TestMetrics(t *testing.T) {
	st := newStack(t)
	address := freeAddress(t)
	st.relay["metrics"] = address
	r := startRelay(t, st.load(t))
	want := map[string]string{
		`relay_requests_received_total`:                     "0",
		`relay_requests_total{outcome="answered"}`:          "0",
		`relay_requests_total{outcome="refused"}`:           "0",
		`relay_requests_total{outcome="cancelled"}`:         "0",
		`relay_requests_total{outcome="broken"}`:            "0",
		`relay_worker_connections_total{event="connected"}`: "0",
		`relay_worker_connections_total{event="ended"}`:     "0",
		`relay_worker_connections_total{event="refused"}`:   "0",
	}
	for _, model := range []string{"m", "other", "renamed"} {
		for _, name := range []string{"running", "waiting", "slots", "workers"} {
			want[`relay_`+name+`{model="`+model+`"}`] = "0"
		}
	}
	if diff := cmp.Diff(want, scrape(t, http.DefaultClient, address)); diff != "" {
		t.Errorf("at the start (-want +got):\n%s", diff)
	}
	connectedWorker(t, r, "gpu-1", echoEngine(t).URL, 7, "m")
	ask(t, r.URL, laptopKey, askM)
	ask(t, r.URL, laptopKey, `{"model":"`+strings.Repeat("x", 50)+`"}`)
	want[`relay_requests_received_total`] = "2"
	want[`relay_requests_total{outcome="answered"}`] = "1"
	want[`relay_requests_total{outcome="refused"}`] = "1"
	want[`relay_worker_connections_total{event="connected"}`] = "1"
	want[`relay_slots{model="m"}`], want[`relay_workers{model="m"}`] = "7", "1"
	want[`relay_request_seconds_count{model="m"}`], want[`relay_first_byte_seconds_count{model="m"}`] = "1", "1"
	want[`relay_body_bytes_total{direction="in"}`] = "89"
	want[`relay_body_bytes_total{direction="out"}`] = "27"
	if diff := cmp.Diff(want, scrape(t, http.DefaultClient, address)); diff != "" {
		t.Errorf("after two requests (-want +got):\n%s", diff)
	}
	if response, err := http.Get("http://" + address + "/v1/models"); err != nil || response.StatusCode != 404 {
		t.Errorf("the metrics' port serves something else: %v", err)
	}
}

// TestEveryRequestEndsInOneOutcome, whatever becomes of it.
func TestEveryRequestEndsInOneOutcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { everyRequestEnds(t) })
}
