package relay

import (
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics are what the relay counts. Labels come from closed sets only: the
// outcomes, and the models that settings or workers name, never a client.
type metrics struct {
	registry  *prometheus.Registry
	received  prometheus.Counter
	requests  *prometheus.CounterVec
	took      *prometheus.HistogramVec
	firstByte *prometheus.HistogramVec
	bytes     *prometheus.CounterVec
	connects  *prometheus.CounterVec

	// What the status tells: requests to models, less the probe's.
	ended, failed atomic.Uint64
}

var seconds = []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 600}

func newMetrics(s *scheduler) *metrics {
	m := &metrics{registry: prometheus.NewRegistry()}
	m.received = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "relay_requests_received_total", Help: "Requests that came in.",
	})
	m.requests = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "relay_requests_total", Help: "Requests that have ended, by how they did.",
	}, []string{"outcome"})
	m.took = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "relay_request_seconds", Help: "From a request's start to its end.", Buckets: seconds,
	}, []string{"model"})
	m.firstByte = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "relay_first_byte_seconds", Help: "From a request's start to the first byte of its answer.", Buckets: seconds,
	}, []string{"model"})
	m.bytes = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "relay_body_bytes_total", Help: "Bytes of bodies, by direction.",
	}, []string{"direction"})
	m.connects = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "relay_worker_connections_total", Help: "Connections of workers, by what became of them.",
	}, []string{"event"})
	for _, o := range outcomes {
		m.requests.WithLabelValues(string(o))
	}
	for _, event := range []string{"connected", "ended", "refused"} {
		m.connects.WithLabelValues(event)
	}
	m.registry.MustRegister(m.received, m.requests, m.took, m.firstByte, m.bytes, m.connects, loads{s},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// finished counts a request that has ended.
func (m *metrics) finished(rq *request, took time.Duration) {
	m.requests.WithLabelValues(string(rq.outcome)).Inc()
	m.bytes.WithLabelValues("in").Add(float64(rq.bytesIn))
	m.bytes.WithLabelValues("out").Add(float64(rq.bytesOut))
	if rq.model != "" && !rq.probe {
		// Failures first, so that a reader never sees more good ones than there are.
		if rq.status >= http.StatusInternalServerError || rq.outcome == broken {
			m.failed.Add(1)
		}
		m.ended.Add(1)
	}
	if rq.model != "" {
		m.took.WithLabelValues(rq.model).Observe(took.Seconds())
	}
}

func (m *metrics) handler() http.Handler {
	scrape := promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/metrics" || r.Method != http.MethodGet {
			http.NotFound(w, r)
			return
		}
		scrape.ServeHTTP(w, r)
	})
}

// loads reads the scheduler's present state when it is asked for.
type loads struct{ scheduler *scheduler }

var (
	runningDesc = prometheus.NewDesc("relay_running", "Requests at a worker now.", []string{"model"}, nil)
	waitingDesc = prometheus.NewDesc("relay_waiting", "Requests in the queue now.", []string{"model"}, nil)
	slotsDesc   = prometheus.NewDesc("relay_slots", "Requests that connected workers take at once.", []string{"model"}, nil)
	workersDesc = prometheus.NewDesc("relay_workers", "Connected workers.", []string{"model"}, nil)
)

// Describe implements prometheus.Collector.
func (l loads) Describe(ch chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{runningDesc, waitingDesc, slotsDesc, workersDesc} {
		ch <- desc
	}
}

// Collect implements prometheus.Collector.
func (l loads) Collect(ch chan<- prometheus.Metric) {
	for _, m := range l.scheduler.load() {
		for desc, value := range map[*prometheus.Desc]int{
			runningDesc: m.Running, waitingDesc: m.Waiting, slotsDesc: m.Slots, workersDesc: m.Workers,
		} {
			ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, float64(value), m.Name)
		}
	}
}
