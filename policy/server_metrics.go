package policy

import (
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// serverStats are what /metrics shows.
type serverStats struct {
	registry                  *prometheus.Registry
	requests                  *prometheus.CounterVec
	seconds                   *prometheus.HistogramVec
	firstToken                prometheus.Histogram
	promptTokens, replyTokens prometheus.Counter
	cachedTokens              prometheus.Counter
	steps                     prometheus.Counter
	live, queued              prometheus.Gauge
}

func newServerStats(s *Server) *serverStats {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Namespace: "socialrl", Name: name, Help: help})
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Namespace: "socialrl", Name: name, Help: help})
	}
	spans := prometheus.ExponentialBuckets(0.01, 2, 16)
	m := &serverStats{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "socialrl", Name: "requests_total",
			Help: "Requests by route and status; 499 stands for clients that went away."}, []string{"route", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: "socialrl", Name: "request_seconds",
			Help: "Time that requests took.", Buckets: spans}, []string{"route"}),
		firstToken: prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: "socialrl", Name: "first_token_seconds",
			Help: "Time from a request to the first token of a reply.", Buckets: spans}),
		promptTokens: counter("prompt_tokens_total", "Tokens of prompts, shared ones counted each time."),
		cachedTokens: counter("cached_tokens_total", "Tokens of prompts that were found in the cache."),
		replyTokens:  counter("reply_tokens_total", "Tokens drawn."),
		steps:        counter("steps_total", "Batches computed."),
		live:         gauge("replies_live", "Replies under way."),
		queued:       gauge("replies_queued", "Replies that wait for room."),
	}
	waiting := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "socialrl", Name: "requests_waiting", Help: "Requests that have not begun."},
		func() float64 { return float64(s.waiting.Load()) })
	m.registry.MustRegister(m.requests, m.seconds, m.firstToken, m.promptTokens, m.cachedTokens, m.replyTokens, m.steps, m.live, m.queued, waiting,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *serverStats) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

func (m *serverStats) request(route string, status int, took time.Duration) {
	m.requests.WithLabelValues(route, strconv.Itoa(status)).Inc()
	m.seconds.WithLabelValues(route).Observe(took.Seconds())
}
