package relay

import (
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promauto"
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
	registry := prometheus.NewRegistry()
	registry.MustRegister(loads{s}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	factory := promauto.With(registry)
	count := func(name, help, label string, values ...string) *prometheus.CounterVec {
		c := factory.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{label})
		for _, value := range values {
			c.WithLabelValues(value)
		}
		return c
	}
	timing := func(name, help string) *prometheus.HistogramVec {
		return factory.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: seconds}, []string{"model"})
	}
	return &metrics{
		registry:  registry,
		received:  factory.NewCounter(prometheus.CounterOpts{Name: "relay_requests_received_total", Help: "Requests that came in."}),
		requests:  count("relay_requests_total", "Requests that have ended, by how they did.", "outcome", outcomes...),
		took:      timing("relay_request_seconds", "From a request's start to its end."),
		firstByte: timing("relay_first_byte_seconds", "From a request's start to the first byte of its answer."),
		bytes:     count("relay_body_bytes_total", "Bytes of bodies, by direction.", "direction"),
		connects:  count("relay_worker_connections_total", "Connections of workers, by what became of them.", "event", "connected", "ended", "refused"),
	}
}

// finished counts a request that has ended.
func (m *metrics) finished(rq *request, took time.Duration) {
	m.requests.WithLabelValues(rq.outcome).Inc()
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
